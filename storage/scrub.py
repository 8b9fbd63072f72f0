"""After an erasure: the files go, and the bytes go from the database's own files.

A list of the files stands in the media folder (`erasing/*.json`) from before the commit until the
last of them is gone and the database is scrubbed. After a crash in between, the next erasure or the
next opening of the store goes on with it; a list whose transaction never came to its commit is
dropped, as the rows it names are still there.

SQLite overwrites what is deleted (`PRAGMA secure_delete`, on every connection); its log is emptied
here. PostgreSQL gives the space free by VACUUM; the bytes stay in it, and in its own log, until
they are written over. `rewrite` has either database write its files anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, select

from reid.errors import StoreError
from storage.desk_models import Watch
from storage.engine import BUSY_SECONDS, store_errors
from storage.media import write_file
from storage.models import ExemplarCrop
from storage.selects import chunks

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = "erasing"
BUSY = "other programs read the store right now, so its log (-wal) still holds old pages"
TABLES = (
    "ledger", "tracklets", "exemplars", "boxes", "tracks", "identities", "alerts", "case_items",
    "watches",
)  # fmt: skip


class Writable(Protocol):
    """What is needed of a `Store`, which knows this module in turn."""

    url: str
    media: Path

    def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in one transaction."""
        ...

    def maintain(self, function: Callable[[Engine], T]) -> T:
        """Run a function on the database itself."""
        ...


def note_files(media: Path, identity: int, paths: Sequence[str]) -> Path:
    """Write down, before the commit, which files (relative to the media folder) have to go.

    Raises:
        StoreError: if it cannot be written.
    """
    target = media / FOLDER / f"{identity}-{time.time_ns()}.json"
    write_file(target, json.dumps(sorted(paths)).encode())
    return target


def finish(store: Writable, *, rewrite: bool = False, patience: float = 10.0) -> list[str]:
    """Finish what erasures began: remove their files, scrub the database.

    Args:
        store: of the erasures.
        rewrite: write the database's files anew. The store is locked meanwhile.
        patience: seconds to wait for readers of a SQLite file.

    Returns:
        What could not be done, in sentences; the lists stay for the next time.

    Raises:
        StoreError: if the store cannot be written.
    """
    folder = store.media / FOLDER
    lists = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not lists and not rewrite:
        return []
    # As a writer: an erasure that has written its list has committed, or has failed, by then.
    paths = [(own, path) for own in lists for path in _read(own)]
    known = store.write(lambda connection: _known(connection, [path for _, path in paths]))
    problems, stuck = [], set()
    for own, path in paths:
        if path not in known and (problem := _remove(store.media, path)):
            problems.append(problem)
            stuck.add(own)
    try:
        problem = store.maintain(lambda engine: _scrub(engine, store.url, rewrite, patience))
    except StoreError as error:
        problem = str(error)
    if problem is not None:
        return [*problems, problem]
    for own in lists:
        if own not in stuck:
            own.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        with suppress(OSError):  # another erasure has just begun
            folder.rmdir()
    return problems


def _read(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:  # another process was quicker
        return []
    except ValueError:
        log.warning("%s is not a list of files; it is left alone", path)
        return []
    return [str(name) for name in found]


def _known(connection: Connection, paths: Sequence[str]) -> set[str]:
    """Those that the store still refers to."""
    found: set[str] = set()
    for some in chunks(paths):
        for column in (ExemplarCrop.path, Watch.picture):
            rows = select(column).where(column.in_(some))
            found |= {path for path in connection.execute(rows).scalars() if path is not None}
    return found


def _remove(media: Path, path: str) -> str | None:
    """Remove a file; returns what went wrong."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        return f"{path} is outside of the media folder; it was left alone"
    target = media / relative
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        return f"cannot remove {target}: {error.strerror or error}"
    return None


def _scrub(engine: Engine, shown: str, rewrite: bool, patience: float) -> str | None:
    with store_errors(shown, "cannot scrub"):
        if engine.dialect.name == "sqlite":
            return _scrub_sqlite(engine, rewrite, patience)
        full = "(FULL) " if rewrite else ""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"VACUUM {full}{', '.join(TABLES)}")
        return None


def _scrub_sqlite(engine: Engine, rewrite: bool, patience: float) -> str | None:
    """Empty the log; returns what is in the way."""
    with engine.connect() as connection:
        cursor = connection.connection.cursor()  # beside SQLAlchemy, which would begin first
        try:
            if rewrite:
                cursor.execute("VACUUM")
            # Short tries: while it waits for readers it keeps writers out.
            cursor.execute("PRAGMA busy_timeout = 200")
            deadline = time.monotonic() + patience
            while _busy(cursor):
                if time.monotonic() > deadline:
                    return BUSY
                time.sleep(0.1)
            return None
        except sqlite3.Error as error:
            return f"cannot scrub the database: {error}"
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            cursor.close()


def _busy(cursor: Any) -> bool:
    try:
        return bool(cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return True
