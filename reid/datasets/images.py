"""Images from disk, decoded once into memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.datasets.base import Sample
from reid.errors import DataError

LONG = 4000  # images that are worth a progress bar


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB.

    Raises:
        DataError: if it cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise DataError(f"{path}: not an image that can be decoded")
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bring (h, w, 3) uint8 to (height, width, 3), in training as in use.

    What shrinks both ways is averaged: a crop of a large picture would alias else.
    """
    shrinks = image.shape[0] > height and image.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def load_images(samples: Sequence[Sample], height: int, width: int) -> NDArray[np.uint8]:
    """Decode and resize all images, on all cores: (N, height, width, 3) uint8 RGB.

    Raises:
        DataError: naming the first image that cannot be decoded.
    """
    from rich.progress import track

    images = np.empty((len(samples), height, width, 3), np.uint8)

    def load(row: int) -> None:
        images[row] = resize(read_image(samples[row].path), height, width)

    # OpenCV gives the interpreter's lock away while it decodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        done = pool.map(load, range(len(samples)))
        hidden = len(samples) < LONG
        for _ in track(done, "decoding", len(samples), transient=True, disable=hidden):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return images
