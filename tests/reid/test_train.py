from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from reid.config import ModelConfig
from reid.datasets import IdentitySampler, hold_out, labelled_folder, market1501, training_samples
from reid.errors import ConfigError, DataError
from reid.train import TrainPaths, rate_factor, train
from reid.train_config import TrainConfig, load_train_config


@pytest.fixture
def people(tmp_path):
    """Four people in plain colours, two cameras, six pictures each."""
    rng = np.random.default_rng(1)
    for identity in range(4):
        colour = rng.integers(0, 255, 3)
        for index in range(6):
            folder = tmp_path / "people" / f"p{identity}" / f"c{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            image = np.clip(colour + rng.normal(0, 10, (64, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), image)
    return tmp_path / "people"


def tiny(**changes) -> TrainConfig:
    model = ModelConfig(
        backbone="mobilenetv2", height=96, width=32, num_parts=3, dim=16, part_norm=True
    )
    values = {"epochs": 2, "ids_per_batch": 2, "images_per_id": 3, "lr": 0.01, "paste": 0.5}
    return TrainConfig(model=model, **(values | changes))


def losses(folder) -> list[list[str]]:
    return [row[:-1] for row in csv.reader((folder / "log.csv").open())]


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(people, tmp_path, monkeypatch):
    config = tiny(jitter=0.2, crop_padding=2)
    train(config, TrainPaths(people, tmp_path / "whole"), "cpu", compiled=False)

    class Killed(Exception):  # noqa: N818
        pass

    import reid.train as module

    real = module.save_model

    def save_then_die(*args, **kwargs):
        real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_model", save_then_die)
        with pytest.raises(Killed):
            train(config, TrainPaths(people, tmp_path / "broken"), "cpu", compiled=False)
    train(config, TrainPaths(people, tmp_path / "broken"), "cpu", compiled=False)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 2


def test_training_learns(people, tmp_path):
    config = tiny(epochs=20, paste=0.0, erase=0.0, optimizer="adam", lr=2e-3, ids_per_batch=4)
    train(config, TrainPaths(people, tmp_path / "run"), "cpu", compiled=False)
    identity = [float(row[1]) for row in losses(tmp_path / "run")]
    assert identity[0] > 4.0, "it starts at about K ln C = 4.2"
    assert min(identity[-5:]) < 0.7 * identity[0]


def test_another_configuration_never_resumes(people, tmp_path):
    train(tiny(epochs=1), TrainPaths(people, tmp_path / "run"), "cpu", compiled=False)
    with pytest.raises(DataError, match="another config"):
        train(tiny(epochs=1, seed=2), TrainPaths(people, tmp_path / "run"), "cpu", compiled=False)


def test_sampler_draws_like_torchreid():
    labels = [0] * 9 + [1] * 4 + [2] * 2 + [3] * 8
    sampler = IdentitySampler(labels, p=2, a=4, seed=0)
    batches = sampler.epoch(3)
    for batch in batches:
        groups = np.asarray(labels)[batch].reshape(2, 4)
        assert (groups == groups[:, :1]).all(), "A images of each identity"
        assert groups[0, 0] != groups[1, 0], "P different identities"
    drawn = np.concatenate(batches)
    many = [r for r in drawn if labels[r] in (0, 3)]
    assert len(set(many)) == len(many), "an image is drawn once when there are enough"
    assert all((a == b).all() for a, b in zip(batches, sampler.epoch(3), strict=True))
    assert any((a != b).any() for a, b in zip(batches, sampler.epoch(4), strict=False))


def test_held_out_people_are_apart(people):
    samples = labelled_folder(people)
    kept, away = hold_out(samples, 1)
    assert len({s.identity for s in away}) == 1
    assert not {s.identity for s in kept} & {s.identity for s in away}
    assert hold_out(samples[::-1], 1)[1][0].identity == away[0].identity
    with pytest.raises(DataError, match="held_out_ids is 4"):
        hold_out(samples, 4)


def test_half_unpacked_market_is_refused(tmp_path):
    (tmp_path / "bounding_box_train").mkdir()
    (tmp_path / "bounding_box_train" / "0002_c1s1_000451_03.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="1 usable images, 12936 belong there"):
        market1501(tmp_path, "train")
    with pytest.raises(DataError, match="no folder 'query'"):
        market1501(tmp_path, "query")
    with pytest.raises(DataError, match="no image at identity/camera"):
        labelled_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        training_samples(tmp_path / "none")


def test_schedules():
    step = tiny(schedule="step", step_epochs=20, epochs=70)
    assert [rate_factor(step, e) for e in (0, 19.9, 20, 45)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = tiny(schedule="cosine", epochs=10, warmup_epochs=2)
    assert rate_factor(cosine, 0) < 0.02
    assert rate_factor(cosine, 2) == pytest.approx(1)
    assert rate_factor(cosine, 6) == pytest.approx(0.5, abs=0.01)
    assert rate_factor(cosine, 10) < 0.01


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
