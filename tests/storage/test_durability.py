"""Kills, full disks and company: what was committed stays, what failed is said."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection

from reid.errors import StoreError
from storage import engine as engine_module
from storage.allocator import next_revision, take_id
from storage.queries import StoreReader
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, exemplar, points, tracklet

ROOT = Path(__file__).parent.parent.parent

# Writes as fast as it can; says of each point, picture and link when it was accepted.
BUSY_WRITER = """
import sys, threading, time
from storage.store import Store
from tests.storage.samples import *

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # in one piece: two threads say things

def watch():
    "Says how late this machine wakes a thread that sleeps."
    while True:
        began = time.time()
        time.sleep(0.05)
        say("stall", time.time(), time.time() - began - 0.05, 0)

threading.Thread(target=watch, daemon=True).start()
store = Store.open(sys.argv[1], Path(sys.argv[2]))
run = store.begin_run({}, CAMERAS)
store.register_model("model-a", K, D, {})
while True:
    track = store.track_allocator().next_id()
    for frame in range(0, 200, 2):
        store.add_points(run, "door", track, points(2, first=frame))
        say("point", time.time(), track, frame + 1)
    pictures = (exemplar(3), exemplar(7))
    store.save_tracklet(run, tracklet(track, embedded=embedding(track), exemplars=pictures))
    store.link(run, decision(track, store.identity_allocator().next_id()))
    store.close_track(track)
    say("track", time.time(), track, 0)
    sys.stdout.flush()
"""


def _start_writer(url: str, media: Path, acknowledged: Path) -> subprocess.Popen[bytes]:
    with acknowledged.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", "from pathlib import Path\n" + BUSY_WRITER, url, str(media)],
            cwd=ROOT,
            stdout=file,
        )


def test_kill_9_loses_at_most_the_last_second(sqlite_url: str, tmp_path: Path) -> None:
    media, acknowledged = tmp_path / "media", tmp_path / "acknowledged.txt"
    writer = _start_writer(sqlite_url, media, acknowledged)
    deadline = time.time() + 60
    while acknowledged.read_bytes().count(b"track") < 5 and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(2.0)
    killed = time.time()
    writer.send_signal(signal.SIGKILL)
    writer.wait()

    file = tmp_path / "store.db"
    plain = sqlite3.connect(file)
    assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
    boxes = set(plain.execute("SELECT track, frame FROM boxes"))
    links = {track for (track,) in plain.execute("SELECT track FROM current_links")}
    embedded = {track for (track,) in plain.execute("SELECT track FROM tracklets")}
    said = [line.split() for line in acknowledged.read_text().rsplit("\n", 1)[0].splitlines()]
    # The second is the store's; what a machine busy with other work adds to it is not.
    stalls = [(float(when), float(late)) for kind, when, late, _ in said if kind == "stall"]
    stall = max(late for when, late in stalls if when > killed - 2)
    owed = 0
    for kind, when, track, frame in (line for line in said if line[0] in ("point", "track")):
        if float(when) > killed - 1 - 3 * stall:
            continue
        owed += 1
        if kind == "point":
            assert (int(track), int(frame)) in boxes
        else:
            assert int(track) in links
            assert int(track) in embedded
    assert owed > 300  # it did write at a high rate, or this test shows nothing

    for path, digest in plain.execute("SELECT path, sha256 FROM exemplars"):
        assert sha256((media / path).read_bytes()).hexdigest() == digest
    plain.close()

    with Store.open(sqlite_url, media) as store:
        store.finish_run(store.begin_run({}, CAMERAS))
        first, second = store.reader().runs()
        assert (first.status, second.status) == ("interrupted", "finished")
        assert first.finished is not None
        assert first.started <= first.finished <= killed + 1
        for row in store.reader().tracks(run=first.id):
            assert row.boxes == len([1 for track, _ in boxes if track == row.id])
        next_track = store.track_allocator().next_id()
        assert next_track > max(track for track, _ in boxes)


def test_two_processes_write_one_store(sqlite_url: str, tmp_path: Path) -> None:
    """Two stores in this process, one in another, at once: each sees all, none fails."""
    media, acknowledged = tmp_path / "media", tmp_path / "acknowledged.txt"
    other = _start_writer(sqlite_url, media, acknowledged)
    with Store.open(sqlite_url, media) as one, Store.open(sqlite_url, media) as two:
        runs = [store.begin_run({"n": n}, CAMERAS) for n, store in enumerate((one, two))]
        mine = []
        for _ in range(30):
            for store, run in zip((one, two), runs, strict=True):
                track = store.track_allocator().next_id()
                mine.append(track)
                store.add_points(run, "yard", track, points(20))
        deadline = time.time() + 60
        while acknowledged.read_bytes().count(b"track") < 3 and time.time() < deadline:
            time.sleep(0.02)
        for store, run in zip((one, two), runs, strict=True):
            store.finish_run(run)
        assert other.poll() is None
        statuses = {run.id: run.status for run in one.reader().runs()}
        assert sorted(statuses.values()) == ["finished", "finished", "running"]
        yard = [row.id for row in two.reader().tracks(camera="yard")]
        assert yard == sorted(set(mine))
        assert all(row.boxes == 20 for row in one.reader().tracks(camera="yard"))
    other.kill()
    other.wait()


def test_a_closed_store_left_no_thread_and_no_wal(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    run = store.begin_run({}, CAMERAS)
    store.add_points(run, "door", 1, points(500))
    store.finish_run(run)
    store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store.db", "store.media"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, "-l", str(folder)], check=True)


def test_a_full_disk_is_said_and_committed_rows_stay(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small_disk / 'store.db'}"
    store = Store.open(url, tmp_path / "media")
    run = store.begin_run({}, CAMERAS)
    store.add_points(run, "door", 1, points(100))
    store.flush()
    with pytest.raises(StoreError, match=r"small/store\.db: database or disk is full") as caught:
        for track in range(2, 100_000):
            store.add_points(run, "door", track, points(500))
    assert "INSERT" not in str(caught.value)
    with pytest.raises(StoreError, match="full"):
        store.finish_run(run)
    with pytest.raises(StoreError, match="full"):
        store.close()

    with StoreReader.open(url, tmp_path / "media") as reader:
        assert list(reader.boxes(1)) == points(100)
        rows = list(reader.tracks())
        assert len(rows) > 1
        for row in rows:  # no transaction is half there
            assert len(list(reader.boxes(row.id))) == row.boxes
    with closing(sqlite3.connect(small_disk / "store.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_disk_of_pictures_is_said(small_disk: Path, sqlite_url: str) -> None:
    store = Store.open(sqlite_url, small_disk / "media")
    run = store.begin_run({}, CAMERAS)
    with pytest.raises(StoreError, match=r"cannot write picture .*small/media/.*No space left"):
        for track in range(1, 10_000):
            large = exemplar(1, jpeg=bytes(500_000))
            store.save_tracklet(run, tracklet(track, exemplars=(large,)))
            store.flush()
    with pytest.raises(StoreError, match="No space left"):
        store.close()
    with StoreReader.open(sqlite_url, small_disk / "media") as reader:
        tracks = list(reader.tracks())
        assert 2 <= len(tracks) <= 8
        for row in tracks:
            (picture,) = reader.exemplars(row.id)
            assert sha256(picture.path.read_bytes()).hexdigest() == picture.sha256
    assert not list(small_disk.rglob("*.part"))


def test_a_write_that_fails_surfaces_at_close(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    run = store.begin_run({}, CAMERAS)
    store.link(run, decision(track=404, identity=1))  # no such track
    with pytest.raises(StoreError, match=r"store\.db: FOREIGN KEY constraint failed"):
        store.close()
    with StoreReader.open(sqlite_url) as reader:
        assert reader.identities() == []


def test_a_second_opening_leaves_the_log_to_the_first(tmp_path: Path) -> None:
    """A server that opened its store twice once lost its log to the next process that left it."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    other = f"from storage.store import Store\nwith Store.open({url!r}) as s: s.reader().cameras()"
    with Store.open(url) as store:
        run = store.begin_run({}, CAMERAS)
        with StoreReader.open(url) as second:  # what a search does beside its audit row
            second.cameras()
            subprocess.run([sys.executable, "-c", other], check=True, cwd=ROOT)
            assert (tmp_path / "store.db-wal").exists()
            store.camera_state(run, "door", "running")
            store.flush()
            assert second.run_cameras(run)[0].state == "running"
        with StoreReader.open(url) as third:  # one that does not share our open files
            assert third.run_cameras(run)[0].state == "running"


