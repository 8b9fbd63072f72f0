"""Who was seen where in a stretch of time: tracks and their boxes, for replay and cases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from storage import selects
from storage.models import Run, RunCamera, Track, TrackBox
from storage.queries import StoreReader
from storage.records import LedgerRow, TrackRow
from trackers.records import Box, TrackPoint


def tracks_between(
    reader: StoreReader,
    start: float,
    end: float,
    *,
    cameras: Collection[str] | None = None,
    runs: Collection[int] = (),
    reruns: bool = False,
) -> list[TrackRow]:
    """Tracks that touch a stretch of time, by id.

    Args:
        reader: the store.
        start: UTC seconds.
        end: UTC seconds; a track that ends or begins just there counts.
        cameras: only these; None is all.
        runs: runs to look at in any case, also those that repeat another.
        reruns: also those of every run that repeats another one (`replay --rerun`).
    """
    # Sums keep SQLite from going through all tracks by id, or by run: few are of that time.
    found = selects.tracks(None, None, None).where(Track.start <= end, Track.end >= start)
    found = found.order_by(None).order_by(Track.id + 0)
    if cameras is not None:
        found = found.where(Track.camera.in_(sorted(cameras)))
    if not reruns:
        first = select(Run.id).where(Run.rerun_of.is_(None) | Run.id.in_(sorted(runs)))
        found = found.where((Track.run + 0).in_(first))
    return [TrackRow(*row) for row in reader.stream(found)]


def tracks_by_id(reader: StoreReader, chosen: Collection[int]) -> list[TrackRow]:
    """These tracks, by id; those that do not exist are left out."""
    rows: list[TrackRow] = []
    for some in selects.chunks(sorted(set(chosen))):
        found = selects.tracks(None, None, None).where(Track.id.in_(some))
        rows += [TrackRow(*row) for row in reader.stream(found)]
    return rows


def boxes_between(
    reader: StoreReader, tracks: Sequence[int], start: float, end: float
) -> dict[int, list[TrackPoint]]:
    """The boxes of many tracks within [start, end], by time; every track asked for is a key."""
    found: dict[int, list[TrackPoint]] = {track: [] for track in tracks}
    columns = (
        TrackBox.track,
        TrackBox.frame,
        TrackBox.time,
        TrackBox.left,
        TrackBox.top,
        TrackBox.width,
        TrackBox.height,
        TrackBox.confidence,
    )
    for some in selects.chunks(sorted(found)):
        statement = (
            select(*columns)
            .where(TrackBox.track.in_(some))
            .where(TrackBox.time >= start, TrackBox.time <= end)
            .order_by(TrackBox.track, TrackBox.time)
        )
        for track, frame, time, left, top, width, height, confidence in reader.stream(statement):
            box = Box(left, top, left + width, top + height)
            found[track].append(TrackPoint(frame, time, box, confidence))
    return found


def rerun_of(reader: StoreReader, run: int) -> int | None:
    """The run that this one repeats; None for a run of its own."""
    with reader.connection() as connection:
        found: int | None = connection.execute(
            select(Run.rerun_of).where(Run.id == run)
        ).scalar_one_or_none()
    return found


def last_decisions(reader: StoreReader, tracks: Sequence[int]) -> Iterator[LedgerRow]:
    """For each track the ledger's last word, as far as there is one, in the order given."""
    for track in tracks:
        ledger = reader.ledger(track)
        if ledger:
            yield ledger[-1]


@dataclass(frozen=True, slots=True)
class Looked:
    """When a run searched a camera's pictures for people.

    Attributes:
        run: its id.
        first: UTC seconds.
        last: UTC seconds.
        partly: only in parts of the picture (zones and masks).
    """

    run: int
    first: float
    last: float
    partly: bool


def looked_at(reader: StoreReader, camera: str, runs: Collection[int] = ()) -> list[Looked]:
    """When a camera's pictures were searched for people, by run.

    Args:
        reader: the store.
        camera: its id.
        runs: runs that count though they repeat another; the others always do.
    """
    own = Run.rerun_of.is_(None) | Run.id.in_(sorted(runs))
    states = (
        select(RunCamera.run, RunCamera.first, RunCamera.last)
        .join(Run, Run.id == RunCamera.run)
        .where(RunCamera.camera == camera, RunCamera.first.is_not(None), own)
    )
    # A run that was killed may not have said how far it came; its tracks do.
    tracks = (
        select(Track.run, func.min(Track.start), func.max(Track.end))
        .join(Run, Run.id == Track.run)
        .where(Track.camera == camera, own)
        .group_by(Track.run)
    )
    found: dict[int, tuple[float, float]] = {}
    with reader.connection() as connection:
        for run, first, last in [*connection.execute(states), *connection.execute(tracks)]:
            known = found.get(run, (first, last))
            found[run] = min(known[0], first), max(known[1], last)
        configs: dict[int, Any] = {}
        for some in selects.chunks(sorted(found)):
            rows = connection.execute(select(Run.id, Run.config).where(Run.id.in_(some)))
            configs.update((run, config) for run, config in rows)
    return [
        Looked(run, first, last, _partly(configs.get(run), camera))
        for run, (first, last) in sorted(found.items())
    ]


def _partly(config: Any, camera: str) -> bool:
    """Whether a run's configuration leaves parts of a camera's picture out."""
    cameras = config.get("cameras") if isinstance(config, dict) else None
    return any(
        row.get("id") == camera and bool(row.get("zones") or row.get("masks"))
        for row in cameras or ()
        if isinstance(row, dict)
    )
