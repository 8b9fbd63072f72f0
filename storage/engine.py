"""From a store URL to a SQLAlchemy engine with the right schema, or a clear `StoreError`.

SQLite runs in WAL mode with short `BEGIN IMMEDIATE` transactions; PostgreSQL through psycopg.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)

from reid.errors import StoreError
from storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

log = logging.getLogger(__name__)

VERSION_TABLE = "crosscam_version"
BUSY_SECONDS = 20.0
WRITE = {"crosscam_begin": "BEGIN IMMEDIATE"}
ALLOWED = "sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE"
_WRITE_LOCK = 0x7772697465  # PostgreSQL advisory lock: one writes at a time
_MIGRATION_LOCK = 0x63726F7373  # PostgreSQL advisory lock: one process migrates at a time


def parse_url(url: str) -> URL:
    """Read a store URL.

    Raises:
        StoreError: if it is neither SQLite with a file nor PostgreSQL; never shows a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: the library's message may quote the URL with its password.
        raise StoreError(f"store URL {redact(url)!r} cannot be read; expected {ALLOWED}") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:") or "mode" in parsed.query:
            raise StoreError(f"store URL {redact(url)!r} names no file; expected {ALLOWED}")
        return URL.create("sqlite", database=parsed.database)
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"store URL {redact(url)!r}: {backend} is not supported; expected {ALLOWED}")


def show_url(url: URL) -> str:
    """The URL for people: without its password."""
    shown = url.set(drivername=url.get_backend_name())
    return redact(shown.render_as_string(hide_password=True))


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite store; None for another database."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database)


@contextmanager
def store_errors(shown: str, doing: str) -> Iterator[None]:
    """Turn the database's errors into one `StoreError` that names the store."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"{doing} store {shown}: {describe(error)}") from error
    except OSError as error:
        raise StoreError(f"{doing} store {shown}: {error}") from error


def describe(error: SQLAlchemyError) -> str:
    """One line that says what the database said, without SQL, parameters or passwords."""
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    return redact(" ".join(str(cause).split()))


def connect(url: URL, mode: str = "rwc") -> Engine:
    """Make an engine; opens nothing yet.

    Args:
        url: from `parse_url`.
        mode: SQLite's: `rwc` (write, create), `rw` (never create), `ro` (never change),
            or `immutable` (`ro` where no other process has it open).
    """
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database)).absolute()
        query = {"mode": "ro", "immutable": "1"} if mode == "immutable" else {"mode": mode}
        address = URL.create(
            "sqlite",
            database=f"file:{quote(str(file))}",
            query={**query, "uri": "true"},
        )
        engine = create_engine(
            address,
            hide_parameters=True,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (ImportError, NoSuchModuleError):
        raise StoreError(
            f"store {show_url(url)} needs psycopg: pip install 'crosscam[postgresql]'"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # SQLAlchemy's BEGIN is ours (see `_begin_sqlite`), not the driver's.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    # What is deleted or replaced is overwritten: an erasure has to find nothing left behind.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("crosscam_begin", "BEGIN")
    connection.exec_driver_sql(begin)


class LockHeldError(SQLAlchemyError):
    """Another process held the store's write lock for too long; it can be tried again."""


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """One short transaction that holds the write lock from its first statement.

    A store has one writer at a time, in whichever process: each sees what the last one left, ids
    rise in the order of commits, and no two wait for each other. SQLite is so by itself;
    PostgreSQL is asked for a lock, and the wait for it ends like SQLite's.

    Raises:
        LockHeldError: if another held it for `BUSY_SECONDS`; nothing was done.
    """
    with engine.connect().execution_options(**WRITE) as connection:
        with _lock_errors():
            transaction = connection.begin()
        with transaction:
            if connection.dialect.name == "postgresql":
                patience = f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)}"
                connection.exec_driver_sql(patience)
                with _lock_errors():
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})"))
            yield connection


@contextmanager
def _lock_errors() -> Iterator[None]:
    """That the lock was not to be had, by name; other errors as they are."""
    try:
        yield
    except OperationalError as error:
        # SQLite: SQLITE_BUSY; PostgreSQL: lock_not_available.
        codes = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
        if "SQLITE_BUSY" in codes[0] or codes[1] == "55P03":
            raise LockHeldError(describe(error)) from error
        raise


