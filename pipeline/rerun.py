"""Recorded footage through the pipeline again: the cameras' own packets, by their capture time.

The recordings of a run take the place of its cameras; everything behind the decoder is the usual
runner. So the same recordings, configuration and models give the same tracks and links every time,
whatever the machine's load, in a run of its own that says which one it repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.clock import nominal_rate
from pipeline.config import CameraConfig, PipelineConfig
from pipeline.pictures import Picture, StreamInfo
from pipeline.recorder import Tape
from pipeline.redact import SourceUrl
from pipeline.settings import RecordingSettings
from reid.errors import ConfigError, SourceError, StoreError
from storage.footage.recorded_video import decode, opened
from storage.footage.recordings import RecordingRow, recordings
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import RunRow
from storage.settings import StoreSettings
from storage.sightings import rerun_of

# What a re-run takes over from the run that it repeats; the rest is about other things.
SECTIONS = ("detector", "tracker", "embedding", "matching", "runtime")
KEPT = ("max_fps", "zones", "masks", "place")


@dataclass(frozen=True, slots=True)
class Footage:
    """What is played again: the recordings of one run by camera, each by start, within a time."""

    run: RunRow
    rows: dict[str, tuple[RecordingRow, ...]]
    start: float
    end: float

    def open(self, camera: CameraConfig, threads: int, tape: Tape | None) -> RecordedSource:
        """An `Opener` of the sources; never recorded again.

        Raises:
            SourceError: if the first recording cannot be opened.
        """
        return RecordedSource(camera, self.rows[camera.id], self.start, self.end, threads)


class RecordedSource:
    """A camera whose pictures come from its recordings."""

    def __init__(
        self,
        camera: CameraConfig,
        rows: Sequence[RecordingRow],
        start: float,
        end: float,
        threads: int = 1,
    ) -> None:
        """Look at the first recording that can be read.

        Raises:
            SourceError: if none can.
        """
        self._camera, self._rows, self._threads = camera.id, rows, threads
        self._start, self._end = start, end
        first = max(start, rows[0].start)
        self.info = StreamInfo(
            codec=rows[0].codec,
            width=rows[0].width,
            height=rows[0].height,
            frame_rate=_frame_rate(rows),
            duration=max(0.0, min(end, rows[-1].end) - first),
            frames=0,
            is_live=False,
            start=first,
            start_from="recordings",
        )

    def pictures(self, after: float) -> Iterator[Picture]:
        """Every picture once, in the order of capture time.

        Raises:
            SourceError: at the end, if a recording could not be read: the run is then not whole.
        """
        last = max(after, self._start - 2e-3)
        lost: list[str] = []
        for row in self._rows:
            try:
                for picture in decode(row, max(last, self._start), self._end, self._threads):
                    if picture.time > last + 1e-3:
                        last = picture.time
                        yield picture
            except SourceError as error:
                lost.append(str(error))
        if lost:
            raise SourceError(
                f"camera {self._camera}: {len(lost)} of {len(self._rows)} recordings could not be "
                f"read; the first: {lost[0]}"
            )

    def close(self) -> None:
        """Nothing stays open between pictures."""


def _frame_rate(rows: Sequence[RecordingRow]) -> float | None:
    """Nominal frames a second of the first recording that can be read.

    Raises:
        SourceError: if none can.
    """
    first: SourceError | None = None
    for row in rows:
        try:
            with opened(row) as (_, stream):
                return nominal_rate(stream.average_rate, stream.guessed_rate)
        except SourceError as error:
            first = first or error
    raise first or SourceError("there is no recording")


def footage_of(
    reader: StoreReader,
    run: int | None,
    cameras: Collection[str] = (),
    start: float | None = None,
    end: float | None = None,
) -> Footage:
    """The recordings of a run.

    Args:
        reader: the store.
        run: its id; the latest finished run that has recordings, if None.
        cameras: only these; empty is all.
        start: UTC seconds.
        end: UTC seconds.

    Raises:
        StoreError: if there is no such run, or it has no recordings.
        ConfigError: if the times run backwards, or a camera has no recording in it.
    """
    if start is not None and end is not None and start >= end:
        raise ConfigError(f"from {iso_text(start)} to {iso_text(end)}: the end is not after it")
    rows = recordings(reader, None, start, end)
    own = sorted({row.run for row in rows if row.run is not None})
    if run is None:
        run = next((n for n in reversed(own) if reader.run(n).status != "running"), None)
        if run is None:
            raise StoreError(
                f"store {reader.url} has no recordings of that time to run again"
                + (f"; run {own[-1]} goes on, name it to run what there is" if own else "")
            )
    row = reader.run(run)
    repeated = rerun_of(reader, run)
    if repeated is not None:
        raise StoreError(f"run {run} is itself a re-run: re-run the run it repeats, {repeated}")
    found: dict[str, list[RecordingRow]] = {}
    for recording in rows:
        if recording.run == run:
            found.setdefault(recording.camera, []).append(recording)
    if not found:
        there = ", ".join(map(str, own)) or "none"
        raise StoreError(f"run {run} has no recordings of that time; runs that have: {there}")
    for camera in cameras:
        if camera not in found:
            raise ConfigError(
                f"camera {camera!r} has no recording of run {run} of that time; it has: "
                f"{', '.join(sorted(found))}"
            )
    chosen = sorted(cameras or found)
    first = min(found[c][0].start for c in chosen)
    last = max(r.end for c in chosen for r in found[c])
    return Footage(
        run=row,
        rows={camera: tuple(found[camera]) for camera in chosen},
        start=first if start is None else start,
        end=last if end is None else end,
    )


def camera_configs(
    reader: StoreReader, footage: Footage, given: Sequence[CameraConfig] | None
) -> list[CameraConfig]:
    """The cameras of a re-run: as configured in the run it repeats, or in a cams.yaml.

    Args:
        reader: the store, for the cameras' addresses: those stay what they were.
        footage: what is played.
        given: cameras of a cams.yaml; those with recordings take part.

    Raises:
        ConfigError: if no camera is left, or the run's configuration cannot be read.
    """
    if given is None:
        stored = {c.get("id"): c for c in footage.run.config.get("cameras") or []}
        # In the order of that run, which settles ties of capture time.
        order = sorted(footage.rows, key=[*stored, *sorted(footage.rows)].index)
        settings = {c: {key: stored.get(c, {}).get(key) for key in KEPT} for c in order}
    else:
        settings = {
            c.id: {key: getattr(c, key) for key in KEPT} for c in given if c.id in footage.rows
        }
    if not settings:
        raise ConfigError(
            f"none of these cameras has a recording of run {footage.run.id}; those that have: "
            f"{', '.join(footage.rows)}"
        )
    shown = {row.id: row.url for row in reader.cameras()}
    found = []
    for camera, values in settings.items():
        url = SourceUrl(str(footage.rows[camera][0].path), shown.get(camera, camera))
        kept = {key: value for key, value in values.items() if value is not None}
        found.append(_validated(CameraConfig, {"id": camera, "url": url, **kept}, footage.run))
    return found


def pipeline_config(footage: Footage, store: StoreSettings) -> PipelineConfig:
    """The configuration of the run that is repeated, with another store and no recording.

    Raises:
        ConfigError: if this version cannot read it.
    """
    stored = footage.run.config.get("pipeline") or {}
    sections = {name: stored[name] for name in SECTIONS if name in stored}
    config: PipelineConfig = _validated(PipelineConfig, sections, footage.run)
    return quiet(config, store)


def quiet(config: PipelineConfig, store: StoreSettings) -> PipelineConfig:
    """A configuration that writes into this store and records nothing."""
    return config.model_copy(update={"store": store, "recording": RecordingSettings(enabled=False)})


def _validated(model: Any, values: Mapping[str, Any], run: RunRow) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"the configuration of run {run.id} cannot be read by this version ({where}: "
            f"{first['msg']}); give --pipeline and --cameras"
        ) from error
