"""The program as a person starts it: exit codes, clear errors, Ctrl-C; real footage where it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.queries import StoreReader
from tests.pipeline.walkers import write_walk

ROOT = Path(__file__).parent.parent
START = "2024-05-01T08:00:00Z"


def command(folder: Path, *, pipeline: str = "", store: str | None = None) -> list[str]:
    (folder / "pipeline.yaml").write_text(pipeline or "{}")
    return [
        sys.executable,
        str(ROOT / "run_pipeline.py"),
        "--cameras",
        str(folder / "cams.yaml"),
        "--pipeline",
        str(folder / "pipeline.yaml"),
        "--store",
        store or f"sqlite:///{folder / 'store.db'}",
    ]


def cameras(folder: Path, *lines: str) -> None:
    (folder / "cams.yaml").write_text("cameras:\n" + "".join(f"  - {li}\n" for li in lines))


def real(shared: Path, weights: str = "default") -> str:
    return (
        f"detector: {{name: {shared / 'models/rtmdet_nano_person_dyn.onnx'}}}\n"
        f"embedding: {{weights: {weights}, backend: torch}}\n"
    )


def start(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, cwd=folder, timeout=170)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{id: a, url: x.mp4, colour: red}", "colour"),
        ("{id: a}", "url"),
        ("{id: 'a b', url: x.mp4}", "a b"),
    ],
)
def test_wrong_configuration_ends_at_once_with_code_2(tmp_path, line, message):
    cameras(tmp_path, line)
    result = start(command(tmp_path), tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "store.db").exists()


def test_two_cameras_with_one_id(tmp_path):
    cameras(tmp_path, "{id: gate, url: a.mp4}", "{id: gate, url: b.mp4}")
    result = start(command(tmp_path), tmp_path)
    assert result.returncode == 2
    assert "gate" in result.stderr


def test_a_store_that_cannot_be_written_is_told_before_models_load(tmp_path):
    cameras(tmp_path, "{id: a, url: a.mp4}")
    result = start(command(tmp_path, store="sqlite:////nowhere/deep/store.db"), tmp_path)
    assert result.returncode == 2
    assert "/nowhere/deep" in result.stderr
    assert "Traceback" not in result.stderr


def test_weights_of_another_shape_are_named(tmp_path, shared):
    import torch

    from reid.network.checkpoint import save_model
    from reid.network.config import ModelConfig
    from reid.network.qpm import QPM

    torch.manual_seed(0)
    config = ModelConfig(backbone="mobilenetv2", height=96, width=32, num_parts=3, dim=16)
    save_model(QPM(config), tmp_path / "other.safetensors", {})
    write_walk(tmp_path / "a.mp4", {})
    cameras(tmp_path, f"{{id: a, url: a.mp4, start_time: '{START}'}}")
    pipeline = real(shared, str(tmp_path / "other.safetensors"))
    result = start(command(tmp_path, pipeline=pipeline), tmp_path)
    assert result.returncode == 2
    assert "bring no calibrated threshold" in " ".join(result.stderr.split())


def test_real_footage_and_a_missing_file(tmp_path, shared):
    videos = [shared / f"footage/pose2sim/multiperson_cam0{n}.mp4" for n in (1, 2)]
    rest = f"start_time: '{START}', max_fps: 6"
    cameras(
        tmp_path,
        *(f"{{id: cam{n}, url: {video}, {rest}}}" for n, video in enumerate(videos, start=1)),
        "{id: gone, url: gone.mp4}",
    )
    result = start(command(tmp_path, pipeline=real(shared)), tmp_path)
    assert result.returncode == 1, result.stderr
    assert "camera gone failed" in result.stdout
    assert "gone.mp4" in result.stdout
    reader = StoreReader.open(f"sqlite:///{tmp_path / 'store.db'}")
    tracks = list(reader.tracks())
    assert {t.camera for t in tracks} == {"cam1", "cam2"}
    assert all(t.identity is not None for t in tracks)
    states = {c.camera: c.state for c in reader.run_cameras(reader.runs()[0].id)}
    assert states == {"cam1": "ended", "cam2": "ended", "gone": "failed"}


def test_untrained_weights_say_so_loudly(tmp_path, shared):
    write_walk(tmp_path / "a.mp4", {})
    cameras(tmp_path, f"{{id: a, url: a.mp4, start_time: '{START}'}}")
    result = start(command(tmp_path, pipeline=real(shared, "untrained")), tmp_path)
    assert result.returncode == 0, result.stderr
    assert "UNTRAINED WEIGHTS" in result.stdout + result.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_found(tmp_path, shared, times):
    video = shared / "footage/pets_full.avi"
    cameras(tmp_path, f"{{id: pets, url: {video}, start_time: '{START}'}}")
    arguments = command(tmp_path, pipeline=real(shared))
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=tmp_path)
        wait_for_tracks(tmp_path / "store.db", process)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.wait(60) == 130, (tmp_path / "log.txt").read_text()
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
    reader = StoreReader.open(f"sqlite:///{tmp_path / 'store.db'}")
    tracks = list(reader.tracks())
    assert tracks
    assert all(list(reader.boxes(t.id)) for t in tracks)
    if times == 1:
        assert reader.runs()[0].status == "interrupted"
        assert all(t.identity is not None for t in tracks)


def wait_for_tracks(store: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run has written a track."""
    import sqlite3

    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if store.exists():
            try:
                with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
                    if connection.execute("select count(*) from tracks").fetchone()[0]:
                        return
            except sqlite3.Error:
                pass
        time.sleep(0.1)
    raise AssertionError("the run wrote no track")


@pytest.mark.parametrize(
    "command", [["case", "list"], ["user", "list"], ["watch", "list"], ["retention"]]
)
def test_every_command_takes_the_store_of_the_environment(
    command: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_pipeline.py"), *command],
        cwd=tmp_path, env={**os.environ, "CROSSCAM_STORE": "sqlite:///sites-own.db"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "sites-own.db" in done.stderr
