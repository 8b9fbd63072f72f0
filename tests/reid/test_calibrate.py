"""The threshold: chosen on people that the model was never trained on, or not at all."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from reid.datasets import fingerprint, hold_out, load_training
from reid.evaluation.bootstrap import threshold_interval
from reid.evaluation.calibrate import main
from reid.network.checkpoint import save_model
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.training.config import load_train_config
from tests.reid.people import MODEL, paint_people
from tests.test_architecture import ROOT

HELD_OUT = 3


@pytest.fixture
def people(tmp_path):
    return paint_people(tmp_path / "people", people=7)


def model_file(path, people, held_out=HELD_OUT):
    """A model that says it was trained on all people but some, as `train` writes it."""
    left, _ = hold_out(load_training([people]), held_out)
    notes = {
        "train": json.dumps({"held_out_ids": held_out}),
        "data": f"{fingerprint(left)} ({len(left)} images of {7 - held_out} identities)",
    }
    save_model(QPM(ModelConfig(**MODEL, part_norm=True)), path, notes)
    return path


def calibrate(weights, people, *more):
    return main(["--weights", str(weights), "--data", str(people), *more])


def test_the_people_are_those_that_the_file_says_were_held_out(people, tmp_path, capsys):
    weights = model_file(tmp_path / "m.safetensors", people)
    assert calibrate(weights, people, "--precision", "bfloat16") == 0
    found = json.loads(weights.with_suffix(".json").read_text())
    assert json.loads(capsys.readouterr().out) == found
    assert found["precision"] == "bfloat16"
    assert found["tracklets"] == 2 * HELD_OUT, "two cameras each"
    assert found["pairs"] == HELD_OUT * HELD_OUT
    assert found["different_pairs"] == HELD_OUT * (HELD_OUT - 1)
    assert found["people_pairs"] == 1, "the nearest"
    low, high = found["interval"]
    assert low <= found["threshold"] <= high


def test_the_interval_is_that_of_naive_draws_of_people():
    """Pairs counted one by one, against the running sum; the same draws."""
    rng = np.random.default_rng(2)
    people = np.array([(a, b) for a in range(6) for b in range(a) for _ in range(3)]) * 7
    distance = rng.uniform(0, 1, len(people)).astype(np.float32)
    got = threshold_interval(distance, people, 0.1, draws=50, seed=5)
    rng, found = np.random.default_rng(5), []
    for _ in range(50):
        drawn = [int(n) * 7 for n in rng.integers(0, 6, 6)]
        bag = [
            d
            for d, (a, b) in zip(distance, people, strict=True)
            for _ in range(drawn.count(a) * drawn.count(b))
        ]
        found.append(sorted(bag)[int(0.1 * len(bag))])
    assert got == pytest.approx(tuple(np.quantile(found, [0.025, 0.975])))


def test_a_dry_run_writes_nothing(people, tmp_path, capsys):
    weights = model_file(tmp_path / "m.safetensors", people)
    assert calibrate(weights, people, "--dry-run") == 0
    assert '"threshold"' in capsys.readouterr().out
    assert not weights.with_suffix(".json").exists()


def test_people_that_were_trained_on_are_refused(people, tmp_path, capsys):
    """It reported a true accept rate of 0.91 where strangers had 0.67."""
    weights = model_file(tmp_path / "m.safetensors", people)
    assert calibrate(weights, people, "--held-out-ids", "6") == 2
    error = capsys.readouterr().err
    assert "--held-out-ids is 6" in error
    assert "held_out_ids 3" in error
    assert not weights.with_suffix(".json").exists()


def test_a_model_that_knows_everybody_is_refused(people, tmp_path, capsys):
    weights = model_file(tmp_path / "m.safetensors", people, held_out=0)
    assert calibrate(weights, people) == 2
    assert "held_out_ids 0" in capsys.readouterr().err


def test_a_folder_that_changed_since_the_training_is_refused(people, tmp_path, capsys):
    weights = model_file(tmp_path / "m.safetensors", people)
    shutil.copytree(people / "p0", people / "new")
    assert calibrate(weights, people) == 2
    error = capsys.readouterr().err
    assert "of 4 identities" in error, "what it was trained on"
    assert "of 5 identities" in error, "what is there"


def test_a_model_that_does_not_say_is_refused_by_one_line(people, tmp_path, capsys):
    weights = tmp_path / "m.safetensors"
    save_model(QPM(ModelConfig(**MODEL, part_norm=True)), weights, {})
    assert calibrate(weights, people) == 2
    error = capsys.readouterr().err
    assert "does not say who was held out" in error
    assert "Traceback" not in error


def test_the_sets_of_a_joined_training_may_come_in_any_order(people, tmp_path, capsys):
    other = paint_people(tmp_path / "others", people=7, images=8)
    left, away = hold_out(load_training([other, people]), 9)
    notes = {"train": json.dumps({"held_out_ids": 9}), "data": f"{fingerprint(left)} (joined)"}
    weights = tmp_path / "m.safetensors"
    save_model(QPM(ModelConfig(**MODEL, part_norm=True)), weights, notes)
    assert calibrate(weights, people, "--scene", str(other)) == 0
    mine = {s.identity for s in away if s.path.is_relative_to(people)}
    assert json.loads(capsys.readouterr().out)["tracklets"] == 2 * len(mine)


def test_folders_that_names_cannot_tell_apart_are_refused(people, tmp_path, capsys):
    """A list's fingerprint knows names and numbers only: either folder's people fit it."""
    other = paint_people(tmp_path / "others", people=7)
    left, _ = hold_out(load_training([other, people]), 9)
    notes = {"train": json.dumps({"held_out_ids": 9}), "data": f"{fingerprint(left)} (joined)"}
    weights = tmp_path / "m.safetensors"
    save_model(QPM(ModelConfig(**MODEL, part_norm=True)), weights, notes)
    assert calibrate(weights, people, "--scene", str(other)) == 2
    assert "are alike" in capsys.readouterr().err


def test_ones_own_people_can_be_calibrated():
    assert load_train_config(ROOT / "configs" / "qpm_own.yaml").held_out_ids > 0
