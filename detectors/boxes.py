"""Arrays of boxes to `Detection` records: the one place where bad boxes are dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trackers.records import Box, Detection

FloatArray = NDArray[np.float32]

SMALLEST = 1.0  # pixels: a narrower or flatter box shows nobody


def to_detections(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    width: int,
    height: int,
    confidence: float,
) -> list[Detection]:
    """Clip boxes to the frame, drop what is no box, and sort the surest first.

    Dropped are: non-finite numbers, confidence at or below the threshold (as Ultralytics does),
    and boxes that, inside the frame, are less than one pixel wide or high (also inverted ones).

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels of the frame.
        scores: (N,) confidences.
        width: frame width in pixels.
        height: frame height in pixels.
        confidence: the threshold.
    """
    kept, sure = valid(boxes, scores, width, height, confidence)
    return [
        Detection(Box(*(float(v) for v in box)), float(score))
        for box, score in zip(kept, sure, strict=True)
    ]


def valid(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    width: int,
    height: int,
    confidence: float,
) -> tuple[FloatArray, FloatArray]:
    """`to_detections`, but as arrays: (M, 4) clipped boxes and (M,) confidences at most 1."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32).reshape(-1)
    good = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    boxes, scores = boxes[good], scores[good]
    limits = np.array([width, height, width, height], np.float32)
    boxes = np.clip(boxes, 0, limits)
    sides = boxes[:, 2:] - boxes[:, :2]
    good = (sides >= SMALLEST).all(axis=1) & (scores > confidence)
    boxes, scores = boxes[good], scores[good]
    order = np.argsort(-scores, kind="stable")
    return boxes[order], np.minimum(scores[order], 1).astype(np.float32)


def suppress(boxes: FloatArray, scores: FloatArray, iou: float) -> NDArray[np.int64]:
    """Non-maximum suppression: indices that stay, surest first (torchvision)."""
    import torch
    from torchvision.ops import nms

    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    keep = nms(
        torch.from_numpy(np.ascontiguousarray(boxes, np.float32)),
        torch.from_numpy(np.ascontiguousarray(scores, np.float32)),
        iou,
    )
    return np.asarray(keep.numpy(), np.int64)
