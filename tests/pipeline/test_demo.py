"""The demo writes files that the main job reads, starts afresh, and touches nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

import detectors.wheels
from pipeline.config import load_cameras, load_pipeline
from pipeline.demo import PLACES, DemoFiles, demo, write_configuration
from reid.errors import DataError
from storage.records import CameraRow
from storage.store import Store

START = 1714550400.0  # 2024-05-01 08:00 UTC


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """As if the wheels were in the cache already."""
    videos = {camera: tmp_path / "it's here" / f"{camera}.mp4" for camera in PLACES}
    monkeypatch.setattr(detectors.wheels, "demo_footage", lambda: videos)
    monkeypatch.setattr(detectors.wheels, "ssdlite_graph", lambda: tmp_path / "graph.pb")
    return videos


def test_the_main_job_reads_what_the_demo_writes(tmp_path: Path, footage: dict[str, Path]) -> None:
    files = DemoFiles(tmp_path / "a: demo")
    files.start_afresh()
    write_configuration(files, footage)
    cameras = load_cameras(files.cameras).enabled
    assert {c.id: Path(c.url.secret()) for c in cameras} == footage
    assert {c.start_time.timestamp() for c in cameras if c.start_time} == {START}
    assert {(c.place.x, c.place.y) for c in cameras} == {p[1:] for p in PLACES.values()}
    config = load_pipeline(files.pipeline)
    assert config.detector.name == "ssdlite"
    assert config.store.url == f"sqlite:///{tmp_path}/a: demo/store.db"
    assert config.embedding.weights == "default"
    assert config.matching.threshold is None


def test_starting_afresh_leaves_other_files_alone(tmp_path: Path) -> None:
    files = DemoFiles(tmp_path / "demo")
    files.start_afresh()
    ours = ["store.db", "store.db-wal", "cams.yaml", "report.html", "store.media/1.jpg"]
    for name in [*ours, "mine.txt"]:
        (files.folder / name).parent.mkdir(exist_ok=True)
        (files.folder / name).write_text("x")
    files.start_afresh()
    assert sorted(p.name for p in files.folder.iterdir()) == [".crosscam-demo", "mine.txt"]


@pytest.mark.parametrize("name", ["cams.yaml", "store.db", "pipeline.yaml", "report.html"])
def test_a_sites_own_folder_is_no_demos(tmp_path: Path, name: str) -> None:
    """Its store and recordings were deleted."""
    (tmp_path / name).write_text("a site's own")
    (tmp_path / "store.media").mkdir()
    with pytest.raises(DataError, match=f"{name} is there and is no demo's"):
        DemoFiles(tmp_path).start_afresh()
    assert (tmp_path / name).read_text() == "a site's own"
    assert (tmp_path / "store.media").is_dir()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"--folder .*file/demo: cannot be written"):
        DemoFiles(tmp_path / "file" / "demo").start_afresh()


def test_runs_reports_and_says_what_it_found(
    tmp_path: Path, footage: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = DemoFiles(tmp_path / "demo")
    called: list[list[str]] = []

    def main(arguments: Sequence[str]) -> int:
        called.append(list(arguments))
        if arguments[0] == "run":
            with Store.open(files.url) as store:
                store.finish_run(store.begin_run({}, [CameraRow("cam01", "a.mp4")]))
        return 0

    options = argparse.Namespace(folder=files.folder, main=main)
    assert demo(options) == demo(options) == 0  # a second time starts from nothing
    assert [c[0] for c in called] == ["run", "report", "run", "report"]
    told = capsys.readouterr().out
    assert "1 cameras, 0 tracks, 0 identities, 0 abstentions" in told
    assert f"report: {files.report}" in told


def test_a_failed_run_is_the_demos_failure(tmp_path: Path, footage: dict[str, Path]) -> None:
    called: list[str] = []

    def main(arguments: Sequence[str]) -> int:
        called.append(arguments[0])
        return 1

    assert demo(argparse.Namespace(folder=tmp_path / "demo", main=main)) == 1
    assert called == ["run"]
