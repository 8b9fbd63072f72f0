"""Pictures of the evidence: Figs. 4 and 5 of the paper, and a pair's distance part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from reid.explain.explanation import ImageEvidence, PairEvidence, Verdict
from reid.explain.page import BOTH, FIRST, INK, SECOND, SOFT, Page, drawable, heated, shape
from reid.records import FloatArray

MARGIN, GAP = 0.45, 0.3
LOW = 2.1  # height of a pair's maps
VERDICTS = {Verdict.ALIKE: "#0072b2", Verdict.POSSIBLY: "#b07a00"}
UNCALIBRATED = "No verdict: these weights are not calibrated"
MAPS = (
    ("Where it looks", "without attention"),
    ("Where it looks", "with attention"),
    ("The attention", "attention alone"),
)
SCALE = (
    "Responses: share of the map's strongest spot. Attention: 0 to 1. One value covers 16 x 16 "
    "pixels of the model's input."
)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An image and its evidence; `image` is (h, w, 3) uint8 BGR, `name` stands beside it."""

    name: str
    image: NDArray[np.uint8]
    evidence: ImageEvidence


def draw_images(items: Sequence[Shown]) -> Figure:
    """One row an image: stripes and qualities (Fig. 4), responses and attention (Fig. 5)."""
    high, bars, top = 2.75, 1.45, 1.62
    wide = high * max(shape(item.image) for item in items)
    count = max(len(maps(item.evidence)) for item in items)
    left = MARGIN + wide + 0.12 + bars + GAP + 0.15  # of the first map
    width = max(left + count * (wide + GAP) - GAP + MARGIN, 7.2)
    page = Page(width, top + len(items) * (high + 0.5) + (0.55 if count else 0.2))
    page.text(MARGIN, 0.36, "What the model sees", size=15, bold=True)
    page.text(
        MARGIN, 0.68,
        f"Each image is cut into {len(items[0].evidence.quality)} stripes. A stripe that shows "
        "the person well counts for much,\none that is hidden for little.",
        size=8.5, color=SOFT,
    )  # fmt: skip
    heading(page, MARGIN, top - 0.44, "How much each stripe counts", "quality, 0 to 1")
    for index in range(count):
        heading(page, left + index * (wide + GAP), top - 0.44, *MAPS[index])
    for row, item in enumerate(items):
        y = top + row * (high + 0.5)
        own = high * shape(item.image)
        striped(page, MARGIN, y, own, high, item)
        quality_bars(page, MARGIN + own + 0.12, y, bars, high, item.evidence.quality, FIRST)
        heat_maps(page, left, y, own, high, item, step=wide + GAP)
        page.text(MARGIN, y + high + 0.08, shortened(item.name), size=7.5, color=SOFT)
    if count:
        page.scale(left + 0.45, page.height - 0.62, 1.6, "weak", "strong")
        page.text(width - MARGIN, page.height - 0.38, SCALE, size=6.5, color=SOFT, ha="right")
    return page.figure


def draw_pair(first: Shown, second: Shown, pair: PairEvidence, said: str | None = None) -> Figure:
    """Two images face to face, each part's share between them, and the verdict above.

    `said`: the verdict in the caller's words.
    """
    high, top, width = 3.1, 2.35, 9.6
    below = top + high + 0.8
    count = max(len(maps(first.evidence)), len(maps(second.evidence)))
    page = Page(width, below + (LOW + 0.95 if count else -0.3))
    verdict(page, pair, said)
    wide = [high * shape(item.image) for item in (first, second)]
    edge = width - MARGIN - wide[1]
    striped(page, MARGIN, top, wide[0], high, first)
    striped(page, edge, top, wide[1], high, second)
    part_table(page, MARGIN + wide[0] + 0.12, edge - 0.12, top, high, pair)
    under = top + high + 0.1
    page.text(MARGIN, under, f"A: {shortened(first.name)}", color=SOFT)
    page.text(width - MARGIN, under, f"B: {shortened(second.name)}", color=SOFT, ha="right")
    if count:
        page.rule(MARGIN, below - 0.22, width - 2 * MARGIN)
        look(page, MARGIN, below, "A", first)
        look(page, width / 2 + 0.1, below, "B", second)
        page.scale(MARGIN + 0.42, page.height - 0.4, 1.4, "weak", "strong")
        page.text(width - MARGIN, page.height - 0.4, SCALE, size=6.5, color=SOFT, ha="right")
    return page.figure


def look(page: Page, x: float, y: float, name: str, item: Shown) -> None:
    """One image's maps in half a page."""
    own, step = LOW * shape(item.image), (page.width / 2 - MARGIN) / 3
    page.text(x, y - 0.06, f"Where the model looks in {name}", size=9, bold=True)
    for index, (_, hint) in enumerate(MAPS[: len(maps(item.evidence))]):
        page.text(x + index * step, y + 0.18, hint, size=7.5, color=SOFT)
    heat_maps(page, x, y + 0.38, own, LOW, item, step)


def maps(evidence: ImageEvidence) -> list[FloatArray]:
    """Up to three maps to draw, 0..1: response, response with attention, attention."""
    responses = (evidence.response_before, evidence.response_after)
    found = [r / max(float(r.max()), 1e-12) for r in responses if r is not None]
    return found if evidence.attention is None else [*found, evidence.attention]


def heading(page: Page, x: float, y: float, title: str, hint: str) -> None:
    """The two lines above a column."""
    page.text(x, y + 0.12, title, size=8.5, bold=True, va="baseline")
    page.text(x, y + 0.29, hint, size=7.5, color=SOFT, va="baseline")


