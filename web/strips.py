"""An itinerary drawn: a lane for each camera, time from left to right, gaps between.

Numbers for an SVG of `WIDTH` units across; the template draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from investigation.replay.itinerary import Itinerary
from web.pages import moment, span
from web.times import local

WIDTH = 1000.0
NAMES = 150.0  # units at the left, for the cameras' names
LANE = 34.0
TOP = 8.0
SMALLEST = 7.0  # a bar that is narrower cannot be seen or clicked
STEPS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
    172800, 604800, 2592000, 31536000,
)  # fmt: skip
MOST_TICKS = 7
SHORTEST_GAP = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of the itinerary: when one camera saw the person."""

    step: int
    x: float
    y: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One camera."""

    camera: str
    place: str | None
    y: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch in which no camera saw the person."""

    x: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the time axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The whole drawing; `floor` is where the lanes end and the axis begins."""

    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    gaps: tuple[Gap, ...]
    ticks: tuple[Tick, ...]
    floor: float
    height: float


def strip(itinerary: Itinerary) -> Strip:
    """Draw an itinerary."""
    start, end = itinerary.start, max(itinerary.end, itinerary.start + 1.0)
    scale = (WIDTH - NAMES - SMALLEST) / (end - start)

    def x(moment: float) -> float:
        return round(NAMES + (moment - start) * scale, 2)

    places = {step.camera: step.place for step in itinerary.steps}
    lanes = {
        camera: Lane(camera, places[camera], TOP + LANE * number)
        for number, camera in enumerate(itinerary.cameras)
    }
    floor = TOP + LANE * len(lanes)
    bars, gaps = [], []
    seen_until = start
    for step in itinerary.steps:
        width = max(SMALLEST, x(step.end) - x(step.start))
        label = (
            f"Step {step.number}, {step.camera}: {moment(step.start)} to {moment(step.end)[11:]}"
        )
        bars.append(Bar(step.number, x(step.start), lanes[step.camera].y, width, label))
        if step.start - seen_until >= SHORTEST_GAP:
            wide = x(step.start) - x(seen_until)
            words = f"not seen for {span(step.start - seen_until)}"
            gaps.append(Gap(x(seen_until), wide, words if wide > 5.5 * len(words) else ""))
        seen_until = max(seen_until, step.end)
    return Strip(
        tuple(lanes.values()), tuple(bars), tuple(gaps), _ticks(start, end, x), floor, floor + 24
    )


def _ticks(start: float, end: float, x: Callable[[float], float]) -> tuple[Tick, ...]:
    step = next((s for s in STEPS if (end - start) / s <= MOST_TICKS), STEPS[-1])
    offset = local(start).utcoffset()
    ahead = 0.0 if offset is None else offset.total_seconds()  # days begin at the site's midnight
    first = math.ceil((start + ahead) / step)
    moments = [n * step - ahead for n in range(first, math.floor((end + ahead) / step) + 1)]
    day = end - start > 86400
    texts = [moment(m)[:16] if day else moment(m)[11:] for m in moments]
    return tuple(Tick(x(m), text) for m, text in zip(moments, texts, strict=True))
