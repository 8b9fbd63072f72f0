"""A page that is laid out in inches from its top left corner, and what every picture shares.

Matplotlib draws it: typeset text, sharp bars and colour bars that cv2 and
Pillow do not have. It is used without pyplot: no window system, no global
state, and the font (DejaVu Sans) travels with it, so a picture looks the same
on every machine.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from reid.errors import ConfigError, DataError
from reid.records import FloatArray

INK, SOFT, LINE, EMPTY = "#16191d", "#59626d", "#d5dae0", "#e9edf1"
FIRST, SECOND, BOTH = "#0b6b8a", "#b35c00", "#4b5563"  # image A, image B, the pair
HEAT = "viridis"  # even in lightness, and the same to colour-blind eyes
DPI = 150
PIXELS = 720  # an image is shrunk to this height before it is drawn
SHAPES = (0.3, 0.62)  # width / height of a drawn image; others are squeezed, as the model does
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a file's name may hold a dollar sign
    "axes.linewidth": 0.8,
    "svg.fonttype": "none",
}
SUFFIXES = (".png", ".jpg", ".pdf", ".svg")


class Page:
    """A white page; all places and sizes in inches from the top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
            FigureCanvasAgg(self.figure)

    def axes(self, x: float, y: float, w: float, h: float) -> Axes:
        """Bare axes with their top left corner at (x, y)."""
        place = (x / self.width, 1 - (y + h) / self.height, w / self.width, h / self.height)
        with mpl.rc_context(STYLE):
            axes = self.figure.add_axes(place)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def text(
        self, x: float, y: float, text: str, *, size: float = 8, bold: bool = False, **more: Any
    ) -> None:
        """Text whose first line begins at (x, y); `more` goes to Matplotlib."""
        style = {"color": INK, "va": "top", "ha": "left", "linespacing": 1.35, **more}
        weight = "bold" if bold else "normal"
        with mpl.rc_context(STYLE):
            self.figure.text(
                x / self.width, 1 - y / self.height, text, fontsize=size, weight=weight, **style
            )

    def photo(self, x: float, y: float, w: float, h: float, image: NDArray[Any]) -> Axes:
        """An image stretched over a box; its axes count in shares of the box, from the top."""
        axes = self.axes(x, y, w, h)
        axes.imshow(image, extent=(0, 1, 1, 0), aspect="auto", interpolation="antialiased")
        return axes

    def bar(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        value: float,
        *,
        colour: str = FIRST,
        leftwards: bool = False,
    ) -> None:
        """A bar of length `value`, 0..1, in its track."""
        value = min(max(value, 0.0), 1.0)
        axes = self.axes(x, y, w, h)
        axes.set_xlim((1, 0) if leftwards else (0, 1))
        axes.set_ylim(0, 1)
        axes.add_patch(Rectangle((0, 0), 1, 1, color=EMPTY, linewidth=0))
        axes.add_patch(Rectangle((0, 0), value, 1, color=colour, linewidth=0))

    def rule(self, x: float, y: float, w: float) -> None:
        """A hairline."""
        self.axes(x, y, w, 0.001).axhline(0, color=LINE, linewidth=0.8, clip_on=False)

    def scale(self, x: float, y: float, w: float, low: str, high: str) -> None:
        """The heat maps' colours and what their two ends mean."""
        axes = self.axes(x, y, w, 0.11)
        axes.imshow(np.linspace(0, 1, 256)[None], cmap=HEAT, aspect="auto")
        self.text(x - 0.08, y + 0.055, low, size=8, color=SOFT, ha="right", va="center")
        self.text(x + w + 0.08, y + 0.055, high, size=8, color=SOFT, va="center")


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file is replaced whole.

    Raises:
        ConfigError: if the name ends on none of `SUFFIXES`.
        DataError: if the file cannot be written.
    """
    suffix = check_out(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            # A file's name in a script that the font lacks is drawn as boxes: no harm.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(temporary, format=suffix[1:], dpi=DPI)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_out(path: Path) -> str:
    """The suffix of a picture to write, in small letters.

    Raises:
        ConfigError: if it is none that can be written, or its folder does not exist.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"--out {path}: its name must end on one of {', '.join(SUFFIXES)}")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"--out {path}: its folder does not exist")
    return suffix


def shape(image: NDArray[np.uint8]) -> float:
    """Width / height to draw an image with."""
    height, width = image.shape[:2]
    return float(min(max(width / height, SHAPES[0]), SHAPES[1]))


def drawable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) BGR -> RGB in the shape it is drawn in, at most `PIXELS` high."""
    high = min(max(image.shape[0], 96), PIXELS)
    size = (max(1, round(high * shape(image))), high)
    method = cv2.INTER_AREA if high < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method)[:, :, ::-1], np.uint8)


def heated(image: NDArray[np.uint8], heat: FloatArray) -> NDArray[np.uint8]:
    """Lay a map over a picture.

    Args:
        image: (h, w, 3) RGB.
        heat: (rows, columns), 0..1.

    Returns:
        (h, w, 3) RGB: the map's colours, lighter and darker with the picture.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    smooth = np.clip(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    colour = np.asarray(mpl.colormaps[HEAT](smooth))[..., :3]
    return np.asarray(255 * np.clip(colour * (0.45 + 0.75 * grey), 0, 1), np.uint8)
