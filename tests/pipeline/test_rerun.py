"""A re-run sees what the run saw, finds the same every time, and says which links changed."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

import run_pipeline
from pipeline.compare_runs import Comparison, compare
from pipeline.config import load_pipeline
from pipeline.rerun import camera_configs, footage_of, pipeline_config
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner, Summary
from pipeline.settings import RecordingSettings
from reid.errors import ConfigError, StoreError
from storage.audit import entries
from storage.footage.recordings import begin_recording, grow_recording
from storage.queries import StoreReader
from storage.settings import StoreSettings
from storage.sightings import rerun_of
from storage.store import Store
from tests.pipeline.test_runner import cameras_file
from tests.pipeline.walkers import ColourDetector, ColourEmbedder, write_walk

START = 1_714_550_400.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two cameras that was recorded; its footage is gone from where it was."""
    from pipeline.config import load_cameras

    folder = tmp_path_factory.mktemp("recorded")
    left = write_walk(folder / "left.mp4", {"red": (20, 20), "green": (20, 130)})
    right = write_walk(folder / "right.mp4", {"red": (60, 30), "blue": (60, 140)})
    cameras = load_cameras(cameras_file(folder, left=left, right=right)).enabled
    embedder = ColourEmbedder()
    config = resolve_matching(load_pipeline(None), embedder)
    config = config.model_copy(update={"recording": RecordingSettings(enabled=True, segment=2)})
    with Store.open(f"sqlite:///{folder / 'site.db'}") as store:
        Runner(cameras, config, ColourDetector(), embedder, store, stop=threading.Event()).run()
    left.unlink()
    right.unlink()
    return folder


@pytest.fixture
def url(recorded: Path, tmp_path: Path) -> str:
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path / 'site.db'}"


def again(url: str, threshold: float | None = None, **chosen) -> tuple[Summary, Comparison]:
    with StoreReader.open(url) as reader, Store.open(url) as store:
        footage = footage_of(reader, None, **chosen)
        config = pipeline_config(footage, StoreSettings(url=url))
        if threshold is not None:
            matching = config.matching.model_copy(update={"threshold": threshold})
            config = config.model_copy(update={"matching": matching})
        summary = Runner(
            camera_configs(reader, footage, None),
            config,
            ColourDetector(),
            ColourEmbedder(),
            store,
            stop=threading.Event(),
            opener=footage.open,
            rerun_of=footage.run.id,
        ).run()
        cameras = list(footage.rows)
        found = compare(reader, footage.run.id, summary.run, cameras, footage.start, footage.end)
    return summary, found


def contents(url: str, run: int):
    """All that a run found, with ids by the order in which they were given."""
    with StoreReader.open(url) as reader:
        tracks = list(reader.tracks(run))
        first = min(t.id for t in tracks)
        identities = sorted({t.identity for t in tracks if t.identity is not None})
        return [
            (
                t.id - first, t.camera, t.start, t.end, identities.index(t.identity),
                [(p.time, p.box, p.confidence) for p in reader.boxes(t.id)],
                [(e.action, e.time, e.distance, e.support) for e in reader.ledger(t.id)],
                [(e.time, e.sha256) for e in reader.exemplars(t.id)],
            )
            for t in tracks
        ]  # fmt: skip


def test_the_same_as_the_run_and_the_same_every_time(url: str) -> None:
    first, found = again(url)
    second, _ = again(url)
    assert first.frames == 80 and not first.failed
    assert contents(url, first.run) == contents(url, second.run)
    # Nothing was encoded anew: to the pixel what the run itself saw.
    assert contents(url, first.run) == contents(url, 1)
    assert (found.matched, found.only_before, found.only_after) == (4, (), ())
    assert (found.unchanged, found.added, found.removed) == (1, 0, 0)


def test_it_is_a_run_of_its_own(url: str, tmp_path: Path) -> None:
    with StoreReader.open(url) as reader:
        before = contents(url, 1)
        cameras = reader.cameras()
        recordings = sorted(p for p in (tmp_path / "site.media" / "recordings").rglob("*.*"))
        summary, _ = again(url)
        assert rerun_of(reader, summary.run) == 1 and rerun_of(reader, 1) is None
        assert contents(url, 1) == before
        assert reader.cameras() == cameras, "the cameras' addresses stay"
    after = sorted(p for p in (tmp_path / "site.media" / "recordings").rglob("*.*"))
    assert after == recordings, "a re-run is not recorded again"
    with StoreReader.open(url) as reader, pytest.raises(StoreError, match="itself a re-run"):
        footage_of(reader, summary.run)


