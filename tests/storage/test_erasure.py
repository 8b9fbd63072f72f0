"""Erasure: nothing of the identity is left in any byte of the store; all others are untouched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text, update

from reid.errors import StoreError
from storage import scrub
from storage.audit import entries
from storage.decisions.decide import Decisions, decisions
from storage.desk_models import Tombstone
from storage.erasure.erase import erase, survey
from storage.models import Run, TrackletEmbedding
from storage.store import Store
from tests.storage.erasing import GONE, files, fill, leaks, secrets
from tests.storage.samples import (
    NOON,
    decision,
)


@pytest.fixture
def store(sqlite_url: str, media: Path) -> Iterator[Store]:
    with Store.open(sqlite_url, media) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def either(url: str, media: Path) -> Iterator[Store]:
    """On each kind of database, for what its SQL or its files decide."""
    with Store.open(url, media) as opened:
        fill(opened)
        yield opened


def tables(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.reader().connection() as connection:
        names = inspect(connection).get_table_names()
        return {
            name: [tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"'))]
            for name in sorted(names)
        }


def data_folder(store: Store, url: str) -> Path:
    """Where PostgreSQL keeps the database's files: beside the socket of our own server."""
    with store.reader().connection() as connection:
        own = text("SELECT oid FROM pg_database WHERE datname = current_database()")
        number = connection.execute(own).scalar_one()
    return Path(url.split("host=")[1]) / "data" / "base" / str(number)


def test_no_byte_of_it_is_left_and_the_rest_is_as_it_was(
    either: Store, url: str, media: Path, tmp_path: Path
) -> None:
    sqlite = url.startswith("sqlite")
    if not sqlite and "host=" not in url:
        pytest.skip("the files of a server of somebody else's cannot be read")
    where = (tmp_path,) if sqlite else (data_folder(either, url),)
    if not sqlite:
        either.maintain(lambda engine: _checkpoint(engine))
    before, bytes_before = tables(either), leaks(media, *where)
    pictures = [p for p in files(media) if not any(b"%08d-" % t in str(p).encode() for t in GONE)]
    known = {leak.split(" in ")[0].split(" from ")[0] for leak in bytes_before}
    there = {what.split(" from ")[0] for what in secrets(media) if "look 1" not in what}
    assert there <= known, "the search finds what is there"

    report = erase(either, 2, "anna", "asked to be forgotten", watches=True, rewrite=not sqlite)

    if not sqlite:
        either.maintain(lambda engine: _checkpoint(engine))
    assert report.problems == ()
    assert leaks(media, *where) == []
    assert all(path.exists() for path in pictures)
    after = tables(either)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "alerts", "audit", "boxes", "case_items", "counters", "exemplars", "identities", "ledger",
        "tombstones", "tracklets", "tracks", "watches",
    }  # fmt: skip
    ledger = [row for row in before["ledger"] if row[2] not in GONE and row[3] != 2]
    ledger = [row if row[6] != 2 else (*row[:6], None, *row[7:]) for row in ledger]
    assert sorted(after["ledger"]) == sorted(ledger), "7 keeps its row, without the name"
    for name in ("tracks", "boxes", "tracklets", "exemplars"):
        key = 1 if name == "exemplars" else 0
        assert after[name] == [row for row in before[name] if row[key] not in GONE]
    assert after["identities"] == [row for row in before["identities"] if row[0] != 2]
    assert after["erasing"] == []
    assert report.counts == {
        "pictures": 2, "vectors": 2, "boxes": 20, "links": 3, "alerts": 1, "case items": 2,
        "watches": 1, "files": 2,
    }  # fmt: skip


def _checkpoint(engine: Any) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")


def test_one_audit_entry_with_ids_and_counts(store: Store) -> None:
    erase(store, 2, "anna", "asked", address="10.0.0.7")
    (entry,) = entries(store.reader())
    assert (entry.actor, entry.action, entry.subject) == ("anna", "erase", "identity 2")
    assert (entry.reason, entry.address) == ("asked", "10.0.0.7")
    assert entry.details["tracks"] == list(GONE)
    assert entry.details["removed"]["vectors"] == 2
    assert set(entry.details) == {"tracks", "removed"}


def test_caches_hear_of_it(either: Store) -> None:
    with either.reader().connection() as connection:
        highest = connection.execute(
            select(TrackletEmbedding.revision).order_by(TrackletEmbedding.revision.desc())
        ).scalar()
    erase(either, 2, "anna", "x")
    with either.reader().connection() as connection:
        stones = connection.execute(select(Tombstone.track, Tombstone.revision)).all()
    assert sorted(track for track, _ in stones) == list(GONE)
    assert highest is not None
    assert all(revision > highest for _, revision in stones)


def test_a_running_run_keeps_its_tracks(store: Store) -> None:
    store.write(lambda c: c.execute(update(Run).values(status="running", process="elsewhere:1:0")))
    store.write(lambda c: c.execute(update(Run).values(heartbeat=4e9)))
    before = tables(store)
    with pytest.raises(StoreError, match=r"identity 2 .* while run 1 goes on.* tracks 4, 5 in mem"):
        erase(store, 2, "anna", "x")
    assert tables(store) == before
    store.write(lambda c: c.execute(update(Run).values(heartbeat=NOON)))
    assert erase(store, 2, "anna", "x").tracks == GONE, "a dead run is no hindrance"


