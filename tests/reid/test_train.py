"""The training loop: it learns, and its files say what made them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from reid.errors import ConfigError, DataError, ModelError
from reid.network.checkpoint import default_weights, load_model, load_start, save_model
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.training.config import TrainConfig, load_train_config
from reid.training.run_log import Meter
from reid.training.train import TrainPaths, train
from tests.reid.people import MODEL, lines, paint_people, tiny
from tests.test_architecture import ROOT


@pytest.fixture
def people(tmp_path):
    return paint_people(tmp_path / "people")


def run(config, people, out, **options):
    return train(config, TrainPaths((people,), out, **options), "cpu")


def header(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_training_learns(people, tmp_path):
    config = tiny(epochs=12, paste=0.0, erase=0.0, optimizer="adam", lr=5e-3, ids_per_batch=4)
    run(config, people, tmp_path / "run")
    identity = [float(row["part_id"]) for row in lines(tmp_path / "run")]
    assert identity[0] == pytest.approx(3 * np.log(4), rel=0.1), "it starts at about K ln C"
    assert min(identity[-5:]) < 0.7 * identity[0]


def test_the_files_say_what_made_them(people, tmp_path):
    config = tiny(epochs=1, held_out_ids=1)
    path = run(config, people, tmp_path / "run")
    for file in (path, tmp_path / "run" / "last.safetensors"):
        notes = header(file)
        assert TrainConfig.model_validate_json(notes["train"]) == config
        assert "(18 images of 3 identities)" in notes["data"]
        assert notes["start"] == "random weights"
        assert notes["epoch"] == "1"
        assert notes["commit"]
        assert notes["crosscam"]
    assert json.loads(header(path)["model"])["dim"] == 16
    assert load_model(path)[0].config == config.model
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_stage_0_trains_the_trunk_alone(people, tmp_path, monkeypatch):
    import reid.training.train

    states = []
    real = reid.training.train.train_epoch

    def watch(stage, *rest):
        before = {n: p.clone() for n, p in stage.model.named_parameters()}
        line = real(stage, *rest)
        moved = {n for n, p in stage.model.named_parameters() if not torch.equal(p, before[n])}
        states.append((stage.name, moved))
        return line

    monkeypatch.setattr(reid.training.train, "train_epoch", watch)
    run(tiny(epochs=1, ide_epochs=2, ide_lr=1e-5), people, tmp_path / "run")
    assert [name for name, _ in states] == ["ide", "ide", "qpm"]
    assert all(n.startswith("backbone.") for n in states[0][1] | states[1][1])
    assert any(n.startswith("backbone.") for n in states[0][1])
    assert any(not n.startswith("backbone.") for n in states[2][1])
    ide = lines(tmp_path / "run", "_ide")
    assert [row["epoch"] for row in ide] == ["1", "2"]
    assert float(ide[0]["ide_id"]) == pytest.approx(np.log(4), rel=0.2), "about ln C"
    assert [row["epoch"] for row in lines(tmp_path / "run")] == ["1"]


def test_frozen_blocks_stay_as_they_were(people, tmp_path):
    torch.manual_seed(3)
    start = QPM(ModelConfig(**MODEL, part_norm=True))
    save_model(start, tmp_path / "start.safetensors", {}, half=False)
    path = run(tiny(frozen_blocks=5), people, tmp_path / "run", init=tmp_path / "start.safetensors")
    old, new = start.state_dict(), load_model(path)[0].state_dict()
    same = {n for n in old if torch.allclose(old[n].float(), new[n].float(), rtol=1e-3, atol=1e-4)}
    frozen = {n for n in old if n.startswith(tuple(f"backbone.features.{i}." for i in range(5)))}
    assert frozen <= same, "statistics of the batch norms included"
    assert "backbone.features.5.conv.1.1.running_var" not in same
    with pytest.raises(ConfigError, match="frozen_blocks is 19, but the trunk has 19"):
        run(tiny(frozen_blocks=19), people, tmp_path / "none")


def test_starting_from_a_model_file(people, tmp_path):
    small = {**MODEL, "height": 48, "width": 16}
    torch.manual_seed(3)
    start = QPM(ModelConfig(**small, part_norm=True, gamma=0.3))
    save_model(start, tmp_path / "start.safetensors", {}, half=False)
    config = tiny(epochs=1, lr=1e-12)
    path = run(config, people, tmp_path / "run", init=tmp_path / "start.safetensors")
    model, _ = load_model(path)
    for (name, old), new in zip(start.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(new, old.half().float(), msg=name)
    assert model.config == config.model, "the input's size and gamma are the run's own"
    assert header(path)["start"].startswith("model ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 32}, "model.dim is 16 there and 32 in the configuration"),
        ({"part_norm": False}, "model.part_norm is True there and False in"),
        ({"num_parts": 2}, "model.num_parts is 3 there and 2 in"),
    ],
)
def test_a_start_of_another_shape_names_both_values(people, tmp_path, change, message):
    save_model(QPM(ModelConfig(**MODEL, part_norm=True)), tmp_path / "start.safetensors", {})
    config = tiny(model=ModelConfig(**({**MODEL, "part_norm": True} | change)))
    with pytest.raises(ModelError, match=message):
        run(config, people, tmp_path / "run", init=tmp_path / "start.safetensors")


def test_averaged_weights_are_the_mean_of_the_steps(people, tmp_path, monkeypatch):
    """Against a loop over the weights after each step."""
    import reid.training.train

    steps = []
    real = reid.training.train.set_rates

    def watch(stage, *rest):
        steps.append({n: t.clone() for n, t in stage.model.state_dict().items()})
        return real(stage, *rest)

    monkeypatch.setattr(reid.training.train, "set_rates", watch)
    out = tmp_path / "run"
    run(tiny(epochs=3, ema_decay=0.5), people, out)
    with safe_open(out / "last.safetensors", framework="pt") as file:
        steps.append({n: file.get_tensor(f"objective.model.{n}") for n in steps[0]})
        found = {n: file.get_tensor(f"average.module.{n}") for n in steps[0]}
    mean = steps[1]
    for after in steps[2:]:
        mean = {n: 0.5 * t + 0.5 * after[n] for n, t in mean.items()}
    for name, tensor in found.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, mean[name], rtol=1e-5, atol=1e-6, msg=name)
    written = load_model(out / "model.safetensors")[0].state_dict()
    torch.testing.assert_close(
        written["global_conv.weight"], found["global_conv.weight"].half().float()
    )


def test_held_out_identities_are_measured_while_training(people, tmp_path):
    run(tiny(epochs=3, held_out_ids=2, evaluate_every=2), people, tmp_path / "run")
    rows = lines(tmp_path / "run")
    assert [bool(row["rank1"]) for row in rows] == [False, True, True], "the last one always"
    assert all(0 <= float(row["mean_ap"]) <= 1 for row in rows[1:])


def test_tensorboard_is_written_or_missed_with_a_word(people, tmp_path, monkeypatch, caplog):
    run(tiny(epochs=1), people, tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard" / "qpm").glob("events.*"))
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    run(tiny(epochs=1), people, tmp_path / "without")
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert "crosscam[train]" in caplog.text


def test_a_loss_that_is_not_a_number_is_told():
    meter = Meter("cpu")
    meter.add({"part_id": torch.tensor(1.0), "part_tp": torch.tensor(2.0)}, images=4)
    assert meter.loss() == pytest.approx(3.0)
    meter.add({"part_id": torch.tensor(1.0), "part_tp": torch.tensor(torch.nan)}, images=4)
    with pytest.raises(DataError, match="the loss became nan within the first 2 steps"):
        meter.loss()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("qpm_*.yaml")), ids=lambda p: p.name
)
def test_every_configuration_loads(path):
    load_train_config(path)


def test_the_configuration_for_ones_own_people_fits_the_shipped_model():
    config = load_train_config(ROOT / "configs" / "qpm_own.yaml")
    load_start(QPM(config.model), default_weights())


def test_the_papers_configuration_is_literal():
    """Sec. IV-A, typed from the paper; everything it does not name is off."""
    config = load_train_config(ROOT / "configs" / "qpm_paper.yaml")
    model = {"backbone": "resnet50", "height": 384, "width": 128, "num_parts": 6, "dim": 1024}
    model |= {"part_norm": False, "gamma": 0.6, "top_n": 30}
    assert model.items() <= config.model.model_dump().items()
    named = {"ids_per_batch": 8, "images_per_id": 8, "margin": 0.3, "optimizer": "sgd"}
    named |= {"weight_decay": 0.0, "epochs": 70, "lr": 0.01, "schedule": "step", "step_epochs": 20}
    unnamed = {"warmup_epochs": 0.0, "label_smoothing": 0.0, "paste": 0.0, "jitter": 0.0}
    unnamed |= {"crop_padding": 0, "ema_decay": 0.0, "head_lr_scale": 1.0}
    assert (named | unnamed).items() <= config.model_dump().items()
    assert config.flip > 0
    assert config.erase > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: -1", "epochs"),
        ("nonsense: 1", "nonsense"),
        ("model: {height: 100}", "height 100"),
        ("lr: [", "t.yaml"),
    ],
)
def test_wrong_training_configurations_are_named(tmp_path, text, message):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_train_config(tmp_path / "t.yaml")
