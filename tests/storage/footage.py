"""Made-up recordings: rows with small files of a given size."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from storage.desk_models import Case, CaseItem, Recording
from storage.footage.recordings import RecordingRow, begin_recording, grow_recording, recordings
from storage.store import Store
from tests.storage.samples import NOON

DAY = 86_400.0


def add_recording(
    store: Store,
    run: int,
    camera: str = "door",
    start: float = NOON,
    seconds: float = 60.0,
    size: int = 1000,
    closed: bool = True,
) -> RecordingRow:
    row = begin_recording(
        store, camera=camera, run=run, start=start, codec="h264", width=64, height=48,
        suffix=".mp4",
    )  # fmt: skip
    row.path.parent.mkdir(parents=True, exist_ok=True)
    row.path.write_bytes(bytes(size))
    grow_recording(store, row.id, start, start + seconds, size, closed=closed)
    store.flush()
    return next(r for r in recordings(store.reader()) if r.id == row.id)


def add_case(store: Store, closed: float | None = None, **item: object) -> int:
    """A case with one item; returns its id."""

    def add(connection) -> int:
        case = connection.execute(
            insert(Case)
            .values(name="c", created=NOON, actor="cli:t", reason="r", closed=closed)
            .returning(Case.id)
        ).scalar_one()
        row = {"case": case, "note": "", "added": NOON, "actor": "cli:t", **item}
        connection.execute(insert(CaseItem).values(row))
        return int(case)

    return store.write(add)


def close_case(store: Store, case: int) -> None:
    change = update(Case).where(Case.id == case).values(closed=NOON)
    store.write(lambda connection: connection.execute(change).rowcount)


def paths(store: Store) -> set[str]:
    """What the rows say, relative to the media folder."""
    with store.reader().connection() as connection:
        return set(connection.execute(select(Recording.path)).scalars())


def files(store: Store) -> set[str]:
    """What lies on the disk, relative to the media folder."""
    folder = store.media / "recordings"
    return {p.relative_to(store.media).as_posix() for p in folder.rglob("*") if p.is_file()}
