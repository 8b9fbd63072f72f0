from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from reid.embedding import Embedder, list_images
from reid.errors import DataError, FingerprintMismatch, ModelError
from reid.hardware import cpu_has_bfloat16
from reid.network.checkpoint import save_model
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

SMALL = ModelConfig(backbone="mobilenetv2", height=96, width=32, dim=16, part_norm=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    model = QPM(SMALL)
    with torch.no_grad():  # a few batches, so that the norms are not at their start values
        model.train()
        model.part_branch.quality_weight *= 50
        for _ in range(3):
            model(torch.randn(8, 3, 96, 32))
    save_model(model.eval(), path, {}, half=False)
    return path


def crops(count: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 255, (60 + 20 * i, 30 + 5 * i, 3), dtype=np.uint8) for i in range(count)
    ]


def embedder(weights, **settings):
    return Embedder.from_settings(EmbeddingSettings(weights=str(weights), **settings))


def test_backends_agree(weights):
    eager = embedder(weights, backend="torch", precision="float32").embed(crops())
    other = embedder(weights, backend="openvino", precision="float32").embed(crops())
    np.testing.assert_allclose(other.parts, eager.parts, atol=2e-3)
    np.testing.assert_allclose(other.global_parts, eager.global_parts, atol=2e-3)
    np.testing.assert_allclose(other.quality, eager.quality, atol=1e-3)
    assert eager.fingerprint == other.fingerprint


def test_preprocessing_is_rgb_imagenet(weights):
    """Oracle: the model on an image prepared by hand."""
    from reid.network.checkpoint import load_model

    image = crops(1)[0]
    resized = cv2.resize(image, (32, 96), interpolation=cv2.INTER_LINEAR)[:, :, ::-1] / 255
    x = (resized - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    model, _ = load_model(weights)
    with torch.inference_mode():
        expected = model(torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None])
    got = embedder(weights, backend="torch", precision="float32").embed([image])
    np.testing.assert_allclose(got.parts, expected.parts.numpy(), atol=1e-4)


def test_batches_change_nothing(weights):
    whole = embedder(weights, backend="openvino", batch=32).embed(crops())
    pieces = embedder(weights, backend="openvino", batch=2).embed(crops())
    np.testing.assert_allclose(pieces.parts, whole.parts, atol=1e-4)


def test_no_crops_give_empty_arrays(weights):
    empty = embedder(weights, backend="torch").embed([])
    assert empty.parts.shape == (0, 6, 16)
    assert empty.quality.shape == (0, 6)


@pytest.mark.parametrize("bad", [np.zeros((0, 5, 3), np.uint8), np.zeros((4, 4), np.uint8)])
def test_a_crop_that_is_none_is_refused(weights, bad):
    with pytest.raises(DataError, match="crop 0 is"):
        embedder(weights, backend="torch").embed([bad])


def test_untrained_weights_must_be_asked_for_and_are_loud(caplog):
    Embedder.from_settings(EmbeddingSettings(weights="untrained", backend="torch"))
    assert "UNTRAINED WEIGHTS" in caplog.text


def test_missing_weights_are_named():
    with pytest.raises(ModelError, match=r"nowhere\.safetensors"):
        Embedder.from_settings(EmbeddingSettings(weights="nowhere.safetensors"))


def test_two_models_never_mix(weights):
    one = embedder(weights, backend="torch").embed(crops(1))
    other = PartEmbeddings(one.parts, one.global_parts, one.quality, "another")
    with pytest.raises(FingerprintMismatch, match="another"):
        PartEmbeddings.concatenate([one, other])


def test_pooling_keeps_what_one_frame_saw():
    parts = np.array([[[1.0, 0], [0, 1]], [[0, 1], [1, 0]]], np.float32)
    quality = np.array([[0.9, 0.0], [0.1, 0.8]], np.float32)
    pooled = pool(PartEmbeddings(parts, parts, quality, "m"))
    np.testing.assert_allclose(pooled.parts[0, 0], [0.9, 0.1], atol=1e-6)
    np.testing.assert_allclose(pooled.parts[0, 1], [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(pooled.quality[0], [0.82, 0.8], atol=1e-6)


def test_pooling_one_crop_returns_it(weights):
    one = embedder(weights, backend="torch").embed(crops(1))
    pooled = pool(one)
    np.testing.assert_allclose(pooled.parts, one.parts, rtol=1e-5)
    np.testing.assert_allclose(pooled.quality, one.quality, rtol=1e-5)


def test_list_images_names_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "none")
    with pytest.raises(DataError, match="no image"):
        list_images(tmp_path)


def test_embed_command_writes_the_promised_arrays(tmp_path, weights):
    folder = tmp_path / "crops"
    (folder / "deep").mkdir(parents=True)
    for index, image in enumerate(crops(3)):
        cv2.imwrite(str(folder / ("deep" if index else "") / f"{index}.png"), image)
    out = tmp_path / "out.npz"
    command = [sys.executable, "run_pipeline.py", "embed", "--images", str(folder)]
    subprocess.run([*command, "--out", str(out), "--weights", str(weights)], check=True)
    data = np.load(out)
    assert data["parts"].shape == data["global_parts"].shape == (3, 6, 16)
    assert data["quality"].shape == (3, 6)
    assert {data[n].dtype for n in ("parts", "global_parts", "quality")} == {np.dtype("float32")}
    assert [p.rsplit("/", 1)[1] for p in data["paths"]] == ["0.png", "1.png", "2.png"]
    norms = np.linalg.norm(data["parts"], axis=-1)
    assert norms.std() > 1e-3, "parts must come unnormalised"


def test_embed_command_names_a_broken_picture(tmp_path, weights):
    (tmp_path / "bad.jpg").write_bytes(b"text")
    command = [sys.executable, "run_pipeline.py", "embed", "--images", str(tmp_path)]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "o.npz"), "--weights", str(weights)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "bad.jpg: not an image that can be decoded" in result.stderr
    assert not (tmp_path / "o.npz").exists()


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU emulates bfloat16")
def test_bfloat16_moves_an_embedding_little(weights):
    """8 bits through a whole network: what counts is the distance that it makes."""
    exact = embedder(weights, backend="torch", precision="float32").embed(crops())
    half = embedder(weights, backend="torch", precision="bfloat16").embed(crops())
    for one, other in ((exact.parts, half.parts), (exact.global_parts, half.global_parts)):
        norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        assert (1 - (one * other).sum(-1) / norms).max() < 2e-3
    np.testing.assert_allclose(half.quality, exact.quality, atol=0.02)