def striped(page: Page, x: float, y: float, w: float, h: float, item: Shown) -> None:
    """An image with the borders of its K stripes."""
    axes = page.photo(x, y, w, h, drawable(item.image))
    count = len(item.evidence.quality)
    for k in range(1, count):
        axes.axhline(k / count, color="white", linewidth=1.1)


def quality_bars(
    page: Page,
    x: float,
    y: float,
    w: float,
    h: float,
    quality: Sequence[float],
    colour: str,
    *,
    leftwards: bool = False,
) -> None:
    """Fig. 4: a bar and its number beside each stripe; they begin at the image."""
    step, number = h / len(quality), 0.4
    for k, value in enumerate(quality):
        middle = y + (k + 0.5) * step
        bar = x + number if leftwards else x
        page.bar(bar, middle - 0.07, w - number, 0.14, value, colour=colour, leftwards=leftwards)
        page.text(
            x if leftwards else x + w, middle, f"{value:.2f}", size=8.5, va="center",
            ha="left" if leftwards else "right",
        )  # fmt: skip


def heat_maps(page: Page, x: float, y: float, w: float, h: float, item: Shown, step: float) -> None:
    """Fig. 5: the maps of one image, each over the image, `step` inches apart."""
    image = drawable(item.image)
    for index, heat in enumerate(maps(item.evidence)):
        page.photo(x + index * step, y, w, h, heated(image, heat))


def verdict(page: Page, pair: PairEvidence, said: str | None = None) -> None:
    """The answer in words, the distance on a ruler, and how it is made."""
    if said is None:
        said = UNCALIBRATED if pair.verdict is None else pair.verdict.capitalize()
    colour = INK if pair.verdict is None else VERDICTS.get(pair.verdict, INK)
    page.text(MARGIN, 0.34, said, size=15, bold=True, color=colour)
    made = f"Distance {pair.distance:.3f}"
    if pair.global_distance is not None:
        made += (
            f" = {pair.gamma:g} x {pair.part_distance:.3f} (part by part)"
            f" + {1 - pair.gamma:g} x {pair.global_distance:.3f} (what both show, as a whole)"
        )
    page.text(MARGIN, 0.68, made, size=8.5, color=SOFT)
    page.text(
        page.width - MARGIN, 0.36,
        f"Same parts in both: {pair.shared:.0%}\nSupport {pair.support:.2f}",
        size=8.5, color=SOFT, ha="right",
    )  # fmt: skip
    ruler(page, MARGIN, 1.2, page.width - 2 * MARGIN, pair)


def ruler(page: Page, x: float, y: float, w: float, pair: PairEvidence) -> None:
    """The distance among the calibrated thresholds."""
    end = max(1.0, 1.08 * pair.distance, *(1.3 * t for t in pair.thresholds or ()))
    axes = page.axes(x, y, w, 0.22)
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1)
    low, high = pair.thresholds or (0.0, 0.0)
    zones = ((0, low, Verdict.ALIKE, "#cfe3f1"), (low, high, Verdict.POSSIBLY, "#f6e3bd"),
             (high, end, Verdict.DIFFERENT, "#e6e9ed"))  # fmt: skip
    for begin, stop, label, colour in zones:
        axes.add_patch(Rectangle((begin, 0), stop - begin, 1, color=colour, linewidth=0))
        if pair.thresholds is not None and (stop - begin) / end * w > 0.085 * len(label):
            axes.text((begin + stop) / 2, 0.47, label, fontsize=8, ha="center", va="center")
    axes.plot([pair.distance], [1.12], "v", color=INK, markersize=7, clip_on=False)
    at = min(max(pair.distance / end * w, 0.15), w - 0.15)
    page.text(x + at, y - 0.24, f"{pair.distance:.3f}", size=9, bold=True, ha="center")
    for threshold in {0.0, *(pair.thresholds or ())}:
        text = f"{threshold:.2f}" if threshold else "0"
        page.text(x + threshold / end * w, y + 0.26, text, size=7, color=SOFT,
                  ha="center" if threshold else "left")  # fmt: skip


def part_table(
    page: Page, start: float, end: float, top: float, high: float, pair: PairEvidence
) -> None:
    """Per part: both qualities, distance, weight and share; rows lie beside their stripes."""
    count, gap = len(pair.parts), 0.28
    w = (end - start - 4 * gap) / 5
    columns = [start + i * (w + gap) for i in range(5)]
    titles = (
        ("Quality in A", "how useful"), ("Differs by", "0: alike"),
        ("Counts for", "its weight"), ("Its share", "of the distance"),
        ("Quality in B", "how useful"),
    )  # fmt: skip
    for x, title in zip(columns, titles, strict=True):
        heading(page, x, top - 0.5, *title)
    quality_bars(page, columns[0], top, w, high, [p.quality_p for p in pair.parts], FIRST)
    quality_bars(
        page, columns[4], top, w, high, [p.quality_g for p in pair.parts], SECOND, leftwards=True
    )
    longest = max(max(p.weight, p.share) for p in pair.parts) or 1.0
    for k, part in enumerate(pair.parts):
        middle = top + (k + 0.5) * high / count
        if k:
            page.rule(start, top + k * high / count, end - start)
        cells = (
            (part.distance, f"{part.distance:.2f}"),
            (part.weight / longest, f"{part.weight:.0%}"),
            (part.share / longest, f"{part.share:.0%}"),
        )
        for x, (value, text) in zip(columns[1:4], cells, strict=True):
            page.bar(x, middle - 0.07, w - 0.4, 0.14, value, colour=BOTH)
            page.text(x + w, middle, text, size=8.5, va="center", ha="right")


def shortened(name: str, longest: int = 44) -> str:
    """A name that fits below its image: the middle of a long one is left out."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
