"""Pictures and packets out of the recordings, by camera and stretch of time.

A recording is a row of `recordings` and a file of one camera. A packet with presentation time t,
counted from the segment's first packet, was captured at `start + t`. Where nothing was recorded
there is a gap: no picture is made up. A file that retention removed in the meantime, or that
cannot be read, is a gap with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import DataError, SourceError
from storage.footage.recorded_video import ROUNDING, RecordedPicture, decode, opened
from storage.footage.recordings import RecordingRow, recorded_cameras, recordings
from storage.models import iso_text
from storage.queries import StoreReader

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]

JOINED = 0.5  # seconds between two segments that still count as one stretch


@dataclass(frozen=True, slots=True, eq=False)
class FootageFrame:
    """A decoded picture: capture time in UTC seconds, (H, W, 3) uint8 BGR."""

    camera: str
    time: float
    image: Image


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, UTC seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Footage:
    """The recordings of a store. Holds nothing open between calls."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def segments(self, camera: str, start: float, end: float) -> list[RecordingRow]:
        """The recordings of a camera that touch [start, end], by start.

        Raises:
            DataError: if the times run backwards or the store does not know the camera.
        """
        check_window(start, end)
        self._check_camera(camera)
        return recordings(self._reader, camera, start, end)

    def spans(self, camera: str, start: float, end: float) -> list[Span]:
        """Where there is footage within [start, end]; segments that join are one stretch.

        Raises:
            DataError: as for `segments`.
        """
        return joined(
            Span(max(row.start, start), min(row.end, end))
            for row in self.segments(camera, start, end)
        )

    def recorded(self, start: float, end: float) -> list[str]:
        """The cameras with footage in [start, end], by id."""
        check_window(start, end)
        return recorded_cameras(self._reader, start, end)

    def trimmed(self, cameras: Sequence[str], span: Span) -> Span:
        """A stretch without what lies before and after all footage of it; as it is without any.

        Raises:
            DataError: as for `segments`.
        """
        found = [s for camera in cameras for s in self.spans(camera, span.start, span.end)]
        if not found:
            return span
        return Span(min(s.start for s in found), max(s.end for s in found))

    def frames(self, camera: str, start: float, end: float) -> Iterator[FootageFrame]:
        """Every picture within [start, end], in the order of capture time.

        Decoding begins at the key frame before `start`. Where two runs recorded the same moment,
        it is given once.

        Raises:
            DataError: as for `segments`.
        """
        found = self.pictures(camera, start, end)
        return (FootageFrame(camera, p.time, p.image()) for p in found)

    def pictures(self, camera: str, start: float, end: float) -> Iterator[RecordedPicture]:
        """As `frames`, with each picture as it was decoded: not converted, not turned upright.

        Raises:
            DataError: as for `segments`.
        """
        rows = self.segments(camera, start, end)
        return self._pictures(rows, start, end)

    def _pictures(
        self, rows: list[RecordingRow], start: float, end: float
    ) -> Iterator[RecordedPicture]:
        last = start - 2 * ROUNDING
        for row in rows:
            if row.closed and row.end <= last:
                continue
            try:
                for picture in decode(row, max(start, last), end):
                    if picture.time > last + ROUNDING:
                        last = picture.time
                        yield picture
            except SourceError as error:
                log.warning("%s", error)

    def frame_rate(self, camera: str, start: float, end: float) -> float | None:
        """Pictures a second of the first readable recording in [start, end]; None if unknown.

        Raises:
            DataError: as for `segments`.
        """
        for row in self.segments(camera, start, end):
            try:
                with opened(row) as (_, stream):
                    rate = stream.average_rate or stream.guessed_rate
            except SourceError:
                continue
            return float(rate) if rate else None
        return None

    def _check_camera(self, camera: str) -> None:
        known = [row.id for row in self._reader.cameras()]
        if camera not in known:
            raise DataError(
                f"camera {camera!r} is not in store {self._reader.url}; it has: "
                f"{', '.join(known) or 'none'}"
            )


def check_window(start: float, end: float) -> None:
    """Refuse a stretch of time that runs backwards.

    Raises:
        DataError: naming both times.
    """
    if not start < end:
        moments = f"from {iso_text(start)} to {iso_text(end)}"
        raise DataError(f"{moments}: the end is not after the start")


def joined(spans: Iterator[Span]) -> list[Span]:
    """Stretches that touch, or nearly so, as one; by start."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        if found and span.start <= found[-1].end + JOINED:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        elif span.end >= span.start:
            found.append(span)
    return found
