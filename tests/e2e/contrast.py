"""WCAG 2 contrast of the text that a browser shows, from its computed styles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.browser import Browser

ENOUGH, ENOUGH_LARGE = 4.5, 3.0  # 1.4.3: large is 24 px, or 18.66 px and bold
Colour = tuple[float, float, float, float]  # red, green, blue in 0..255, and alpha in 0..1

TEXTS = (Path(__file__).parent / "texts.js").read_text()


@dataclass(frozen=True)
class Weak:
    """Text that cannot be read well."""

    text: str
    where: str
    contrast: float


def weak_texts(browser: Browser) -> tuple[int, list[Weak]]:
    """How many pieces of text the page shows, and which of them have too little contrast."""
    answer: dict[str, Any] = browser.js(TEXTS)
    weak = []
    for piece in answer["found"]:
        ground = (*parse(answer["canvas"])[:3], 1.0)
        for layer in reversed(piece["ground"]):
            ground = over(parse(layer), ground)
        text = parse(piece["colour"])
        shown = over((*text[:3], text[3] * piece["opacity"]), ground)
        found = contrast(shown, ground)
        if found < (ENOUGH_LARGE if piece["large"] else ENOUGH):
            weak.append(Weak(piece["text"], piece["where"], round(found, 2)))
    return len(answer["found"]), weak


def parse(text: str) -> Colour:
    """`rgb(1, 2, 3)`, `rgba(1, 2, 3, 0.5)`; no paint at all is transparent."""
    if not text.startswith("rgb"):
        return 0.0, 0.0, 0.0, 0.0
    numbers = [float(n) for n in text.partition("(")[2].rstrip(")").replace(",", " ").split()]
    red, green, blue = numbers[:3]
    return red, green, blue, numbers[3] if len(numbers) > 3 else 1.0


def over(top: Colour, below: Colour) -> Colour:
    """A colour laid over an opaque one."""
    a = top[3]
    red, green, blue = (a * t + (1 - a) * b for t, b in zip(top[:3], below[:3], strict=True))
    return red, green, blue, 1.0


def luminance(colour: Colour) -> float:
    """Relative luminance as WCAG 2 defines it."""

    def linear(value: float) -> float:
        c = value / 255
        return c / 12.92 if c <= 0.04045 else float(((c + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(v) for v in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    """From 1 (equal) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
