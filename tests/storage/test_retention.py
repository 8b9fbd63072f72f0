"""Retention: what goes, what stays, and what a crash in the middle leaves."""

from __future__ import annotations

import json
import shutil

import pytest

from reid.errors import StoreError
from run_pipeline import main
from storage.audit import entries
from storage.decisions.decide import Decisions
from storage.footage import retention
from storage.footage.holds import add_hold, release_hold
from storage.footage.recordings import grow_recording, recordings
from storage.footage.retention import enforce, gone_path
from storage.store import Store
from tests.storage.footage import DAY, add_case, add_recording, close_case, files, paths
from tests.storage.samples import CAMERAS, NOON, decision, points

NEVER = {"keep_days": None, "keep_gigabytes": None}


@pytest.fixture
def store(url, media):
    """On each kind of database."""
    with Store.open(url, media) as opened:
        yield opened


@pytest.fixture
def run(store):
    return store.begin_run({}, CAMERAS)


# What is the files' and not the database's to get wrong is tried on one kind.
one_kind = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def kept(store):
    rows = recordings(store.reader())
    assert {r.path.relative_to(store.media.absolute()).as_posix() for r in rows} == files(store)
    return {r.id for r in rows}


def test_by_age_of_the_capture(store, run):
    old = add_recording(store, run, start=NOON - 2 * DAY - 61)
    just = add_recording(store, run, start=NOON - 2 * DAY - 59)
    report = enforce(store, keep_days=2, keep_gigabytes=None, now=NOON)
    assert [(row.id, why) for row, why in report.deleted] == [(old.id, "days")]
    assert (report.bytes, report.left) == (1000, 1000)
    assert kept(store) == {just.id}


def test_by_room_the_oldest_of_all_cameras_first(store, run):
    rows = [
        add_recording(store, run, camera, start=NOON + at, size=400_000)
        for camera, at in (("door", 300), ("yard", 100), ("door", 0), ("yard", 200))
    ]
    report = enforce(store, keep_days=None, keep_gigabytes=0.001, now=NOON)
    assert [row.id for row, _ in report.deleted] == [rows[2].id, rows[1].id]
    assert {why for _, why in report.deleted} == {"gigabytes"}
    assert report.left == 800_000 and kept(store) == {rows[0].id, rows[3].id}
    again = enforce(store, keep_days=None, keep_gigabytes=0.001, now=NOON)
    assert again.deleted == ()


@one_kind
def test_without_limits_everything_stays(store, run):
    row = add_recording(store, run, start=0.0)
    assert enforce(store, **NEVER, now=NOON).deleted == ()
    assert kept(store) == {row.id}


@one_kind
def test_an_open_segment_stays(store, run):
    row = add_recording(store, run, start=NOON - 9 * DAY, closed=False)
    report = enforce(store, keep_days=1, keep_gigabytes=1e-9, now=NOON)
    assert report.deleted == () and report.protected == 1000
    assert kept(store) == {row.id}


@one_kind
def test_a_dry_run_changes_nothing(store, run):
    row = add_recording(store, run, start=NOON - 9 * DAY)
    report = enforce(store, keep_days=1, keep_gigabytes=None, now=NOON, dry_run=True)
    assert [r.id for r, _ in report.deleted] == [row.id] and report.dry_run
    assert kept(store) == {row.id} and entries(store.reader()) == []


def test_a_batch_is_one_audit_row(store, run):
    add_recording(store, run, "door", start=NOON - 9 * DAY)
    add_recording(store, run, "yard", start=NOON - 8 * DAY, size=500)
    enforce(store, keep_days=1, keep_gigabytes=None, now=NOON)
    (entry,) = entries(store.reader())
    assert (entry.actor, entry.action, entry.subject) == ("crosscam", "retention", "2 recordings")
    assert entry.details == {
        "because": {"days": 2},
        "cameras": {"door": 1, "yard": 1},
        "bytes": 1500,
        "from": "2023-11-05T22:13:20.250000Z",
        "to": "2023-11-06T22:14:20.250000Z",
    }