def test_refusals(store: Store) -> None:
    before = tables(store)
    with pytest.raises(StoreError, match="has no identity 9"):
        erase(store, 9, "anna", "x")
    with pytest.raises(StoreError, match="the reason is empty"):
        erase(store, 2, "anna", " ")
    assert tables(store) == before
    erase(store, 2, "anna", "x")
    with pytest.raises(StoreError, match="has no identity 2"):
        erase(store, 2, "anna", "x")


def test_decisions_about_the_erased_say_so(either: Store) -> None:
    desk = Decisions(either)
    moved = desk.confirm(4, 2, "anna", "it is")
    rejected = desk.reject(6, 2, "anna", "is not")
    erase(either, 2, "anna", "x")
    kept = {d.id: d for d in decisions(either.reader())}
    assert (kept[moved.id].tracks, kept[moved.id].identity) == ((), None)
    assert (kept[rejected.id].tracks, kept[rejected.id].identity) == ((6,), None)
    with pytest.raises(StoreError, match="its tracks were erased"):
        desk.undo(moved.id, "anna", "x")
    with pytest.raises(StoreError, match="track 4 was erased"):
        desk.confirm(4, 1, "anna", "x")


def test_a_crash_before_the_files_went_is_made_good_on_opening(
    sqlite_url: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with Store.open(sqlite_url, media) as store:
        fill(store)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(scrub, "finish", crash)
            erase(store, 2, "anna", "x", watches=True)
        left = leaks(media)
        assert any("picture of 4" in leak for leak in left), "committed, but the files are there"
    Store.open(sqlite_url, media).close()
    assert leaks(media, tmp_path) == []
    assert not (media / scrub.FOLDER).exists()


def test_a_list_without_its_commit_removes_nothing(sqlite_url: str, media: Path) -> None:
    with Store.open(sqlite_url, media) as store:
        fill(store)
        paths = [p.relative_to(media).as_posix() for p in files(media)]
        outside = media.parent / "outside.txt"
        outside.write_text("x")
        scrub.note_files(media, 2, [*paths, "../outside.txt", str(outside)])
        problems = scrub.finish(store)
        assert [p for p in problems if "outside of the media folder" in p]
    assert outside.exists()
    assert [p.relative_to(media).as_posix() for p in files(media / "run000001")] == paths


def test_a_picture_without_a_row_and_the_live_picture_go_too(store: Store, media: Path) -> None:
    """A crash of an earlier run left the one; the other shows who came last."""
    folder = next(files(media / "run000001")).parent.parent / "yard"
    orphan = folder / "00000004-00000077-0badcafe.jpg"
    half = folder / ".00000004-00000078-0badcafe.jpg.77.part"
    neighbour = folder / "00000041-00000077-0badcafe.jpg"
    live = media / "live" / "yard.jpg"
    live.parent.mkdir()
    for path in (orphan, half, neighbour, live):
        path.write_bytes(b"x")
    erase(store, 2, "anna", "x")
    assert not any(path.exists() for path in (orphan, half, live))
    assert neighbour.exists()


def test_a_reader_in_the_way_is_reported_and_made_good(
    sqlite_url: str, media: Path, tmp_path: Path
) -> None:
    with Store.open(sqlite_url, media) as store:
        fill(store)
        reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tracks").fetchall()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scrub.finish, "__kwdefaults__", {"rewrite": False, "patience": 0.1})
            report = erase(store, 2, "anna", "x", watches=True)
        assert report.problems == (scrub.BUSY,)
        assert leaks(media, tmp_path) != [], "the log still has it, and the report says so"
        reader.close()
        assert scrub.finish(store) == []
        assert leaks(media, tmp_path) == []


WENT = "identity 2 has no tracks any more: it went into {}; erase that one"


def test_an_identity_that_was_merged_away_is_refused_and_named(either: Store) -> None:
    """It said that the person was gone, who stayed in the identity kept."""
    merge = Decisions(either).merge(3, 2, "anna", "x")
    before = tables(either)
    for refused in (
        lambda: survey(either.reader(), 2),
        lambda: erase(either, 2, "anna", "x"),
    ):
        with pytest.raises(StoreError, match=WENT.format(3)):
            refused()
    assert tables(either) == before
    Decisions(either).undo(merge.id, "anna", "x")
    assert erase(either, 2, "anna", "x").tracks == GONE


def test_an_identity_that_the_matcher_moved_is_refused_and_named(store: Store) -> None:
    for track in GONE:
        store.link(1, decision(track, 9, "move", distance=0.2))
    store.flush()
    with pytest.raises(StoreError, match=WENT.format(9)):
        erase(store, 2, "anna", "x")
    assert survey(store.reader(), 9).names == (2,)
    assert erase(store, 9, "anna", "x").tracks == GONE
    with pytest.raises(StoreError, match="has no identity 2"):  # not: went into 1, as track 3 did
        erase(store, 2, "anna", "x")
