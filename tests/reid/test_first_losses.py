"""The first losses of a run, pinned: whatever changes them changes every model trained after."""

from __future__ import annotations

import pytest

from reid.training.train import TrainPaths, train
from tests.reid.people import lines, paint_people, tiny

# One step an epoch (4 people x 4 images, nothing left over), seed 1, random weights, and how far
# another CPU's losses may be away, relative. The rate is tiny because gradients of a fresh network
# differ a lot between float32 kernels: SSE2 instead of AVX2 moved these losses by 1e-6, then by
# 1e-4 (Adam) and 1e-3 (SGD). Without any update they would be 9.610 and 9.592: 1.2e-3 and 5.4e-3
# away at least.
FIRST = {
    "sgd": ([9.4973101, 9.557545, 9.5121344], 2e-3),
    "adam": ([9.4973101, 9.59783, 9.618512], 3e-4),
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_first_losses(tmp_path, optimizer, monkeypatch):
    monkeypatch.setattr("reid.training.train.has_fast_bfloat16", lambda device: False)
    people = paint_people(tmp_path / "people", people=4, images=4)
    config = tiny(
        epochs=3, ids_per_batch=4, images_per_id=4, optimizer=optimizer, lr=1e-5, erase=0.5,
        jitter=0.2, crop_padding=2, label_smoothing=0.1, weight_decay=5e-4,
    )  # fmt: skip
    train(config, TrainPaths((people,), tmp_path / "run"), "cpu")
    losses = [float(row["loss"]) for row in lines(tmp_path / "run")]
    expected, tolerance = FIRST[optimizer]
    assert losses[0] == pytest.approx(expected[0], rel=1e-5)
    assert losses == pytest.approx(expected, rel=tolerance)
