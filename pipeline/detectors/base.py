"""What a detector is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Frame
from trackers.records import Detection

Arrays = list[NDArray[np.float32]]


class Detector(Protocol):
    """Finds people.

    Attributes:
        name: which model runs on what, for logs and the store ("yolo26n.pt, openvino float32").
    """

    name: str

    def process(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Find the people in each frame.

        Args:
            frames: frames of any cameras and sizes, mixed; images are BGR uint8.

        Returns:
            One list per frame, in order; surest first; boxes inside the frame, in its pixels.
            What is found in a frame does not depend on the other frames of the call.
        """
        ...