def row_of_minutes(store, run, camera="door"):
    """Five minutes in a row, all too old."""
    return [add_recording(store, run, camera, NOON - 9 * DAY + 60 * i) for i in range(5)]


def test_a_hold_protects_with_a_margin_until_it_is_released(store, run):
    minutes = row_of_minutes(store, run)
    other = row_of_minutes(store, run, "yard")
    begin = minutes[2].start
    hold = add_hold(store, "door", begin + 20, begin + 40, "cli:t", "r")
    report = enforce(store, keep_days=1, keep_gigabytes=None, margin=60, now=NOON)
    assert kept(store) == {r.id for r in minutes[1:4]}, "the minute before and after as well"
    assert report.protected == 3000 and len(report.deleted) == 2 + len(other)
    enforce(store, keep_days=None, keep_gigabytes=1e-9, margin=5, now=NOON)
    assert kept(store) == {minutes[2].id}, "room takes no more than age may"
    release_hold(store, hold.id, "cli:t", "r")
    enforce(store, keep_days=1, keep_gigabytes=None, now=NOON)
    assert kept(store) == set()


@one_kind
def test_a_hold_on_all_cameras(store, run):
    rows = row_of_minutes(store, run), row_of_minutes(store, run, "yard")
    add_hold(store, None, rows[0][1].start + 1, rows[0][1].start + 2, "cli:t", "r")
    add_hold(store, "yard", rows[1][4].start + 1, rows[1][4].start + 2, "cli:t", "r")
    enforce(store, keep_days=1, keep_gigabytes=None, margin=0, now=NOON)
    assert kept(store) == {rows[0][1].id, rows[1][1].id, rows[1][4].id}


def at(begin, count=5):
    """Points of a track that begins at a time."""
    return [type(p)(p.frame, begin + i / 10, p.box, p.confidence)
            for i, p in enumerate(points(count))]  # fmt: skip


@one_kind
def test_an_open_case_protects_its_track(store, run):
    door, yard = row_of_minutes(store, run), row_of_minutes(store, run, "yard")
    store.add_points(run, "door", 1, at(door[3].start + 30))
    case = add_case(store, kind="track", track=1)
    enforce(store, keep_days=1, keep_gigabytes=None, margin=0, now=NOON)
    assert kept(store) == {door[3].id} and yard
    close_case(store, case)
    enforce(store, keep_days=1, keep_gigabytes=None, margin=0, now=NOON)
    assert kept(store) == set()


def test_an_open_case_protects_all_tracks_an_identity_has_now(store, run):
    door, yard = row_of_minutes(store, run), row_of_minutes(store, run, "yard")
    store.add_points(run, "door", 1, at(door[0].start + 30))
    store.add_points(run, "yard", 2, at(yard[2].start + 30))
    store.add_points(run, "door", 3, at(door[4].start + 30))
    store.link(run, decision(1, 8))
    store.link(run, decision(2, 8, "link"))
    store.link(run, decision(3, 8, "link"))
    store.link(run, decision(3, 9, "create"))  # it was somebody else after all
    add_case(store, kind="identity", identity=8)
    enforce(store, keep_days=1, keep_gigabytes=None, margin=0, now=NOON)
    assert kept(store) == {door[0].id, yard[2].id}


@one_kind
def test_a_merge_does_not_lose_the_footage_of_a_case(store, run):
    """The case names the identity that was merged away."""
    theirs = add_recording(store, run, "yard", start=NOON)
    other = add_recording(store, run, "yard", start=NOON + 1000)
    for track, identity in ((1, 1), (2, 2)):
        store.add_points(run, ("door", "yard")[track - 1], track, points(5))
        store.link(run, decision(track, identity))
    add_case(store, kind="identity", identity=2)
    Decisions(store).merge(1, 2, "ada", "the same coat")
    enforce(store, keep_days=1, keep_gigabytes=None, now=NOON + 100 * DAY)
    assert kept(store) == {theirs.id}
    assert other.id not in kept(store)


