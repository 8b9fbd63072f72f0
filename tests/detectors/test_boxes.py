from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.boxes import suppress, to_detections
from trackers.records import Box

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("box", "score", "expected"),
    [
        ((10, 10, 30, 50), 0.9, Box(10, 10, 30, 50)),  # as it is
        ((-5, -5, 30, 50), 0.9, Box(0, 0, 30, 50)),  # clipped at the left and top
        ((90, 90, 130, 150), 0.9, Box(90, 90, 100, 100)),  # clipped at the right and bottom
        ((10, 10, 10, 50), 0.9, None),  # no width
        ((10, 10, 30, 10.5), 0.9, None),  # flatter than a pixel
        ((30, 50, 10, 10), 0.9, None),  # inverted
        ((110, 10, 130, 50), 0.9, None),  # outside
        ((NAN, 10, 30, 50), 0.9, None),
        ((10, 10, INF, 50), 0.9, None),
        ((10, 10, 30, 50), NAN, None),
        ((10, 10, 30, 50), 0.1, None),  # at the threshold, as Ultralytics: not above it
    ],
)
def test_one_box(box: tuple[float, ...], score: float, expected: Box | None) -> None:
    found = to_detections(np.array([box]), np.array([score]), 100, 100, 0.1)
    assert [d.box for d in found] == ([] if expected is None else [expected])


def test_no_boxes() -> None:
    assert to_detections(np.zeros((0, 4)), np.zeros(0), 100, 100, 0.1) == []


@given(
    arrays(np.float32, (7, 4), elements=st.floats(width=32)),
    arrays(np.float32, (7,), elements=st.floats(width=32)),
)
def test_whatever_a_network_says_only_boxes_inside_the_frame_come_out(
    boxes: np.ndarray, scores: np.ndarray
) -> None:
    found = to_detections(boxes, scores, 64, 48, 0.1)
    for d in found:
        assert d.box.is_valid()
        assert 0 <= d.box.left < d.box.right <= 64
        assert 0 <= d.box.top < d.box.bottom <= 48
        assert 0.1 < d.confidence <= 1
    assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)


def test_suppress_against_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    corner = random.uniform(0, 60, (40, 2))
    boxes = np.hstack([corner, corner + random.uniform(5, 30, (40, 2))]).astype(np.float32)
    scores = random.permutation(40).astype(np.float32)
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(Box(*boxes[i]).iou(Box(*boxes[k])) <= 0.4 for k in kept):
            kept.append(int(i))
    assert 5 < len(kept) < 40
    assert suppress(boxes, scores, 0.4).tolist() == kept
