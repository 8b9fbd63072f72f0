"""The live wall's pictures: each camera's newest frame as a small JPEG, once a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import cv2

from pipeline.pictures import Image
from pipeline.records import Frame
from reid.errors import StoreError
from storage.media import safe_name, write_file

log = logging.getLogger(__name__)

FOLDER = "live"
EVERY = 1.0  # seconds between two pictures of a camera
_STALE = 600.0  # seconds; a camera that is lost that long has no live picture either
WIDTH = 480  # pixels at most
QUALITY = 70


class LivePictures:
    """Writes `live/CAMERA.jpg` in the media folder, in place of the one before.

    They are of use while the run lasts and are no evidence: they go when it ends, so that nobody
    is kept in them beyond what retention and erasure know of.
    """

    def __init__(self, media: Path, cameras: Iterable[str], enabled: bool = True) -> None:
        """Remove what an earlier run that was killed left behind, of these cameras or others.

        Args:
            media: the media folder.
            cameras: ids of the run's cameras.
            enabled: False leaves the folder alone, also what another run keeps there.
        """
        self._paths = (
            {name: media / FOLDER / f"{safe_name(name)}.jpg" for name in cameras} if enabled else {}
        )
        self._next = dict.fromkeys(self._paths, 0.0)
        self._trouble = False
        self._remove()
        if enabled:
            _remove_stale(media / FOLDER)

    def show(self, frame: Frame) -> None:
        """Take a frame; writes it if the camera's last picture is a second old."""
        now = time.monotonic()
        if now < self._next.get(frame.camera, float("inf")):
            return
        self._next[frame.camera] = now + EVERY
        image = frame.image
        height, width = image.shape[:2]
        if width > WIDTH:
            size = (WIDTH, max(1, round(height * WIDTH / width)))
            # Averaging the whole of a large picture would cost five times as much.
            image = cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
        good, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        try:
            if good:
                write_file(self._paths[frame.camera], jpeg.tobytes())
        except StoreError as error:  # a picture nobody sees is no reason to end the run
            if not self._trouble:
                log.warning("live pictures: %s", error)
            self._trouble = True

    def close(self) -> None:
        """Remove the pictures."""
        self._remove()

    def _remove(self) -> None:
        for path in self._paths.values():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove the live picture %s: %s", path, error)


def _remove_stale(folder: Path) -> None:
    """Remove pictures that no run renews any more."""
    before = time.time() - _STALE
    for path in folder.glob("*.jpg"):
        try:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove the live picture %s: %s", path, error)
