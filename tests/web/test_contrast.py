"""WCAG AA: each text and its ground in our style sheet, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parent.parent.parent / "web" / "static" / "desk.css").read_text()
# Text on a ground: 4.5 to 1 (1.4.3).
TEXT = [
    ("ink", "page"), ("ink", "card"), ("ink", "field"), ("ink", "off-back"), ("soft", "page"),
    ("soft", "card"), ("link", "page"), ("link", "card"), ("on-accent", "accent"),
    ("good", "good-back"), ("doubt", "doubt-back"), ("bad", "bad-back"), ("off", "off-back"),
    ("bad", "card"), ("bad", "page"),
]  # fmt: skip
# What has to be seen to use a control, and the focus: 3 to 1 (1.4.11).
EDGES = [("edge", "card"), ("edge", "page"), ("focus", "card"), ("focus", "page"), ("bad", "card")]


def colours(dark: bool) -> dict[str, str]:
    light, _, rest = CSS.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if dark:
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rest.partition("* {")[0]))
    return found


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""

    def linear(byte: int) -> float:
        c = byte / 255
        return c / 12.92 if c <= 0.04045 else float(((c + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_and_edges_seen(dark: bool) -> None:
    known = colours(dark)
    weak = {
        (text, ground): round(found, 2)
        for pairs, least in ((TEXT, 4.5), (EDGES, 3.0))
        for text, ground in pairs
        if (found := contrast(known[text], known[ground])) < least
    }
    assert not weak
