"""Erasure: nothing of the identity is left in any byte of the store; all others are untouched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, inspect, select, text, update

from reid.errors import StoreError
from reid.records import PartEmbeddings
from storage import scrub
from storage.audit import Audit, entries, write
from storage.decisions.decide import Decisions, decisions
from storage.desk_models import Alert, Case, CaseItem, Recording, Tombstone, Watch
from storage.erasure.erase import ErasureReport, erase, survey
from storage.models import Run, TrackletEmbedding
from storage.rows import embedding_row
from storage.store import Store
from tests.storage.samples import (
    CAMERAS,
    NOON,
    K,
    decision,
    embedding,
    exemplar,
    points,
    tracklet,
)

# track -> identity; tracks 4 and 5 are the ones to go
D = 512  # vectors as long as real ones: they do not fit one page of the database
PEOPLE = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3}
GONE = (4, 5)
CAMERA = {track: "door" if track % 2 else "yard" for track in PEOPLE}


def look_of(track: int, look: int) -> PartEmbeddings:
    return embedding(100 * track + look, d=D)


def jpeg(track: int, frame: int) -> bytes:
    return b"\xff\xd8 a picture of track %d in frame %d " % (track, frame) + bytes(
        (track * 37 + frame * 11 + i * i) % 251 for i in range(3000)
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


def fill(store: Store) -> None:
    run = store.begin_run({}, CAMERAS)
    store.register_model("model-a", K, D, {})
    seen: set[int] = set()
    for track, identity in PEOPLE.items():
        assert store.track_allocator().next_id() == track
        camera = CAMERA[track]
        # apart in time, but for 6, who walks beside 4
        there = points(
            10, 0 if track in (4, 6) else 100 * track, {4: 400.0, 6: 420.0}.get(track, 0)
        )
        store.add_points(run, camera, track, there)
        if identity not in seen:
            assert store.identity_allocator().next_id() == identity
        # an earlier look, replaced by a later one: neither may be left
        for look in (1, 2):
            crop = replace(
                exemplar(there[5].frame, jpeg=jpeg(track, look)),
                time=there[5].time,
                box=there[5].box,
            )
            state = tracklet(track, camera, 10, look_of(track, look), (crop,))
            state = replace(state, start=there[0].time, end=there[-1].time)
            store.save_tracklet(run, state)
        store.link(run, decision(track, identity, "link" if identity in seen else "create"))
        seen.add(identity)
    # 3 was with identity 2 for a while; 7 was compared with it
    store.link(run, decision(3, 2, "move", distance=0.2))
    store.link(run, decision(3, 1, "move", distance=0.1))
    store.link(run, decision(7, 3, "abstain", candidate=2, distance=0.3, reason="cannot tell"))
    store.finish_run(run)
    store.write(_desk)


def _desk(connection: Any) -> None:
    person = {"actor": "anna", "reason": "x"}
    looks = [
        {
            name: value
            for name, value in embedding_row(t, look_of(t, 2), "x").items()
            if name != "track"
        }
        for t in (4, 1)
    ]
    common = {"level": "strong", "notify": {}, "covered": 0, "created": NOON, "expires": NOON + 9}
    connection.execute(
        insert(Watch),
        [
            {"name": "of 4", **person, **looks[0], **common, "details": {"tracks": [4]}},
            {
                "name": "of 1",
                **person,
                **looks[1],
                **common,
                "details": {"tracks": [1], "identity": 1},
            },
        ],
    )
    for track in (4, 6):
        hit = {"watch": 2, "track": track, "raised": NOON, "time": NOON, "distance": 0.1}
        more = {"support": 1.0, "verdict": "strong", "evidence": {}, "sent": {}}
        connection.execute(insert(Alert).values(hit | more))
    connection.execute(insert(Case).values(name="gate", created=NOON, **person))
    nothing = dict.fromkeys(("track", "identity", "camera", "start", "end"))
    for item in ({"track": 5}, {"identity": 2}, {"track": 6}, {"camera": "yard", "start": NOON,
                 "end": NOON + 1, "kind": "clip"}):  # fmt: skip
        kind = "track" if "track" in item else "identity"
        given = {"case": 1, "kind": kind, "note": "", "added": NOON, "actor": "anna"}
        connection.execute(insert(CaseItem).values(nothing | given | item))
    for camera, start, end in (("yard", -5, 5), ("yard", 60, 90), ("door", 40, 60)):
        size = {"bytes": 1, "codec": "h264", "width": 1, "height": 1, "closed": True}
        where = {"path": f"recordings/{camera}{start}.mp4", "start": NOON + start}
        connection.execute(
            insert(Recording).values(camera=camera, run=1, end=NOON + end, **where, **size)
        )


def secrets(media: Path) -> dict[str, bytes]:
    """Bytes that only the erased have: their vectors, their pictures, the pictures' paths."""
    found = {}
    for track in GONE:
        for look in (1, 2):
            row = embedding_row(track, look_of(track, look), "x")
            for name in ("parts", "global_parts"):
                # In pieces: a page of the database ends anywhere.
                for at in range(0, len(row[name]) - 48, 500):
                    piece = row[name][at : at + 48]
                    found[f"{name} of {track}, look {look} from {at}"] = piece
            found[f"quality of {track}, look {look}"] = row["quality"]
            found[f"picture of {track}, look {look}"] = jpeg(track, look)[:60]
        found[f"path of {track}"] = b"/%08d-" % track
    return found


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (p for p in sorted(folder.rglob("*")) if p.is_file())


