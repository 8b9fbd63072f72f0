"""Look at overlapping tiles besides the full frame, so that small people are found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, Photo, Picture
from trackers.records import Box, Detection

OVERLAP = 0.3  # share of a tile that it has in common with its neighbour: whole people fit in it
SAME = 0.55  # two looks at one person agree at least this much (intersection over union)
INSIDE = 0.6  # a cut person lies this much inside the whole one (share of the smaller box)
MARGIN = 0.02  # share of a tile's side: a box that ends so near to an inner edge is cut there
AUTO_SIDE = 640  # pixels of frame per side of a tile, about, that `auto` aims at


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the frame that is looked at, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Its pixels, without a copy."""
        return image[self.top : self.bottom, self.left : self.right]

    def place(self, detection: Detection) -> Detection:
        """A detection of the window, in pixels of the frame."""
        b = detection.box
        box = Box(b.left + self.left, b.top + self.top, b.right + self.left, b.bottom + self.top)
        return Detection(box, detection.confidence)

    def cuts(self, box: Box, width: int, height: int) -> bool:
        """True if the box ends at an edge of the window that is no edge of the frame."""
        x = MARGIN * (self.right - self.left)
        y = MARGIN * (self.bottom - self.top)
        return (
            (self.left > 0 and box.left < self.left + x)
            or (self.top > 0 and box.top < self.top + y)
            or (self.right < width and box.right > self.right - x)
            or (self.bottom < height and box.bottom > self.bottom - y)
        )


class TiledDetector:
    """Runs another detector on the full frame and on tiles, and joins what it finds.

    Args:
        detector: looks at each part.
        tiles: `auto` or columns x rows, such as `2x3`.
    """

    def __init__(self, detector: Detector, tiles: str) -> None:
        self._detector = detector
        self._tiles = tiles
        self.name = f"{detector.name}, tiles {tiles}"

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        """Find the people in each frame; see `Detector.process`."""
        parts: list[Picture] = []
        plans: list[list[Window]] = []
        for frame in frames:
            height, width = frame.image.shape[:2]
            plan = windows(width, height, self._tiles)
            parts += [Photo(frame.camera, w.crop(frame.image)) for w in plan]
            plans.append(plan)
        found = iter(self._detector.process(parts))
        return [
            join([(window, next(found)) for window in plan], *frame.image.shape[1::-1])
            for frame, plan in zip(frames, plans, strict=True)
        ]


def windows(width: int, height: int, tiles: str) -> list[Window]:
    """The full frame, then its tiles row by row; only the frame where one tile would do."""
    if tiles == "auto":
        columns, rows = (max(1, math.ceil(side / AUTO_SIDE)) for side in (width, height))
    else:
        columns, rows = (int(number) for number in tiles.split("x"))
    full = Window(0, 0, width, height)
    if columns == rows == 1:
        return [full]
    return [full] + [
        Window(left, top, right, bottom)
        for top, bottom in spans(height, rows)
        for left, right in spans(width, columns)
        if right > left and bottom > top  # of a picture of a pixel or two some have no area
    ]


def spans(length: int, count: int) -> list[tuple[int, int]]:
    """`count` equal overlapping spans that cover 0..length."""
    size = length / (count - (count - 1) * OVERLAP)
    step = size * (1 - OVERLAP)
    return [
        (round(i * step), length if i == count - 1 else round(i * step + size))
        for i in range(count)
    ]


def join(
    found: Sequence[tuple[Window, list[Detection]]], width: int, height: int
) -> list[Detection]:
    """Join what several windows of one frame show; surest first.

    Whole people go first: of two that agree, the surer stays. A person that a window's edge cuts
    stays only if no person already kept holds the piece.

    Args:
        found: each window with its detections, in pixels of the window.
        width: of the frame.
        height: of the frame.
    """
    placed = [(window, window.place(d)) for window, items in found for d in items]
    whole = [d for window, d in placed if not window.cuts(d.box, width, height)]
    pieces = [d for window, d in placed if window.cuts(d.box, width, height)]
    kept: list[Detection] = []
    for detection in sorted(whole, key=lambda d: -d.confidence):
        if all(detection.box.iou(k.box) < SAME for k in kept):
            kept.append(detection)
    for detection in sorted(pieces, key=lambda d: -d.confidence):
        if all(_share(detection.box, k.box) < INSIDE for k in kept):
            kept.append(detection)
    return sorted(kept, key=lambda d: -d.confidence)


def _share(a: Box, b: Box) -> float:
    """Intersection over the smaller area, 0..1."""
    smaller = min(a.area, b.area)
    return a.intersection(b) / smaller if smaller > 0 else 0.0
