"""What an opened camera gives, whoever reads it: `decode` or `devices`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
MODIFIED = "modification time"  # where a file's start comes from if nothing else says it


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What an opened stream says about itself.

    Attributes:
        codec: name of the codec, such as `h264`.
        width: pixels as coded; the pictures of a turned video have the two swapped.
        height: pixels as coded.
        frame_rate: nominal frames a second, or None.
        duration: seconds, or None if the stream does not say.
        frames: how many frames the header promises; 0 if it does not say.
        is_live: pictures come as they are taken; they cannot wait.
        start: capture time of a file's first moment, UTC seconds; None for live streams.
        start_from: where `start` comes from: `configuration`, `metadata`, `modification time`.
    """

    codec: str
    width: int
    height: int
    frame_rate: float | None
    duration: float | None
    frames: int
    is_live: bool
    start: float | None
    start_from: str = ""


class Picture(Protocol):
    """A decoded frame whose conversion to BGR can still be skipped."""

    @property
    def time(self) -> float:
        """Capture time, UTC seconds."""
        ...

    def image(self) -> Image:
        """Return (H, W, 3) uint8, BGR."""
        ...


class Source(Protocol):
    """An opened camera."""

    info: StreamInfo

    def pictures(self, after: float) -> Iterator[Picture]:
        """Yield every decoded frame; a live camera's times stay above `after`."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...