@one_kind
def test_an_identity_that_the_matcher_moved_does_not_lose_the_footage_of_a_case(store, run):
    """An export follows it to its new name, so retention has to."""
    theirs = add_recording(store, run, "door", start=NOON)
    store.add_points(run, "door", 1, points(5))
    store.link(run, decision(1, 1, "create"))
    add_case(store, kind="identity", identity=1)
    store.link(run, decision(1, 2, "move"))
    enforce(store, keep_days=1, keep_gigabytes=None, now=NOON + 100 * DAY)
    assert kept(store) == {theirs.id}


def test_an_open_case_protects_its_clip(store, run):
    door, _ = row_of_minutes(store, run), row_of_minutes(store, run, "yard")
    begin = door[1].start
    add_case(store, kind="clip", camera="door", start=begin + 50, end=begin + 70)
    enforce(store, keep_days=1, keep_gigabytes=None, margin=0, now=NOON)
    assert kept(store) == {door[1].id, door[2].id}


def test_a_hold_that_comes_while_retention_chooses_counts(store, run, monkeypatch):
    row = add_recording(store, run, start=NOON - 9 * DAY)
    honest = retention._delete

    def late(*arguments):
        add_hold(store, "door", row.start, row.end, "cli:t", "r")
        return honest(*arguments)

    monkeypatch.setattr(retention, "_delete", late)
    assert enforce(store, keep_days=1, keep_gigabytes=None, now=NOON).deleted == ()
    assert kept(store) == {row.id}


def test_many_go_in_batches(store, run, monkeypatch):
    monkeypatch.setattr(retention, "_BATCH", 3)
    monkeypatch.setattr(retention, "_PAGE", 2)
    for index in range(8):
        add_recording(store, run, start=NOON - 9 * DAY + index)
    assert len(enforce(store, keep_days=1, keep_gigabytes=None, now=NOON).deleted) == 8
    assert kept(store) == set()
    assert [e.subject for e in entries(store.reader())] == [
        "2 recordings", "3 recordings", "3 recordings",
    ]  # fmt: skip


class Crash(BaseException):
    """The process ends here."""


