"""A GPU gives what a CPU gives. Skipped where there is none; docs/gpu_todo.md runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detectors.settings import DetectorSettings
from reid.distances import rescore, tensors
from reid.embedding import Embedder
from reid.index.gallery import GalleryIndex
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def crops(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 12, 4, 3), dtype=np.uint8)
    return [np.kron(c, np.ones((16, 16, 1), np.uint8)) for c in coarse]


def embedded(device: str, backend: str, precision: str) -> PartEmbeddings:
    settings = EmbeddingSettings(device=device, backend=backend, precision=precision)
    return Embedder.from_settings(settings).embed(crops(24))


def distances(embeddings: PartEmbeddings) -> np.ndarray:
    sides = tensors(embeddings)
    return rescore(*sides, *sides, 0.6).numpy()


@pytest.mark.parametrize(
    ("backend", "precision", "tolerance"),
    [("torch", "float32", 1e-3), ("compile", "float32", 1e-3), ("compile", "bfloat16", 0.05)],
)
def test_distances_are_the_cpus(backend: str, precision: str, tolerance: float) -> None:
    """TF32 rounds products to 11 bits, bfloat16 to 8: what counts is the distance it makes."""
    reference = distances(embedded("cpu", "torch", "float32"))
    found = distances(embedded("cuda", backend, precision))
    assert np.abs(found - reference).max() < tolerance


def test_the_gallery_index_finds_the_same() -> None:
    random = np.random.default_rng(1)
    gallery = PartEmbeddings(
        random.normal(size=(5000, 6, 64)).astype(np.float32),
        random.normal(size=(5000, 6, 64)).astype(np.float32),
        random.uniform(0.1, 1, (5000, 6)).astype(np.float32),
        "made-up",
    )
    found = []
    for device in ("cpu", "cuda"):
        index = GalleryIndex(0.6, 30, device=device, precision="float32")
        index.add(gallery)
        found.append(index.search(gallery[:8], 30))
    assert (found[0].rows == found[1].rows).mean() > 0.99  # ties within rounding may swap
    assert np.allclose(found[0].distance, found[1].distance, atol=2e-3)


def test_float16_gives_the_boxes_of_float32(shared: Path) -> None:
    from detectors.ultra import UltralyticsDetector
    from tests.detectors.detector_frames import as_array, read_frames

    frames = read_frames(shared / "footage" / "pets_full.avi", [0, 300, 600])
    weights = shared / "models" / "yolo26n.pt"
    found = [
        UltralyticsDetector(weights, DetectorSettings(device=device, precision=precision)).process(
            frames
        )
        for device, precision in (("cpu", "float32"), ("cuda", "float16"))
    ]
    for ours, theirs in zip(*found, strict=True):
        sure = [[d for d in side if d.confidence > 0.4] for side in (ours, theirs)]
        assert len(sure[0]) == len(sure[1]) > 2
        boxes = [as_array(side)[:, :4] for side in sure]
        nearest = np.abs(boxes[0][:, None] - boxes[1][None]).max(-1).min(1)
        assert nearest.max() < 2.0
