"""Records that the `pipeline` room makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture of one camera.

    Attributes:
        camera: the camera's id.
        index: position in the stream, from 0; counts every decoded frame, also skipped ones.
        time: capture time, UTC seconds, carried from the packet.
        image: (H, W, 3) uint8, BGR.
    """

    camera: str
    index: int
    time: float
    image: NDArray[np.uint8]
