from __future__ import annotations

import numpy as np
import pytest

from detectors.letterbox import letterbox


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(576, 768), (576, 344), (1920, 1088), (33, 801), (7, 9)])
@pytest.mark.parametrize("stride", [32, None])
def test_equals_ultralytics_pixel_for_pixel(shape: tuple[int, int], stride: int | None) -> None:
    from ultralytics.data.augment import LetterBox

    image = picture(*shape)
    theirs = LetterBox((640, 640), auto=stride is not None, stride=32)(image=image)
    ours = letterbox(image, (640, 640), stride=stride)
    assert np.array_equal(ours.image, theirs)


@pytest.mark.parametrize("shape", [(576, 768), (1920, 1088), (35, 801)])
@pytest.mark.parametrize("centre", [True, False])
def test_boxes_come_back(shape: tuple[int, int], centre: bool) -> None:
    """A bright rectangle, found again in the input, maps to where it was in the frame."""
    image = np.zeros((*shape, 3), np.uint8)
    height, width = shape
    box = (width // 4, height // 4, width // 2, height // 2)
    image[box[1] : box[3], box[0] : box[2]] = 255
    fitted = letterbox(image, (640, 640), stride=32, centre=centre)
    rows, columns = np.nonzero(fitted.image[..., 0] > 180)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    allowed = 1 / min(fitted.gain)  # one pixel of the input
    assert np.abs(fitted.to_frame(found)[0] - box).max() <= allowed
