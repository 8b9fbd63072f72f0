"""A camera on this machine, read with OpenCV: PyAV's wheels lack Linux's V4L2 input."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2

from pipeline.clock import LiveClock, nominal_rate
from pipeline.config import CameraConfig
from pipeline.pictures import Image, Picture, StreamInfo
from reid.errors import SourceError


@dataclass(frozen=True, slots=True)
class _DevicePicture:
    time: float
    pixels: Image

    def image(self) -> Image:
        return self.pixels


class DeviceSource:
    """A camera on this machine, such as /dev/video0."""

    def __init__(self, camera: CameraConfig) -> None:
        """Open the device.

        Raises:
            SourceError: if it is not there or gives no picture.
        """
        self._camera = camera
        address = camera.url.secret().removeprefix("device:")
        if address.isdigit() and sys.platform == "linux":
            address = f"/dev/video{address}"
        if address.startswith("/") and not Path(address).exists():
            raise self._error("there is no such device")
        backend = cv2.CAP_V4L2 if address.startswith("/dev/video") else cv2.CAP_ANY
        target = int(address) if address.isdigit() else address
        self._capture = cv2.VideoCapture(target, backend)
        if not self._capture.isOpened():
            self._capture.release()
            raise self._error("cannot be opened: no camera there, or another program uses it")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        letters = "".join(chr((code >> shift) & 0xFF) for shift in (0, 8, 16, 24))
        self.info = StreamInfo(
            codec=letters.lower() if letters.isprintable() and letters.strip() else "raw",
            width=int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            frame_rate=nominal_rate(rate),
            duration=None,
            frames=0,
            is_live=True,
            start=None,
        )

    def pictures(self, after: float = float("-inf")) -> Iterator[Picture]:
        """Yield frames as they come, timed by the wall clock.

        Raises:
            SourceError: when the device gives no more pictures.
        """
        clock = LiveClock(after)
        while True:
            good, pixels = self._capture.read()
            if not good:
                raise self._error("the device gives no more pictures")
            yield _DevicePicture(clock.time(None, time.time()), cast(Image, pixels))

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _error(self, reason: str) -> SourceError:
        return SourceError(f"camera {self._camera.id} ({self._camera.url}): {reason}")