def check_file(path: Path, shown: str, must_exist: bool) -> None:
    """Refuse what can never be a store, with the reason, before anything is touched."""
    if path.is_dir():
        raise StoreError(f"store {shown}: {path} is a directory; expected a file")
    if not path.exists():
        if must_exist:
            raise StoreError(f"store {shown}: there is no file {path}")
        if not path.parent.is_dir():
            raise StoreError(f"store {shown}: there is no folder {path.parent}")
        return
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"store {shown}: {error}") from error
    if size == 0:
        if must_exist:
            raise StoreError(f"store {shown}: {path} is not a SQLite database")
        return
    _check_head(path, shown)


def _check_head(path: Path, shown: str) -> None:
    """Refuse a file that is no database. By SQLite, never by opening it ourselves.

    To close a file ends all locks that this process holds on it, whoever took them (POSIX). Another
    process that then leaves the store would take itself for the last one and remove the log that
    ours still writes to.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        # Without its log a good database may look damaged; a real opening tells that.
        if "not a database" in str(error):
            raise StoreError(f"store {shown}: {path} is not a SQLite database") from error


def revisions(engine: Engine) -> tuple[str | None, bool]:
    """The schema version that a database holds, and whether it holds tables at all."""
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        if VERSION_TABLE not in tables:
            return None, bool(tables)
        row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
        return (str(row[0]) if row else None), True


def _look(url: URL, shown: str) -> tuple[str | None, bool]:
    """`revisions` of a store that may not be ours, without leaving a trace."""
    path = sqlite_path(url)
    modes = ["ro"]
    if path is not None and not path.with_name(f"{path.name}-wal").exists():
        # Reading a WAL database leaves two empty files beside it, unless it is said to be
        # immutable; should another process open it this very moment, look again as usual.
        modes = ["immutable", "ro"]
    for mode in modes:
        engine = connect(url, mode)
        try:
            with store_errors(shown, "cannot read"):
                return revisions(engine)
        except StoreError:
            if mode == modes[-1]:
                raise
        finally:
            engine.dispose()
    raise StoreError(f"cannot read store {shown}")


def check_version(url: URL, current: bool) -> None:
    """Refuse a store that this version cannot use; changes nothing.

    Args:
        url: from `parse_url`.
        current: also refuse an older or an empty store, which `migrate` would bring up.
    """
    from alembic.script import ScriptDirectory

    shown = show_url(url)
    path = sqlite_path(url)
    found, used = _look(url, shown)
    script = ScriptDirectory.from_config(_alembic())
    known = {revision.revision for revision in script.walk_revisions()}
    if found is None and used and path is not None:
        raise StoreError(f"store {shown}: {path} is a database of another program")
    if found is not None and found not in known:
        raise StoreError(
            f"store {shown} was written by a newer version of crosscam (its schema is {found}; "
            f"this version knows up to {script.get_current_head()}): update crosscam"
        )
    if current and found != script.get_current_head():
        raise StoreError(
            f"store {shown} has schema {found or 'none'}, not {script.get_current_head()}; "
            "open it once with `crosscam run` to bring it up to date"
        )


def migrate(engine: Engine, shown: str) -> None:
    """Bring the schema up to this version, in one transaction; does nothing if it is there.

    Raises:
        StoreError: if the database refuses.
    """
    from alembic import command

    with store_errors(shown, "cannot prepare"):
        if engine.dialect.name == "sqlite":
            _set_wal(engine, shown)
        with write_transaction(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _set_wal(engine: Engine, shown: str) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        while True:
            try:
                mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait here by itself when another process opens the same file.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise StoreError(f"cannot prepare store {shown}: {error}") from error
                time.sleep(0.02)
        cursor.close()
    if mode is None or str(mode[0]).lower() != "wal":
        log.warning("store %s: WAL mode is not available here (%s): slower", shown, mode)


def _alembic() -> Config:
    from alembic.config import Config

    config = Config()
    # "%" is the configuration's own escape, and a folder may hold one.
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["version_table"] = VERSION_TABLE
    return config