def test_two_writers_never_wait_for_each_other(
    new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """One had taken track ids and wanted a revision, the other the other way round: PostgreSQL
    ended one of them, and its pipeline with it."""
    url = new_postgresql()
    both = threading.Barrier(2)

    def write(
        store: Store, first: Callable[[Connection], int], then: Callable[[Connection], int]
    ) -> None:
        def work(connection: Connection) -> None:
            first(connection)
            with suppress(threading.BrokenBarrierError):  # the other one may not come so far
                both.wait(1.0)
            then(connection)

        store.write(work)

    def track(connection: Connection) -> int:
        return take_id(connection, "track")

    with Store.open(url, tmp_path) as ours, Store.open(url, tmp_path) as theirs:
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(write, ours, track, next_revision)
            other = pool.submit(write, theirs, next_revision, track)
            one.result()
            other.result()
        ours.flush()
        theirs.flush()


def test_a_lock_that_another_holds_for_long_does_not_end_a_patient_store(
    url: str, media: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A VACUUM or a backup takes longer than anybody waits; a run's cameras go on meanwhile."""
    monkeypatch.setattr(engine_module, "BUSY_SECONDS", 0.3)
    with Store.open(url, media, patience=60.0) as patient:
        hasty = Store.open(url, media)
        other = engine_module.connect(engine_module.parse_url(url))
        run = patient.begin_run({}, CAMERAS)
        with engine_module.write_transaction(other):
            patient.add_points(run, "door", 1, points(3))
            with pytest.raises(StoreError, match=r"cannot write to store .*lock"):
                hasty.begin_run({}, CAMERAS)
            deadline = time.monotonic() + 30
            while caplog.text.count("locked by another program") < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        other.dispose()
        with pytest.raises(StoreError):
            hasty.close()
        patient.flush()
        (row,) = patient.reader().tracks()
        assert row.boxes == 3
