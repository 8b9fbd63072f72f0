"""Files and rows of recordings that a crash left without each other."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, select

from storage.audit import Audit, record
from storage.desk_models import Recording
from storage.footage.protection import protection
from storage.footage.recordings import FOLDER, media_of
from storage.queries import StoreReader
from storage.store import Store

log = logging.getLogger(__name__)

GONE = ".gone"
_SETTLED = 3600.0  # seconds an empty folder stays: a recorder may just have made it


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found.

    Attributes:
        finished: files whose deletion had begun and is now finished.
        restored: files whose deletion had begun but was never committed; they have their name
            back.
        missing: rows whose file is not there; they are removed, with an audit row, unless a case
            or a hold protects them.
        unknown: files that no row knows; they stay. May be footage of a restored store.
        unmounted: most recordings are not where they should be: no row was removed.
    """

    finished: tuple[Path, ...]
    restored: tuple[Path, ...]
    missing: tuple[str, ...]
    unknown: tuple[Path, ...]
    unmounted: bool


def sweep_files(store: Store, reader: StoreReader, dry_run: bool = False) -> Sweep:
    """Bring files and rows together again.

    Raises:
        StoreError: if the store cannot be read or written.
    """
    media = media_of(reader)
    # Files first: a segment that begins in between has a row by the time the rows are read.
    files = {p.relative_to(media).as_posix(): p for p in _files(media / FOLDER)}
    with reader.connection() as connection:
        found = connection.execute(select(Recording.path, Recording.closed))
        rows = {row.path: row.closed for row in found}
    half = {name.removesuffix(GONE): path for name, path in files.items() if name.endswith(GONE)}
    finished, restored = [], []
    for name, path in sorted(half.items()):
        try:
            if name not in rows:
                finished.append(path)
                if not dry_run:
                    path.unlink(missing_ok=True)
            elif name not in files and (dry_run or _restore(store, path, media, name)):
                restored.append(path)
        except OSError as error:
            log.warning("cannot finish with %s: %s", path, error.strerror or error)
    there = files.keys() | half.keys()
    lost = sorted(n for n, closed in rows.items() if closed and n not in there)
    lost = [name for name in lost if not (media / name).exists()]
    # Most, not all: a run that began without the disk has made the folder anew, and records.
    unmounted = 2 * len(lost) > sum(rows.values())
    if unmounted:
        log.warning(
            "%d of the store's %d recordings are not in %s: is its disk mounted? Nothing is "
            "removed",
            len(lost),
            len(rows),
            media / FOLDER,
        )
    elif lost and not dry_run:
        lost = _forget(store, lost)
    unknown = sorted(p for n, p in files.items() if not n.endswith(GONE) and n not in rows)
    if unknown:
        log.warning(
            "%d files in %s belong to no recording of the store (the first: %s); they stay",
            len(unknown),
            media / FOLDER,
            unknown[0].name,
        )
    if not dry_run:
        _remove_empty(media / FOLDER)
    return Sweep(
        tuple(finished),
        tuple(restored),
        () if unmounted else tuple(lost),
        tuple(unknown),
        unmounted,
    )


def _restore(store: Store, path: Path, media: Path, name: str) -> bool:
    """Give a file its name back, unless its row is being deleted this very moment."""

    def restore(connection: Connection) -> bool:
        # As a writer: behind a deletion that was under way, and then there is no row.
        row = select(Recording.id).where(Recording.path == name)
        if connection.execute(row).first() is None or not path.exists():
            return False
        path.rename(media / name)
        return True

    return store.write(restore)


def _forget(store: Store, lost: list[str]) -> list[str]:
    """Remove rows whose file somebody took away, and say so in the audit trail.

    What a case or a hold protects stays in the index: it says what there was to be found.
    """
    gone: list[str] = []
    for begin in range(0, len(lost), 200):
        names = lost[begin : begin + 200]

        def forget(connection: Connection, names: list[str] = names) -> list[str]:
            kept = protection(connection, 0.0)
            found = select(Recording.path, Recording.camera, Recording.start, Recording.end)
            rows = connection.execute(found.where(Recording.path.in_(names)))
            going = sorted(r.path for r in rows if not kept.covers(r.camera, r.start, r.end))
            if going:
                connection.execute(delete(Recording).where(Recording.path.in_(going)))
                details = {"because": {"missing": len(going)}, "files": going}
                subject = f"{len(going)} recordings"
                record(connection, Audit("crosscam", "retention", subject, details=details))
            return going

        gone += store.write(forget)
    log.warning(
        "%d recordings are not in the media folder any more (the first: %s); %d of them are "
        "protected and stay in the index",
        len(lost),
        lost[0],
        len(lost) - len(gone),
    )
    return gone


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (p for p in folder.rglob("*") if p.is_file())


def _remove_empty(folder: Path) -> None:
    """Remove the folders of days without recordings."""
    if not folder.is_dir():
        return
    before = time.time() - _SETTLED
    for day in folder.glob("*/*"):
        try:
            if day.is_dir() and day.stat().st_mtime < before:
                day.rmdir()
        except OSError:
            continue  # not empty
