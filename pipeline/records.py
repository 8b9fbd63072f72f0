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


@dataclass(frozen=True, slots=True)
class CameraState:
    """How one camera is doing, at one moment of a run.

    Attributes:
        camera: the camera's id.
        state: `opening`, `running`, `reconnecting` (live, lost), `ended`, or `failed` (a file
            that cannot be read to its end; a live camera never reached, or given up).
        error: why, without any password; None while all is well.
        frames: frames handed to the pipeline.
        dropped: live frames replaced by a newer one before the pipeline was ready.
        decoded: frames decoded, also those left out by the frame-rate cap.
        fps: frames a second handed over, over the last seconds.
        first: capture time of the first frame handed over, UTC seconds.
        last: capture time of the last frame handed over, UTC seconds.
        progress: share 0..1 of a file that is done; None if unknown or live.
        is_live: it cannot wait.
        frame_rate: the stream's nominal frames a second, or None.
        recording: why it is not being recorded though it should be; None while all is well.
    """

    camera: str
    state: str
    error: str | None
    frames: int
    dropped: int
    decoded: int
    fps: float
    first: float | None
    last: float | None
    progress: float | None
    is_live: bool
    frame_rate: float | None
    recording: str | None = None
