"""What a run does beside its frames: recording, states, live pictures, retention."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing

import cv2
import numpy as np
import pytest

from pipeline import live, upkeep
from pipeline.config import load_cameras, load_pipeline
from pipeline.live import LivePictures
from pipeline.records import CameraState, Frame
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner
from pipeline.settings import RecordingSettings
from pipeline.upkeep import Upkeep
from reid.errors import ConfigError
from storage.footage.recordings import recordings
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from tests.pipeline.test_runner import cameras_file, contents
from tests.pipeline.walkers import ColourDetector, ColourEmbedder, write_walk
from tests.storage.footage import add_recording


@pytest.fixture
def cameras(tmp_path):
    left = write_walk(tmp_path / "left.mp4", {"red": (20, 20)})
    right = write_walk(tmp_path / "right.mp4", {"red": (60, 30)})
    return cameras_file(tmp_path, left=left, right=right)


def run(folder, cameras, name="run", detector=None, **sections):
    config = resolve_matching(load_pipeline(None), ColourEmbedder())
    updates = {
        section: getattr(config, section).model_copy(update=values)
        for section, values in sections.items()
    }
    with Store.open(f"sqlite:///{folder / name}.db") as store:
        return Runner(
            load_cameras(cameras).enabled,
            config.model_copy(update=updates),
            detector or ColourDetector(),
            ColourEmbedder(),
            store,
            stop=threading.Event(),
        ).run()


def footage(folder, name="run"):
    with StoreReader.open(f"sqlite:///{folder / name}.db") as reader:
        return [
            (r.camera, r.run, r.start, r.end, r.bytes, r.closed, r.path.name)
            for r in recordings(reader)
        ]


def test_a_run_records_and_finds_the_same_as_one_that_does_not(tmp_path, cameras):
    for name in ("one", "two"):
        summary = run(tmp_path, cameras, name, recording={"enabled": True, "segment": 2.0})
        assert not summary.failed
    run(tmp_path, cameras, "without")
    found = footage(tmp_path, "one")
    assert {row[0] for row in found} == {"left", "right"} and all(row[5] for row in found)
    for camera in ("left", "right"):
        mine = [row for row in found if row[0] == camera]
        assert (mine[0][2], mine[-1][3]) == pytest.approx((1714550400, 1714550404))
    assert found == footage(tmp_path, "two")
    assert footage(tmp_path, "without") == []
    assert contents(tmp_path, "one") == contents(tmp_path, "two") == contents(tmp_path, "without")


def test_a_device_that_should_be_recorded_is_refused_before_the_run(tmp_path, cameras):
    cameras.write_text("cameras:\n  - {id: desk, url: 'device:0'}\n")
    with pytest.raises(ConfigError, match="camera desk"):
        run(tmp_path, cameras, recording={"enabled": True})
    with StoreReader.open(f"sqlite:///{tmp_path / 'run'}.db") as reader:
        assert reader.runs() == []


class Watching(ColourDetector):
    """Notes, while the run goes on, what lies in the live folder."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.seen, self.frames = folder, {}, 0

    def process(self, frames):
        for path in self.folder.glob("*.jpg"):  # not what is still being written
            self.seen[path.name] = cv2.imdecode(
                np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR
            )
        return super().process(frames)


def test_live_pictures_are_there_during_the_run_and_gone_afterwards(tmp_path, cameras):
    folder = tmp_path / "run.media" / "live"
    watching = Watching(folder)
    run(tmp_path, cameras, detector=watching)
    assert set(watching.seen) >= {"left.jpg", "right.jpg"}
    assert watching.seen["left.jpg"].shape == (240, 320, 3)
    assert list(folder.iterdir()) == []


def test_no_live_pictures_where_they_are_off(tmp_path, cameras):
    watching = Watching(tmp_path / "run.media" / "live")
    run(tmp_path, cameras, detector=watching, runtime={"live_pictures": False})
    assert watching.seen == {}


def frame(camera, value, size=(1080, 1920)):
    return Frame(camera, 0, 0.0, np.full((*size, 3), value, np.uint8))