def leaks(media: Path, *folders: Path) -> list[str]:
    """Which secrets stand in which file, or in a file's name."""
    kept = secrets(media)
    found = []
    for path in files(media, *folders):
        content = path.read_bytes() + str(path).encode()
        found += [f"{what} in {path.name}" for what, bytes_ in kept.items() if bytes_ in content]
    return found


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


def kinds(report: ErasureReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for remain in report.remains:
        found.setdefault(remain.kind, []).append(remain.what)
    return found


def test_it_says_what_still_shows_the_person(either: Store, media: Path) -> None:
    write(either, Audit("bert", "export", "case 1", "x", {"file": "gate.zip"}))
    write(either, Audit("bert", "export", "identity 2", "x", {"clip": "walk.mp4"}))
    write(either, Audit("bert", "export", "identity 3", "x", {"clip": "another.mp4"}))
    write(either, Audit("bert", "view", "track 4", "x"))
    night = {"cameras": ["yard"], "from": "2023-11-15T02:00:00Z", "clip": "night.mp4"}
    write(either, Audit("bert", "export", "yard, a stretch of time", "x", night))
    all_day = {"cameras": [], "from": None, "to": None, "clip": "all.mp4"}
    write(either, Audit("bert", "export", "all cameras, a stretch of time", "x", all_day))
    either.begin_run({}, CAMERAS)
    found = kinds(erase(either, 2, "anna", "x"))
    assert found["recording"] == [
        str(media / "recordings/yard-5.mp4"), str(media / "recordings/door40.mp4"),
    ]  # fmt: skip
    assert [what.split(":")[0] for what in found["export"]] == ["gate.zip", "walk.mp4", "all.mp4"]
    assert [Path(p).name.split("-")[0] for p in found["picture"]] == ["00000006"], "beside 4"
    assert found["case clip"] == ["case 1, item 4: a stretch of footage"]
    assert found["watch"] == ["watch 1 (of 4) was made of it and holds its look"]
    assert found["running"] == ["run 2 goes on: it may see the person again"]
    assert found["audit"][0].startswith("2 entries")


def test_a_recording_is_told_with_the_time_that_shows_the_person(store: Store) -> None:
    found = [r for r in survey(store.reader(), 2).remains if r.kind == "recording"]
    assert [(r.camera, r.start, r.end) for r in found] == [
        ("yard", NOON, pytest.approx(NOON + 0.9, abs=1e-3)),
        ("door", NOON + 50, pytest.approx(NOON + 50.9, abs=1e-3)),
    ]
    assert found[0].as_json()["from"] == "2023-11-14T22:13:20.250000Z"


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
