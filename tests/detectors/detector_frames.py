"""Real frames for the detectors' tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pipeline.records import Frame
from trackers.records import Box, Detection


def read_frames(video: Path, indices: list[int]) -> list[Frame]:
    """Some frames of a video, by index from 0."""
    capture = cv2.VideoCapture(str(video))
    frames = []
    for index in indices:
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        good, image = capture.read()
        assert good, f"{video} has no frame {index}"
        frames.append(Frame(video.stem, index, index / 10, np.asarray(image, np.uint8)))
    return frames


def read_truth(file: Path) -> dict[int, list[Box]]:
    """Ground truth boxes by frame index from 0."""
    truth: dict[int, list[Box]] = {}
    for line in file.read_text().splitlines():
        frame, _, left, top, width, height = (float(v) for v in line.split(",")[:6])
        box = Box(left, top, left + width, top + height)
        truth.setdefault(int(frame) - 1, []).append(box)
    return truth


def average_precision(
    frames: list[Frame], found: list[list[Detection]], truth: dict[int, list[Box]]
) -> float:
    """AP at IoU 0.5: the area under precision over recall, each true box found at most once."""
    hits: list[tuple[float, bool]] = []
    total = 0
    for frame, detections in zip(frames, found, strict=True):
        free = list(truth.get(frame.index, []))
        total += len(free)
        for detection in sorted(detections, key=lambda d: -d.confidence):
            best = max(free, key=detection.box.iou, default=None)
            hit = best is not None and detection.box.iou(best) >= 0.5
            if hit and best is not None:
                free.remove(best)
            hits.append((detection.confidence, hit))
    hits.sort(key=lambda item: -item[0])
    good = np.cumsum([hit for _, hit in hits])
    recall = good / total
    precision = good / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.r_[0, recall]) * precision))


def as_array(detections: list[Detection]) -> np.ndarray:
    """(N, 5) left, top, right, bottom, confidence."""
    rows = [(d.box.left, d.box.top, d.box.right, d.box.bottom, d.confidence) for d in detections]
    return np.array(rows, np.float64).reshape(-1, 5)