def test_another_threshold_changes_the_links(url: str) -> None:
    _, found = again(url, threshold=0.0)
    assert (found.matched, found.unchanged, found.added, found.removed) == (4, 0, 0, 1)
    (change,) = found.changes
    assert not change.linked
    assert {change.first.before.camera, change.second.before.camera} == {"left", "right"}
    told = json.loads(json.dumps(found.as_json()))
    assert told["changes"][0]["change"] == "removed"
    assert told["links"] == {"unchanged": 0, "added": 0, "removed": 1}
    with StoreReader.open(url) as reader:
        back = compare(reader, found.after, 1, ["left", "right"], START, START + 10)
    assert (back.added, back.removed) == (1, 0) and back.changes[0].linked


def test_a_part_of_it(url: str) -> None:
    summary, found = again(url, cameras=["left"], start=START + 1.0, end=START + 2.45)
    assert list(summary.cameras) == ["left"]
    assert summary.frames == 15
    assert found.only_after == () and found.matched == 2


def test_a_lost_recording_is_that_cameras_trouble(url: str, tmp_path: Path) -> None:
    gone = sorted((tmp_path / "site.media" / "recordings" / "left").rglob("*.mp4"))[0]
    gone.unlink()
    summary, _ = again(url)
    assert list(summary.failed) == ["left"]
    assert "1 of 2 recordings could not be read" in summary.failed["left"]
    assert 0 < summary.cameras["left"].frames < 40, "the rest was played"
    assert summary.cameras["right"].state == "ended"


def test_a_run_that_goes_on_is_not_the_latest(url: str) -> None:
    with Store.open(url) as store:
        run = store.begin_run({}, [])
        row = begin_recording(
            store, camera="left", run=run, start=START + 100, codec="h264", width=64, height=48,
            suffix=".mp4",
        )  # fmt: skip
        grow_recording(store, row.id, START + 100, START + 110, 1000)
        store.flush()
        assert footage_of(store.reader(), None).run.id == 1
        with pytest.raises(StoreError, match="run 2 goes on"):
            footage_of(store.reader(), None, (), START + 99, START + 120)


def test_what_cannot_be_run_again(url: str, tmp_path: Path) -> None:
    with StoreReader.open(url) as reader:
        with pytest.raises(
            ConfigError, match=r"camera 'shed' has no recording of run 1 .*left, right"
        ):
            footage_of(reader, 1, ["shed"])
        with pytest.raises(StoreError, match="no recordings of that time"):
            footage_of(reader, None, (), START + 1000, START + 1001)
        with pytest.raises(ConfigError, match="the end is not after"):
            footage_of(reader, None, (), START + 2, START + 1)
        with pytest.raises(StoreError, match="has no run 9"):
            footage_of(reader, 9)


def test_the_commands(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`replay --rerun` goes through the front door to `rerun`."""
    monkeypatch.setattr("pipeline.run_command.install_interrupt", lambda stop: None)
    monkeypatch.setattr("pipeline.run_command.start_logging", lambda level, console: None)
    monkeypatch.setattr("detectors.build_detector", lambda settings: ColourDetector())
    monkeypatch.setattr("reid.embedding.Embedder.from_settings", lambda s: ColourEmbedder())
    words = ["replay", "--rerun", "--store", url, "--threshold", "0", "--reason", "new threshold"]
    assert run_pipeline.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["links"]["removed"] == 1
    assert run_pipeline.main(["rerun", "--store", url]) == 0
    said = capsys.readouterr().out
    assert "1 unchanged, 0 added, 0 removed" in said
    with StoreReader.open(url) as reader:
        trail = entries(reader, action="rerun")
    assert [(e.subject, e.reason) for e in trail] == [("run 1", ""), ("run 1", "new threshold")]
    assert run_pipeline.main(["replay", "--rerun", "--store", url, "--threshold", "3"]) == 2
    assert "--threshold is 3; allowed: 0 to 2" in capsys.readouterr().err
    assert run_pipeline.main(["replay", "--run", "1", "--identity", "1", "--store", url]) == 2
    assert "--run belongs to --rerun" in capsys.readouterr().err
