"""Pictures out of one recording's file, with the time they were captured.

A packet whose pts is t seconds after that of the file's first packet was captured at `start` + t
(`storage/footage/recordings.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from reid.errors import SourceError
from storage.footage.recordings import RecordingRow

ROUNDING = 1e-3  # seconds; times are kept to the microsecond, a stream's clock to less


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPicture:
    """A decoded picture whose conversion can still be skipped; capture time in UTC seconds."""

    time: float
    frame: Any

    @property
    def turned(self) -> int:
        """Quarter turns counterclockwise, as the display matrix says, that make it upright."""
        return int(round(self.frame.rotation / 90) % 4)

    def image(self) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8, BGR, upright."""
        image = cast(NDArray[np.uint8], self.frame.to_ndarray(format="bgr24"))
        turns = self.turned  # numpy's rot90 turns counterclockwise, too
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@contextmanager
def opened(row: RecordingRow) -> Iterator[tuple[InputContainer, Any]]:
    """A recording's container and video stream.

    Raises:
        SourceError: naming camera and file, if it is gone or cannot be read.
    """
    what = f"camera {row.camera}, recording {row.path}"
    try:
        container = av.open(str(row.path))
    except (av.error.FFmpegError, OSError) as error:
        gone = "" if row.path.exists() else "it is no longer there"
        reason = gone or getattr(error, "strerror", None) or type(error).__name__
        raise SourceError(f"{what}: {reason}") from None
    try:
        if not container.streams.video:
            raise SourceError(f"{what}: holds no video")
        try:
            yield container, container.streams.video[0]
        except av.error.FFmpegError as error:
            raise SourceError(f"{what}: reading failed: {error.strerror}") from None
    finally:
        container.close()


def wind(container: InputContainer, stream: Any, seconds: float) -> int:
    """Go to the key frame at or before `seconds` after the segment's first packet.

    Returns:
        Presentation time of that first packet in the stream's ticks: the zero of `seconds`.
    """
    base = lag = 0
    for packet in container.demux(stream):
        if packet.pts is not None:
            base = int(packet.pts)
            # FFmpeg finds by decoding time, which runs ahead where pictures wait for others.
            lag = base - int(packet.dts) if packet.dts is not None else 0
            break
    ticks = base - lag + int(max(0.0, seconds) / stream.time_base)
    container.seek(ticks, stream=stream, backward=True)
    return base


def decode(
    row: RecordingRow, start: float, end: float, threads: int | None = None
) -> Iterator[RecordedPicture]:
    """The pictures of one recording within [start, end] (UTC seconds).

    Args:
        row: the recording.
        start: decoding begins at the key frame at or before it.
        end: the last moment.
        threads: decoder threads; FFmpeg's own choice if None.

    Raises:
        SourceError: if it cannot be read; what was decoded so far was yielded.
    """
    with opened(row) as (container, stream):
        stream.thread_type = "AUTO"
        if threads is not None:
            stream.codec_context.thread_count = threads
        base, tick = wind(container, stream, start - row.start), stream.time_base
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:  # a damaged packet; the next may be whole
                continue
            for picture in pictures:
                if picture.pts is None or picture.is_corrupt:
                    continue
                time = row.start + float((picture.pts - base) * tick)
                if time > end + ROUNDING:
                    return
                if time >= start - ROUNDING:
                    yield RecordedPicture(time, picture)
