from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from detectors.tiles import TiledDetector, Window, join, spans, windows
from pipeline.records import Frame
from trackers.records import Box, Detection


@pytest.mark.parametrize("length", [576, 1088, 1920])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_spans_cover_and_overlap(length: int, count: int) -> None:
    found = spans(length, count)
    assert len(found) == count
    assert found[0][0] == 0
    assert found[-1][1] == length
    for (_, before), (after, _) in itertools.pairwise(found):
        assert after < before, "a person on the seam is whole in no tile"


def test_a_small_frame_is_looked_at_once() -> None:
    assert windows(320, 240, "auto") == [Window(0, 0, 320, 240)]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (1, 2000), (3000, 2), (1, 3)])
def test_a_picture_a_pixel_wide_has_no_empty_tiles(width: int, height: int) -> None:
    """Symptom: a tile without width went to the detector, which divided by it."""
    found = windows(width, height, "2x3")
    assert found[0] == Window(0, 0, width, height)
    for window in found:
        assert 0 <= window.left < window.right <= width
        assert 0 <= window.top < window.bottom <= height


def person(left: float, top: float, right: float, bottom: float, sure: float) -> Detection:
    return Detection(Box(left, top, right, bottom), sure)


FULL, LEFT, RIGHT = Window(0, 0, 200, 100), Window(0, 0, 120, 100), Window(80, 0, 200, 100)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # the same person in three looks is one, the surest
        (
            [
                (FULL, [person(90, 10, 110, 90, 0.5)]),
                (LEFT, [person(91, 10, 111, 90, 0.8)]),
                (RIGHT, [person(10, 11, 30, 90, 0.6)]),
            ],
            [person(91, 10, 111, 90, 0.8)],
        ),
        # the piece that a tile cuts off is not a second person, however sure
        (
            [(FULL, [person(100, 10, 150, 90, 0.4)]), (LEFT, [person(100, 10, 120, 90, 0.9)])],
            [person(100, 10, 150, 90, 0.4)],
        ),
        # a piece that nobody holds stays: better half a person than none
        ([(FULL, []), (LEFT, [person(100, 10, 120, 90, 0.9)])], [person(100, 10, 120, 90, 0.9)]),
        # at the frame's own edge nothing is cut
        (
            [(FULL, [person(150, 0, 200, 99, 0.4)]), (RIGHT, [person(80, 5, 120, 90, 0.9)])],
            [person(160, 5, 200, 90, 0.9)],
        ),
        # one person half behind another: two
        (
            [(FULL, [person(40, 10, 80, 90, 0.9), person(60, 10, 100, 90, 0.7)])],
            [person(40, 10, 80, 90, 0.9), person(60, 10, 100, 90, 0.7)],
        ),
    ],
)
def test_join(found: list[tuple[Window, list[Detection]]], expected: list[Detection]) -> None:
    assert join(found, 200, 100) == expected


class Bright:
    """Finds the bounding box of white pixels: one per picture."""

    name = "bright"

    def process(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        results = []
        for frame in frames:
            rows, columns = np.nonzero(frame.image[..., 0] == 255)
            if len(rows) == 0:
                results.append([])
                continue
            box = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            results.append([Detection(box, 0.9)])
        return results


def test_a_person_anywhere_in_frames_of_several_sizes_is_found_once_in_place() -> None:
    frames, boxes = [], []
    for width, height, left, top in [
        (640, 480, 5, 7),
        (1088, 1920, 500, 900),
        (640, 480, 600, 400),
    ]:
        image = np.zeros((height, width, 3), np.uint8)
        image[top : top + 40, left : left + 20] = 255
        frames.append(Frame("a", len(frames), 0.0, image))
        boxes.append(Box(left, top, left + 20, top + 40))
    found = TiledDetector(Bright(), "2x3").process(frames)
    assert [[d.box for d in items] for items in found] == [[box] for box in boxes]
