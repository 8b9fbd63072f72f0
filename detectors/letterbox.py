"""Fit a frame into a network's input without changing its proportions, and map boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GREY = 114  # the padding that Ultralytics, YOLOX and RTMDet were all trained with


@dataclass(frozen=True, slots=True, eq=False)
class Letterbox:
    """A frame fitted into a network's input.

    Attributes:
        image: (h, w, 3) uint8 in the frame's colour order, padded with grey.
        gain: pixels of `image` per pixel of the frame, (x, y).
        pad: pixels of padding at the left and at the top.
    """

    image: NDArray[np.uint8]
    gain: tuple[float, float]
    pad: tuple[int, int]

    def to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map (N, 4) left, top, right, bottom from the network's input to the frame."""
        shift = np.array([*self.pad, *self.pad], np.float32)
        scale = np.array([*self.gain, *self.gain], np.float32)
        mapped: NDArray[np.float32] = (np.asarray(boxes, np.float32) - shift) / scale
        return mapped


def letterbox(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    stride: int | None = None,
    centre: bool = True,
) -> Letterbox:
    """Resize and pad; equal, pixel for pixel, to Ultralytics' `LetterBox` where `centre` is true.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) to fit into.
        stride: pad only up to a multiple of this instead of the whole `size` (the smallest
            rectangle); None pads to `size`.
        centre: pad on both sides; False pads at the right and bottom only (YOLOX, RTMDet).
    """
    import cv2

    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    new_width, new_height = max(round(width * ratio), 1), max(round(height * ratio), 1)
    spare_x, spare_y = size[1] - new_width, size[0] - new_height
    if stride is not None:
        spare_x, spare_y = spare_x % stride, spare_y % stride
    left = round(spare_x / 2 - 0.1) if centre else 0
    top = round(spare_y / 2 - 0.1) if centre else 0
    resized = image
    if (width, height) != (new_width, new_height):
        resized = np.asarray(
            cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    canvas = np.full((new_height + spare_y, new_width + spare_x, 3), GREY, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = resized
    return Letterbox(canvas, (new_width / width, new_height / height), (left, top))