def test_a_crash_before_the_rows_are_committed_gives_the_files_back(store, run, monkeypatch):
    row = add_recording(store, run, start=NOON - 9 * DAY)

    def crash(*_):
        raise StoreError("the process ended before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "record", crash)
        with pytest.raises(StoreError):
            enforce(store, keep_days=1, keep_gigabytes=None, now=NOON)
    assert paths(store) and files(store) == {f"{p}.gone" for p in paths(store)}
    report = enforce(store, **NEVER, now=NOON)
    assert report.sweep.restored == (gone_path(row.path),)
    assert kept(store) == {row.id}
    assert enforce(store, keep_days=1, keep_gigabytes=None, now=NOON).deleted
    assert kept(store) == set()


@one_kind
def test_a_crash_after_the_rows_are_committed_is_finished_by_the_sweep(store, run, monkeypatch):
    row = add_recording(store, run, start=NOON - 9 * DAY)

    def crash(path):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_unlink", crash)
        with pytest.raises(Crash):
            enforce(store, keep_days=1, keep_gigabytes=None, now=NOON)
    assert not paths(store) and len(files(store)) == 1
    assert enforce(store, **NEVER, now=NOON, sweep=False).sweep is None
    assert enforce(store, **NEVER, now=NOON).sweep.finished == (gone_path(row.path),)
    assert files(store) == set()


def test_a_row_without_its_file_is_told_and_goes(store, run):
    lost, there = add_recording(store, run), add_recording(store, run, start=NOON + 60)
    lost.path.unlink()
    assert enforce(store, **NEVER, now=NOON, dry_run=True).sweep.missing
    assert len(paths(store)) == 2
    (name,) = enforce(store, **NEVER, now=NOON).sweep.missing
    assert kept(store) == {there.id}
    (entry,) = entries(store.reader())
    assert entry.action == "retention" and entry.details["files"] == [name]


@one_kind
def test_a_disk_that_is_not_mounted_costs_no_rows(store, run, media, caplog):
    row = add_recording(store, run)
    (media / "recordings").rename(media / "elsewhere")
    assert enforce(store, **NEVER, now=NOON).sweep.unmounted
    assert "is its disk mounted?" in caplog.text
    (media / "elsewhere").rename(media / "recordings")
    assert kept(store) == {row.id}


@one_kind
def test_a_run_that_records_without_the_disk_costs_no_rows(store, run, media, caplog):
    """Its folder is made anew in the mount point: the new recording is no sign of the disk."""
    rows = [add_recording(store, run, start=NOON + 60 * n) for n in range(5)]
    (media / "recordings").rename(media / "elsewhere")
    fresh = add_recording(store, run, "yard", start=NOON + 600)
    assert enforce(store, keep_days=1, keep_gigabytes=1e-9).sweep.unmounted
    assert {row.id for row in recordings(store.reader())} == {row.id for row in rows}
    assert "5 of the store's 6 recordings are not in" in caplog.text and not fresh.path.exists()


@one_kind
def test_a_lost_file_that_a_hold_protects_stays_in_the_index(store, run):
    rows = [add_recording(store, run, start=NOON + 600 * n) for n in range(4)]
    add_hold(store, "door", rows[0].start, rows[0].end, "cli:t", "r")
    rows[0].path.unlink()
    rows[3].path.unlink()
    swept = enforce(store, **NEVER, now=NOON).sweep
    assert [str(rows[3].path).endswith(name) for name in swept.missing] == [True]
    assert {row.id for row in recordings(store.reader())} == {row.id for row in rows[:3]}


def test_a_disk_that_is_nearly_full_is_relieved_of_the_oldest(store, run, monkeypatch):
    rows = [add_recording(store, run, start=NOON + 60 * n, size=400_000) for n in range(4)]
    usage = shutil._ntuple_diskusage(100_000_000, 99_500_000, 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert enforce(store, **NEVER, now=NOON).deleted == ()
    report = enforce(store, **NEVER, keep_free=0.001, now=NOON)
    assert [(row.id, why) for row, why in report.deleted] == [
        (rows[0].id, "disk"),
        (rows[1].id, "disk"),
    ]
    assert kept(store) == {rows[2].id, rows[3].id}
    # Of a small disk a twentieth is enough.
    report = enforce(store, **NEVER, keep_free=1000.0, now=NOON)
    assert len(report.deleted) == 2 and report.protected == 5_000_000 - 500_000 - 800_000


@one_kind
def test_a_file_that_no_row_knows_is_told_and_stays(store, run, caplog):
    row = add_recording(store, run)
    stranger = row.path.with_name("120000.000-run000099.mp4")
    stranger.write_bytes(b"footage of a store that was restored from an older copy")
    assert enforce(store, keep_days=1, keep_gigabytes=1e-9).sweep.unknown == (stranger,)
    assert stranger.exists() and "belong to no recording" in caplog.text


def test_the_command(sqlite_url, capsys, tmp_path):
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, CAMERAS)
        row = add_recording(store, run)
        store.finish_run(run)
    command = ["retention", "--store", sqlite_url, "--keep-days", "30"]
    assert main([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "would delete 1 recordings" in out and "door 2023-11-14T22:13:20" in out
    assert row.path.exists()
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [d["because"] for d in data["deleted"]] == ["days"] and data["left"] == 0
    assert not row.path.exists()
    with Store.open(sqlite_url) as store:
        row = add_recording(store, run)
        grow_recording(store, row.id, row.start, row.end, int(2e11), closed=True)
    assert main(["retention", "--store", sqlite_url]) == 0
    out = capsys.readouterr().out
    assert "limits: none" in out and "deleted 0 recordings" in out, "no built-in limit: 200 GB stay"
    assert main(["retention", "--store", sqlite_url, "--keep-gigabytes", "-1"]) == 2
    assert "--keep-gigabytes is -1" in capsys.readouterr().err
    assert main(["retention", "--store", f"sqlite:///{tmp_path}/none.db"]) == 2
    assert "there is no file" in capsys.readouterr().err
