"""A run that is killed goes on as if it had not been, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from reid.errors import DataError
from reid.training.run_log import append_line, keep_lines
from reid.training.train import TrainPaths, train
from tests.reid.people import lines, paint_people, tiny
from tests.test_architecture import ROOT

EPOCHS = 6


@pytest.fixture
def people(tmp_path):
    return paint_people(tmp_path / "people", people=3, images=4)


def start(folder: Path, people: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_pipeline.py"), "train", "--config",
         str(folder / "t.yaml"), "--data", str(people), "--out", str(out), "--device", "cpu"],
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_killed_run_ends_as_an_unbroken_one(people, tmp_path):
    config = tiny(
        epochs=EPOCHS, ide_epochs=1, jitter=0.2, crop_padding=2, held_out_ids=1, ema_decay=0.9,
        evaluate_every=EPOCHS, optimizer="adam", lr=1e-3,
    )  # fmt: skip
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(config.model_dump()))
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start(tmp_path, people, broken)
    end = time.monotonic() + 170
    log = broken / "log.csv"
    try:
        while not (log.exists() and len(log.read_text().splitlines()) > 2):  # header, two epochs
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait() == -9, "the kill came too late to be one"
    with log.open("a") as file:
        file.write("7,1,0.1")  # as a kill in the middle of a write leaves it
    paths = [TrainPaths((people,), out) for out in (broken, whole)]
    for each in paths:
        train(config, each, "cpu")
    assert_same(broken, whole)
    assert lines(broken, "_ide") == lines(whole, "_ide")
    assert [row["epoch"] for row in lines(whole)] == [str(e + 1) for e in range(EPOCHS)]


@pytest.mark.parametrize("place", ["save_model", "RunState.save"])
def test_a_run_that_ends_between_its_files_goes_on(people, tmp_path, monkeypatch, place):
    """With SGD: after the log and before the checkpoint, and after both."""
    config = tiny(epochs=3)
    broken, whole = (TrainPaths((people,), tmp_path / name) for name in ("broken", "whole"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"reid.training.train.{place}", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, broken, "cpu")
    for each in (broken, whole):
        train(config, each, "cpu")
    assert_same(broken.out, whole.out)


def assert_same(broken: Path, whole: Path) -> None:
    """The same lines and, bit for bit, the same tensors."""
    assert lines(broken) == lines(whole)
    after, expected = (load_file(out / "last.safetensors") for out in (broken, whole))
    assert after.keys() == expected.keys()
    assert not [n for n in expected if not torch.equal(after[n], expected[n])]


def test_a_finished_run_is_left_as_it_is(people, tmp_path):
    paths = TrainPaths((people,), tmp_path / "run")
    train(tiny(epochs=1), paths, "cpu")
    before = (tmp_path / "run" / "log.csv").read_bytes()
    train(tiny(epochs=1), paths, "cpu")
    assert (tmp_path / "run" / "log.csv").read_bytes() == before


def test_another_run_never_resumes(people, tmp_path):
    paths = TrainPaths((people,), tmp_path / "run")
    train(tiny(epochs=1), paths, "cpu")
    with pytest.raises(DataError, match="the run there has seed 1, this one 2"):
        train(tiny(epochs=1, seed=2), paths, "cpu")
    fewer = paint_people(tmp_path / "fewer", people=2)
    with pytest.raises(DataError, match=r"the run there has data .*12 images of 3"):
        train(tiny(epochs=1), TrainPaths((fewer,), tmp_path / "run"), "cpu")


def test_a_damaged_checkpoint_is_told(people, tmp_path):
    (tmp_path / "last.safetensors").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"last\.safetensors: cannot read the checkpoint"):
        train(tiny(), TrainPaths((people,), tmp_path), "cpu")


def test_lines_of_unfinished_epochs_go(tmp_path):
    path = tmp_path / "log.csv"
    for epoch in (1, 2, 3):
        append_line(path, {"epoch": epoch, "loss": 0.5, "rank1": float("nan")})
    assert path.read_text() == "epoch,loss,rank1\n1,0.5,\n2,0.5,\n3,0.5,\n"
    keep_lines(path, 2)
    assert path.read_text() == "epoch,loss,rank1\n1,0.5,\n"
    keep_lines(path, 0)
    append_line(path, {"epoch": 1, "loss": 0.25})
    assert path.read_text() == "epoch,loss\n1,0.25\n"
