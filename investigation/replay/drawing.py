"""What is drawn into a clip: boxes with their names, mosaics over other people, the clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from investigation.replay.footage import Image
from investigation.replay.people_shown import Hiding, Mark
from storage.models import iso_text
from trackers.records import Box

BAR = 30  # pixels of the line above a picture
GROUND = (24, 20, 16)  # BGR
WORDS = (240, 236, 233)
SOFT = (180, 170, 160)
LARGEST = (1920, 1080)  # of several cameras side by side
CELLS = 8  # rows of a mosaic from head to feet: a face is less than two of them
# BGR; far apart also for those who see few colours (Okabe and Ito), with dark text on each.
COLOURS = (
    (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240),
    (178, 114, 0), (0, 94, 213), (167, 121, 204),
)  # fmt: skip
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Tile:
    """Where one camera's picture stands on the canvas, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The canvas: a line with the clock, then the cameras row by row.

    Attributes:
        width: pixels, even.
        height: pixels, even.
        tiles: by camera.
    """

    width: int
    height: int
    tiles: dict[str, Tile]


def grid(sizes: dict[str, tuple[int, int]]) -> Grid:
    """Lay out cameras side by side, none larger than it is.

    Args:
        sizes: (width, height) of each camera's pictures, in the order to show them.
    """
    count = len(sizes)
    columns = math.ceil(math.sqrt(count)) if count > 1 else 1
    if count == 2 and all(w > 1.5 * h for w, h in sizes.values()):
        columns = 1  # two wide pictures stand better one above the other
    rows = math.ceil(count / columns)
    wide, high = max(w for w, _ in sizes.values()), max(h for _, h in sizes.values())
    most = LARGEST if count > 1 else (max(LARGEST), max(LARGEST))
    room = (most[1] - BAR) / rows - BAR
    scale = min(1.0, most[0] / columns / wide, room / high)
    wide, high = max(160, round(wide * scale)), max(90, round(high * scale))
    tiles = {}
    for index, camera in enumerate(sizes):
        row, column = divmod(index, columns)
        tiles[camera] = Tile(column * wide, BAR + row * (high + BAR) + BAR, wide, high)
    width, height = columns * wide, BAR + rows * (high + BAR)
    return Grid(width + width % 2, height + height % 2, tiles)


def canvas(layout: Grid, clock: float | None) -> Image:
    """An empty canvas with the common clock (UTC seconds) in its first line."""
    image = np.full((layout.height, layout.width, 3), GROUND, np.uint8)
    if clock is not None:
        moment = iso_text(clock)
        write(image, f"{moment[:10]} {moment[11:22]} UTC", 8, 21, layout.width - 16)
    return image


def place(image: Image, tile: Tile, camera: str, picture: Image | None) -> None:
    """Put a camera's picture into its tile, under its name; None: there is no footage."""
    write(image, camera, tile.left + 8, tile.top - 9, tile.width - 16)
    if picture is None:
        middle = tile.top + tile.height // 2
        write(image, "no footage", tile.left + 8, middle, tile.width - 16, SOFT)
        return
    height, width = picture.shape[:2]
    scale = min(tile.width / width, tile.height / height, 1.0)
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = picture.shape[:2]
    top, left = tile.top + (tile.height - height) // 2, tile.left + (tile.width - width) // 2
    image[top : top + height, left : left + width] = picture


def card(layout: Grid, lines: Sequence[str]) -> Image:
    """A canvas with nothing but some lines of text."""
    image = canvas(layout, None)
    for index, line in enumerate(lines):
        write(image, line, 16, layout.height // 2 + 34 * index, layout.width - 32)
    return image


def write(
    image: Image, text: str, left: int, base: int, room: int, colour: tuple[int, ...] = WORDS
) -> None:
    """One line of text, smaller where it would not fit; letters the font lacks become `?`."""
    text = text.encode("ascii", "replace").decode()
    scale = 0.6
    width = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale *= min(1.0, max(1, room) / max(1, width))
    cv2.putText(image, text, (left, base), _FONT, scale, colour, 1, cv2.LINE_AA)


def draw(image: Image, marks: Sequence[Mark]) -> None:
    """Draw boxes and names into a picture."""
    height, width = image.shape[:2]
    thick = max(2, round(max(height, width) / 640))
    scale = max(0.45, max(height, width) / 1600)
    for mark in marks:
        colour = COLOURS[(mark.identity or 0) % len(COLOURS)]
        left, top, right, bottom = _pixels(mark.box, width, height)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, thick)
        text = mark.label.encode("ascii", "replace").decode()
        (wide, high), below = cv2.getTextSize(text, _FONT, scale, 1)
        x = max(0, min(left, width - wide - 8))
        y = (
            top - below - 6
            if top > high + below + 8
            else min(height - below - 2, bottom + high + 4)
        )
        cv2.rectangle(image, (x, y - high - 4), (x + wide + 8, y + below + 2), colour, -1)
        cv2.putText(image, text, (x + 4, y), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)


def hide(image: Image, hiding: Hiding) -> None:
    """Make parts of a picture unrecognisable, in place."""
    height, width = image.shape[:2]
    original = image.copy()  # overlapping mosaics would uncover each other's edges
    if hiding.all_but is not None:
        _mosaic(image, original, Box(0, 0, width, height))
        for box in hiding.all_but:
            left, top, right, bottom = _pixels(box, width, height)
            image[top:bottom, left:right] = original[top:bottom, left:right]
    for box in sorted(hiding.boxes, key=lambda b: b.height):  # the coarsest mosaic stays
        _mosaic(image, original, box)


def _mosaic(image: Image, original: Image, box: Box) -> None:
    height, width = image.shape[:2]
    left, top, right, bottom = _pixels(box, width, height)
    if right <= left or bottom <= top:
        return
    # The cells' size follows the whole box: one that is cut off by the edge gets no finer.
    cell = max(4.0, box.height / CELLS)
    cells = (
        max(1, round((right - left) / cell)),
        max(1, round((bottom - top) / cell)),
    )
    region = original[top:bottom, left:right]
    coarse = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
    image[top:bottom, left:right] = cv2.resize(
        coarse, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
    )


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels that a box touches, within the picture."""
    return (
        min(width, max(0, math.floor(box.left))),
        min(height, max(0, math.floor(box.top))),
        min(width, max(0, math.ceil(box.right))),
        min(height, max(0, math.ceil(box.bottom))),
    )
