"""What a detector is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trackers.records import Detection

Arrays = list[NDArray[np.float32]]


class Picture(Protocol):
    """What a detector looks at; `pipeline.records.Frame` is one, a photo may be another."""

    @property
    def camera(self) -> str:
        """Whose picture it is, for errors."""
        ...

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, BGR."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A picture of no camera: an uploaded photo, or a window of a frame.

    Attributes:
        camera: whose picture it is, for errors.
        image: (H, W, 3) uint8, BGR.
    """

    camera: str
    image: NDArray[np.uint8]


class Detector(Protocol):
    """Finds people.

    Attributes:
        name: which model runs on what, for logs and the store ("yolo26n.pt, openvino float32").
    """

    name: str

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        """Find the people in each frame.

        Args:
            frames: frames of any cameras and sizes, mixed; images are BGR uint8.

        Returns:
            One list per frame, in order; surest first; boxes inside the frame, in its pixels.
            What is found in a frame does not depend on the other frames of the call.
        """
        ...
