"""Stored crops by the id of their row, and when the store last saw anybody."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from storage.models import ExemplarCrop, Run, Track
from storage.queries import StoreReader


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Where a crop lies, of which track, and which camera took it."""

    id: int
    track: int
    camera: str
    path: Path
    sha256: str


def stored_picture(reader: StoreReader, picture: int) -> StoredPicture | None:
    """A crop by its row's id; None if there is none."""
    found = (
        select(ExemplarCrop.track, Track.camera, ExemplarCrop.path, ExemplarCrop.sha256)
        .join(Track, Track.id == ExemplarCrop.track)
        .where(ExemplarCrop.id == picture)
    )
    with reader.connection() as connection:
        row = connection.execute(found).first()
    if row is None:
        return None
    path = (reader.media or Path()) / row.path
    return StoredPicture(picture, row.track, row.camera, path, row.sha256)


def newest_sighting(reader: StoreReader, cameras: Collection[str] | None = None) -> float | None:
    """When the last track (of these cameras) ended, UTC seconds; None if there is none.

    Runs that repeat another one do not count.
    """
    found = select(Track.end).join(Run, Run.id == Track.run).where(Run.rerun_of.is_(None))
    if cameras is not None:
        found = found.where(Track.camera.in_(sorted(cameras)))
    with reader.connection() as connection:
        last = found.order_by(Track.end.desc()).limit(1)
        newest: float | None = connection.execute(last).scalar()
    return newest


def count_between(
    reader: StoreReader, start: float, end: float, cameras: Collection[str] | None = None
) -> int:
    """How many tracks (of these cameras) touch a stretch of time, re-runs left out."""
    found = (
        select(func.count())
        .select_from(Track)
        .join(Run, Run.id == Track.run)
        .where(Run.rerun_of.is_(None), Track.start <= end, Track.end >= start)
    )
    if cameras is not None:
        found = found.where(Track.camera.in_(sorted(cameras)))
    with reader.connection() as connection:
        return int(connection.execute(found).scalar_one())