def test_a_live_picture_is_small_and_at_most_one_a_second(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    pictures = LivePictures(tmp_path, ["a/../b"])
    pictures.show(frame("a/../b", 50))
    (path,) = (tmp_path / "live").iterdir()
    assert path.suffix == ".jpg" and "/" not in path.name and path.stat().st_size < 20_000

    def shown():
        image = cv2.imread(str(path))
        return round(image.mean() / 50), image.shape

    assert shown() == (1, (270, 480, 3))
    now[0] += 0.9
    pictures.show(frame("a/../b", 150))
    assert shown()[0] == 1
    now[0] += 0.2
    pictures.show(frame("a/../b", 150))
    assert shown()[0] == 3


def test_pictures_that_a_killed_run_left_go_but_not_those_of_another_run(tmp_path):
    folder = tmp_path / "live"
    folder.mkdir()
    for name, age in (("a", 1), ("killed", 3600), ("running", 1)):
        path = folder / f"{name}.jpg"
        path.write_bytes(b"")
        os.utime(path, (time.time() - age,) * 2)
    LivePictures(tmp_path, ["a"], enabled=False)
    assert len(list(folder.iterdir())) == 3
    LivePictures(tmp_path, ["a"])
    assert [p.name for p in folder.iterdir()] == ["running.jpg"]


def test_a_live_folder_that_cannot_be_written_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    (tmp_path / "live").write_text("in the way")
    pictures = LivePictures(tmp_path, ["a"])
    pictures.show(frame("a", 1))
    pictures.show(frame("a", 2))
    assert caplog.text.count("live pictures: cannot write") == 1


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(upkeep, "STATES_SECONDS", 0.02)
    monkeypatch.setattr(upkeep, "RETENTION_SECONDS", 0.05)


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)


def state(**values):
    defaults = {"camera": "a", "state": "running", "error": None, "frames": 7, "dropped": 1,
                "decoded": 9, "fps": 1.0, "first": 5.0, "last": 6.0, "progress": None,
                "is_live": True, "frame_rate": 25.0}  # fmt: skip
    return CameraState(**{**defaults, **values})


def test_states_reach_the_store_while_no_frame_comes(tmp_path, quick):
    now = {"a": state()}
    with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        run = store.begin_run({}, [CameraRow("a", "a.mp4")])
        beside = Upkeep(store, run, lambda: now, RecordingSettings())
        try:
            for changed, told in (
                (state(), ("running", None, 7)),
                (state(state="reconnecting", error="gone"), ("reconnecting", "gone", 7)),
                (state(recording="no room", frames=8), ("running", "no room", 8)),
            ):
                now["a"] = changed

                def shown():
                    (row,) = store.reader().run_cameras(run)
                    return row.state, row.error, row.frames

                until(lambda: shown() == told)  # noqa: B023 - called within the turn
        finally:
            beside.close()


def test_retention_goes_on_during_a_run_that_records(tmp_path, quick):
    with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        run = store.begin_run({}, [CameraRow("door", "a.mp4")])
        row = add_recording(store, run, start=1000.0)
        Upkeep(store, run, dict, RecordingSettings(keep_days=1)).close()
        beside = Upkeep(store, run, dict, RecordingSettings(keep_days=1, enabled=True))
        try:
            until(lambda: not row.path.exists())
        finally:
            beside.close()
        assert recordings(store.reader()) == []


def test_a_fault_in_the_upkeep_does_not_end_it(tmp_path, quick, caplog):
    calls = []

    def states():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a fault of ours")
        return {"a": state()}

    with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        run = store.begin_run({}, [CameraRow("a", "a.mp4")])
        beside = Upkeep(store, run, states, RecordingSettings())
        until(lambda: len(calls) > 2)
        beside.close()
        store.flush()
        with closing(sqlite3.connect(tmp_path / "s.db")) as plain:
            assert plain.execute("SELECT state FROM run_cameras").fetchone() == ("running",)
    assert "a fault of ours" in caplog.text
