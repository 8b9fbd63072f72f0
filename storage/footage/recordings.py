"""The index of the recordings: which file holds which camera's video of which time.

A segment's row is written before its file is made and closed after its file is complete; so a
file without a row was never ours to lose, and an open row of a dead run is a segment that a crash
cut off (`pipeline/segments.py` measures what is left of it).

A packet whose pts is t seconds after that of the file's *first packet* was captured at
`start` + t. (Not "after the smallest": pictures that are shown before the first key frame may
come behind it.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from reid.errors import StoreError
from storage.desk_models import Recording
from storage.media import safe_name
from storage.models import EPOCH, Run, to_microsecond
from storage.queries import StoreReader
from storage.selects import AnyRow, AnySelect
from storage.store import Store

FOLDER = "recordings"

COLUMNS: AnySelect = select(*Recording.__table__.columns)


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """One segment of one camera's video.

    Attributes:
        id: of the row.
        camera: whose video it is.
        run: the run that recorded it.
        path: the file, absolute; MP4 (fragmented), or Matroska for what MP4 cannot hold.
        start: capture time of the first packet, UTC seconds.
        end: capture time of the last picture, and its duration, UTC seconds.
        bytes: size of the file.
        codec: of the video: `h264`, `hevc`, `mjpeg`, ...
        width: pixels as coded.
        height: pixels as coded.
        closed: the file is complete; while it is not, `end` and `bytes` grow.
    """

    id: int
    camera: str
    run: int | None
    path: Path
    start: float
    end: float
    bytes: int
    codec: str
    width: int
    height: int
    closed: bool


def recordings(
    reader: StoreReader,
    camera: str | None = None,
    start: float | None = None,
    end: float | None = None,
) -> list[RecordingRow]:
    """The segments that touch [start, end] (UTC seconds), by camera, then by start.

    Raises:
        StoreError: if the store cannot be read, or its media folder is not known.
    """
    found = COLUMNS.order_by(Recording.camera, Recording.start, Recording.id)
    if camera is not None:
        found = found.where(Recording.camera == camera)
    if start is not None:
        found = found.where(Recording.end >= start)
    if end is not None:
        found = found.where(Recording.start <= end)
    with reader.connection() as connection:
        return [row_of(row, media_of(reader)) for row in connection.execute(found)]


def recorded_cameras(reader: StoreReader, start: float, end: float) -> list[str]:
    """The cameras with a segment that touches [start, end] (UTC seconds), by id.

    Raises:
        StoreError: if the store cannot be read.
    """
    # Not DISTINCT: SQLite would go camera by camera, through rows of all times.
    found = select(Recording.camera).where(Recording.end >= start, Recording.start <= end)
    with reader.connection() as connection:
        return sorted(set(connection.execute(found).scalars()))


def media_of(reader: StoreReader) -> Path:
    """The media folder, absolute.

    Raises:
        StoreError: if nobody said where it is (PostgreSQL without `media`).
    """
    if reader.media is None:
        raise StoreError(
            f"store {reader.url}: say where its media folder is (store.media, --media): "
            "the recordings lie there"
        )
    return reader.media.absolute()


def row_of(row: AnyRow, media: Path) -> RecordingRow:
    """A row of `COLUMNS` as a record; `path` becomes absolute."""
    return RecordingRow(**{**dict(row._mapping), "path": media / row.path})


def begin_recording(
    store: Store,
    *,
    camera: str,
    run: int,
    start: float,
    codec: str,
    width: int,
    height: int,
    suffix: str,
) -> RecordingRow:
    """Write the row of a segment that is about to begin, and give it its file's name.

    Args:
        store: where to.
        camera: of the run.
        run: the run.
        start: capture time of the first packet, UTC seconds.
        codec: of the video.
        width: pixels.
        height: pixels.
        suffix: of the file: `.mp4` or `.mkv`.

    Raises:
        StoreError: if the store cannot be written.
    """
    start = to_microsecond(start)
    values: dict[str, Any] = {
        "camera": camera,
        "run": run,
        "start": start,
        "end": start,
        "bytes": 0,
        "codec": codec,
        "width": width,
        "height": height,
        "closed": False,
    }

    def add(connection: Connection) -> RecordingRow:
        for again in range(1, 1000):  # a clock that is set back meets its own names again
            path = segment_path(camera, run, start, again, suffix)
            known = select(Recording.id).where(Recording.path == path)
            if connection.execute(known).first() is None and not (store.media / path).exists():
                break
        row = {**values, "path": path}
        done = connection.execute(insert(Recording).values(row).returning(Recording.id))
        target = store.media.absolute() / path
        return RecordingRow(**{**values, "id": done.scalar_one(), "path": target})

    return store.write(add)


def segment_path(camera: str, run: int, start: float, again: int, suffix: str) -> str:
    """Relative path of a segment: camera, UTC day, UTC time of day, run (and which of the same)."""
    moment = EPOCH + timedelta(seconds=start)
    more = "" if again == 1 else f"-{again}"
    name = f"{moment:%H%M%S}.{moment.microsecond // 1000:03d}-run{run:06d}{more}{suffix}"
    return str(PurePosixPath(FOLDER, safe_name(camera), f"{moment:%Y-%m-%d}", name))


def grow_recording(
    store: Store, recording: int, start: float, end: float, size: int, *, closed: bool = False
) -> None:
    """Say how far a segment has come, without waiting for the commit.

    Args:
        store: where to.
        recording: id of its row.
        start: capture time of the first packet as known now, UTC seconds.
        end: capture time up to which it reaches, UTC seconds.
        size: bytes on disk.
        closed: the file is complete.

    Raises:
        StoreError: if an earlier write failed.
    """
    values = {
        "start": to_microsecond(start),
        "end": to_microsecond(end),
        "bytes": size,
        "closed": closed,
    }
    change = update(Recording).where(Recording.id == recording).values(values)
    store.write_soon(lambda connection: connection.execute(change))


def drop_recording(store: Store, recording: int) -> None:
    """Take back the row of a segment that came to nothing: it never held a picture.

    Raises:
        StoreError: if the store cannot be written.
    """
    gone = delete(Recording).where(Recording.id == recording)
    store.write(lambda connection: connection.execute(gone).rowcount)


def cut_off(reader: StoreReader) -> list[RecordingRow]:
    """Segments still open though their run is not running: a crash cut them off."""
    running = select(Run.id).where(Run.status == "running")
    found = COLUMNS.where(
        Recording.closed.is_(False), Recording.run.is_(None) | Recording.run.not_in(running)
    )
    with reader.connection() as connection:
        return [row_of(row, media_of(reader)) for row in connection.execute(found)]
