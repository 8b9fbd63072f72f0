from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from reid.datasets import open_dataset
from reid.embedding import Embedder
from reid.errors import ConfigError
from reid.evaluation.sets import EvaluationSettings, embed_both_ways, evaluate_set
from reid.settings import EmbeddingSettings
from run_pipeline import main


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Five people in plain colours before two cameras, three pictures each."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(3)
    for identity in range(5):
        colour = rng.integers(0, 255, 3)
        for index in range(6):
            folder = root / f"p{identity}" / f"c{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            image = np.clip(colour + rng.normal(0, 25, (64, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), image)
    return root


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_settings(EmbeddingSettings(weights="untrained", backend="torch"))


def test_table_and_json_say_the_same(people, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ["evaluate", "--data", str(people), "--weights", "untrained", "--top-n", "3"]
    assert main([*arguments, "--json", str(out), "--device", "cpu"]) == 0
    found = json.loads(out.read_text())
    (row,) = found["sets"]
    assert (row["queries"], row["gallery"], row["queries_with_a_match"]) == (10, 20, 10)
    assert found["settings"] == {
        "gamma": 0.6,
        "top_n": 3,
        "ranking": "two_stage",
        "flip": False,
    }
    assert found["fingerprint"] == "untrained-0"
    assert "torch" in found["machine"]
    printed = capsys.readouterr().out
    for key in ("R1", "R3", "R5", "R10", "mAP", "mINP"):
        assert key in printed
        assert f"{row[key]:.3f}" in printed


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_is_what_was_asked_for(people, tmp_path, capsys, precision):
    """The card's figures could not be had where `auto` is bfloat16."""
    out = tmp_path / "figures.json"
    arguments = ["--weights", "untrained", "--precision", precision, "--json", str(out)]
    assert main(["evaluate", "--data", str(people), "--device", "cpu", *arguments]) == 0
    assert json.loads(out.read_text())["precision"] == precision
    assert f"openvino, {precision}, cpu" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "{}/nowhere/at/all.json"], "its folder does not exist"),
        (["--data", "{}/nowhere"], "no such folder"),
    ],
)
def test_wrong_arguments_end_with_one_line(people, capsys, tmp_path, arguments, message):
    given = [argument.format(tmp_path) for argument in arguments]
    assert main(["evaluate", "--data", str(people), "--weights", "untrained", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_decoding_in_chunks_changes_nothing(people, embedder, monkeypatch):
    settings = EvaluationSettings.of(embedder)
    (whole,) = evaluate_set(embedder, open_dataset(people), settings)
    monkeypatch.setattr("reid.evaluation.sets.CHUNK", 3)
    (chunked,) = evaluate_set(embedder, open_dataset(people), settings)
    assert chunked.data == whole.data
    assert chunked.accuracy.mean_ap == pytest.approx(whole.accuracy.mean_ap)
    np.testing.assert_allclose(chunked.accuracy.cmc, whole.accuracy.cmc)


def test_flip_averaging_cannot_tell_left_from_right(embedder):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 255, (192, 64, 3)).astype(np.uint8)
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    both = embed_both_ways(embedder, [crop])
    other = embed_both_ways(embedder, [mirrored])
    one, two = embedder.embed([crop]), embedder.embed([mirrored])
    for name in ("parts", "global_parts", "quality"):
        np.testing.assert_allclose(getattr(both, name), getattr(other, name), rtol=1e-5, atol=1e-6)
        mean = (getattr(one, name).astype(np.float64) + getattr(two, name)) / 2
        np.testing.assert_allclose(getattr(both, name), mean, rtol=1e-5, atol=1e-6)
    assert both.fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"), [({"gamma": 1.5}, r"gamma is 1\.5"), ({"top_n": 0}, "top-n is 0")]
)
def test_settings_out_of_range_are_named(embedder, changes, message):
    with pytest.raises(ConfigError, match=message):
        EvaluationSettings.of(embedder, **changes)


def test_a_model_without_a_global_branch_takes_no_gamma(embedder):
    class Plain:
        config = embedder.config.model_copy(update={"global_feature": "none", "gamma": 1.0})

    assert EvaluationSettings.of(Plain).gamma == 1
    with pytest.raises(ConfigError, match="no global branch"):
        EvaluationSettings.of(Plain, gamma=0.6)
