"""Stores that open, migrate, or are refused with a clear reason and left as they were."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from reid.errors import StoreError
from storage.engine import VERSION_TABLE, connect, parse_url
from storage.models import Base
from storage.queries import StoreReader
from storage.redact import redact, redact_tree
from storage.settings import StoreSettings
from storage.store import Store
from tests.storage.samples import CAMERAS, points


def test_migrations_make_what_the_models_say_and_again_change_nothing(
    url: str, media: Path
) -> None:
    for _ in range(2):
        Store.open(url, media).close()
        engine = connect(parse_url(url))
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            assert tables == set(Base.metadata.tables) | {VERSION_TABLE}
            assert set(inspect(connection).get_view_names()) == {"current_links", "sightings"}
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
            )
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()


def test_sqlite_is_in_wal_mode_without_row_ids(sqlite_url: str, tmp_path: Path) -> None:
    Store.open(sqlite_url).close()
    plain = sqlite3.connect(tmp_path / "store.db")
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    (sql,) = plain.execute("SELECT sql FROM sqlite_master WHERE name = 'boxes'").fetchone()
    assert "WITHOUT ROWID" in sql
    plain.close()


def test_each_connection_gets_its_pragmas(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store, store._engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "synchronous", "busy_timeout", "journal_mode")
        }
    assert values["foreign_keys"] == 1
    assert values["synchronous"] == 1  # NORMAL
    assert int(values["busy_timeout"]) >= 5000
    assert values["journal_mode"] == "wal"


def test_a_newer_store_is_refused_and_untouched(url: str, media: Path, tmp_path: Path) -> None:
    Store.open(url, media).close()
    engine = connect(parse_url(url))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    engine.dispose()
    file = tmp_path / "store.db"
    before = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
    for open_it in (Store.open, StoreReader.open):
        with pytest.raises(StoreError, match=r"newer version of crosscam \(its schema is 9999"):
            open_it(url, media)
    if before is not None:
        assert hashlib.sha256(file.read_bytes()).hexdigest() == before
        assert sorted(p.name for p in tmp_path.iterdir() if p != media) == ["store.db"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("folder", "is a directory"),
        ("photo.db", "is not a SQLite database"),
        ("other.db", "is a database of another program"),
        ("nowhere/store.db", "there is no folder"),
        ("photo.db/store.db", "there is no folder"),
    ],
)
def test_paths_that_are_no_store(path: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "photo.db").write_bytes(b"\x89PNG\r\n\x1a\n and so on, for a while")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(StoreError, match=why) as caught:
        Store.open(f"sqlite:///{tmp_path / path}")
    assert str(tmp_path / path) in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    Store.open(f"sqlite:///{file}").close()
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StoreError, match=r"store\.db: .*malformed"):
        Store.open(f"sqlite:///{file}")


def test_a_place_that_cannot_be_written_is_named() -> None:
    # Even root cannot make a file there.
    with pytest.raises(StoreError, match=r"/proc/store\.db: unable to open database file"):
        Store.open("sqlite:////proc/store.db", Path("/proc/media"))


def test_a_read_only_store_is_named(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    Store.open(f"sqlite:///{file}").close()
    file.chmod(0o444)
    if os.access(file, os.W_OK):
        pytest.skip("root may write to every file")
    with pytest.raises(StoreError, match="readonly"):
        Store.open(f"sqlite:///{file}")


def test_a_reader_never_makes_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no file"):
        StoreReader.open(f"sqlite:///{tmp_path / 'typo.db'}")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="is not a SQLite database"):
        StoreReader.open(f"sqlite:///{tmp_path / 'empty.db'}")
    assert [p.name for p in tmp_path.iterdir()] == ["empty.db"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:hunter2@h/db",
        "postgresql://u:hunter2@h:port/db",
        "u:hunter2@h/db",
    ],
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(StoreError, match=r"expected sqlite:///FILE\.db or postgresql://") as caught:
        Store.open(url)
    shown = "".join(str(e) for e in (caught.value, caught.value.__cause__))
    assert "://u:hunter2" not in shown


def test_an_unreachable_server_does_not_betray_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=r"postgresql://me:\*\*\*@127\.0\.0\.1:1/db") as caught:
        Store.open("postgresql://me:hunter2@127.0.0.1:1/db?connect_timeout=2", tmp_path)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert "hunter2" not in caplog.text


def test_a_server_needs_a_media_folder() -> None:
    with pytest.raises(StoreError, match=r"\*\*\*@h/db is no file: say where its pictures go"):
        Store.open("postgresql://me:hunter2@h/db")


def test_media_lies_beside_the_file(tmp_path: Path) -> None:
    settings = StoreSettings(url=f"sqlite:///{tmp_path / 'cams.db'}")
    with Store.from_settings(settings) as store:
        assert store.media == tmp_path / "cams.media"
        assert store.media.is_dir()


def test_no_password_reaches_the_store(sqlite_url: str, tmp_path: Path) -> None:
    config = {
        "cameras": [{"url": "rtsp://guard:hunter2@cam/1?x=1&password=hunter2"}],
        "store": {"password": "hunter2", "url": "postgresql://a:hunter2/x@y@h/d"},
    }
    with Store.open(sqlite_url) as store:
        run = store.begin_run(config, CAMERAS)
        store.camera_state(run, "door", "failed", "cannot open rtsp://guard:hunter2@cam/1: 401")
        store.finish_run(run)
        (found,) = store.reader().runs()
        assert found.config["cameras"][0]["url"] == "rtsp://guard:***@cam/1?x=1&password=***"
        assert store.reader().cameras()[0].url == "rtsp://guard:***@10.0.0.1/live"
    for file in tmp_path.iterdir():
        if file.is_file():
            assert b"hunter2" not in file.read_bytes()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://u:p@h/x", "rtsp://u:***@h/x"),
        ("rtsp://u:p@ss/w:rd@h:554/x", "rtsp://u:***@h:554/x"),
        ("rtsp://:p@h", "rtsp://:***@h"),
        ("http://host:8080/me@home.jpg", "http://host:8080/me@home.jpg"),
        ("http://h/x?user=a&pwd=p&y=2", "http://h/x?user=a&pwd=***&y=2"),
        ("two: rtsp://a:b@c and rtsp://d:e@f", "two: rtsp://a:***@c and rtsp://d:***@f"),
        ("no url: at 10:30 me@home", "no url: at 10:30 me@home"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact_tree({"a": [text]}) == {"a": [shown]}


def test_a_run_of_a_living_process_stays_running(
    sqlite_url: str,
) -> None:
    with Store.open(sqlite_url) as one, Store.open(sqlite_url) as two:
        first = one.begin_run({}, CAMERAS)
        one.add_points(first, "door", 1, points(2))
        one.flush()
        second = two.begin_run({}, CAMERAS)
        states = {run.id: run.status for run in one.reader().runs()}
        assert states == {first: "running", second: "running"}
