"""Who is where in one camera's pictures: whom a clip marks, and whom it makes unrecognisable.

Boxes lie in the store by capture time, not by picture: between two of them a track is
interpolated. Marking follows the box closely. Hiding errs on the side of too much: a margin, the
way between two boxes, a while before the first and after the last, the whole picture where no run
looked for people, and all but the chosen where they were only looked for in parts of the picture.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.queries import StoreReader
from storage.sightings import boxes_between, looked_at, tracks_between
from trackers.records import Box, TrackPoint

REACH = 10.0  # seconds around a clip from which boxes are read, for what lies at its ends
BRIDGED = 1.0  # seconds between two boxes over which a mark is drawn
HOLD = 1.0  # seconds before its first and after its last box that a track stays hidden
AWAY = 0.1  # seconds that a picture's time may be off the boxes' (a live camera's two clocks)
MARGIN = 0.15  # of a box's size, on each side
LEAST_MARGIN = 6.0  # pixels
SPEED = 1.0  # box widths a second that somebody may have moved since we last knew
SAME = 0.5  # overlap from which two runs' boxes show one person
LOOKED = 0.5  # seconds around a run's first and last picture

CAVEATS = (
    "People whom the detector did not find are not blurred.",
    "Where the person shown and somebody else overlap, the overlap is blurred.",
    "Where no run looked for people, the whole picture is blurred; where a camera's zones or masks "
    "left parts of it out, all but the person shown is.",
    "A person who was erased from the store, but is still in the footage, is not blurred.",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to draw around somebody: pixels of the picture, and what to write."""

    box: Box
    label: str
    identity: int | None


@dataclass(frozen=True, slots=True)
class Hiding:
    """What is made unrecognisable in a picture.

    Attributes:
        boxes: where others are, pixels.
        all_but: everything outside of these is hidden as well; None: nothing else is.
    """

    boxes: tuple[Box, ...] = ()
    all_but: tuple[Box, ...] | None = None


class Path:
    """The boxes of one track by time."""

    def __init__(self, points: Sequence[TrackPoint]) -> None:
        self._points = points
        self._times = [point.time for point in points]

    def shown(self, time: float) -> Box | None:
        """Where the track is at a time; None where the store does not say."""
        after = bisect.bisect_left(self._times, time - 1e-3)
        if after == len(self._times):
            return None
        b = self._points[after]
        if b.time - time <= 1e-3:
            return b.box
        if after == 0:
            return None
        a = self._points[after - 1]
        return between(a, b, time) if b.time - a.time <= BRIDGED else None

    def hidden(self, time: float) -> Box | None:
        """All that has to be hidden of the track at a time; None if it is not near."""
        if not self._times or not self._times[0] - HOLD <= time <= self._times[-1] + HOLD:
            return None
        boxes = [self._near(moment) for moment in (time - AWAY, time, time + AWAY)]
        hull = boxes[0]
        for box in boxes[1:]:
            hull = around(hull, box)
        return hull

    def _near(self, time: float) -> Box:
        after = bisect.bisect_left(self._times, time)
        if after == 0 or after == len(self._times):
            end = self._points[0 if after == 0 else -1]
            return grown(end.box, SPEED * abs(time - end.time))
        a, b = self._points[after - 1], self._points[after]
        if b.time - a.time <= BRIDGED:
            return grown(between(a, b, time))
        return grown(around(a.box, b.box))  # out of sight in between: anywhere on the way


class PeopleShown:
    """Marks and hiding places for one camera within one stretch of time.

    Args:
        reader: the store.
        camera: its id.
        start: UTC seconds.
        end: UTC seconds.
        labels: track -> what to write beside it; these tracks are never hidden.
        identities: track -> identity, for the colour of its mark.
        runs: the runs of these tracks: they count even if they repeat another.
    """

    def __init__(
        self,
        reader: StoreReader,
        camera: str,
        start: float,
        end: float,
        *,
        labels: Mapping[int, str],
        identities: Mapping[int, int | None],
        runs: frozenset[int],
    ) -> None:
        rows = tracks_between(reader, start - REACH, end + REACH, cameras={camera}, runs=runs)
        points = boxes_between(reader, [r.id for r in rows], start - REACH, end + REACH)
        self._paths = {row.id: Path(points[row.id]) for row in rows}
        self._runs = {row.id: row.run for row in rows}
        self._labels = {t: text for t, text in labels.items() if t in self._paths}
        self._identities = identities
        self._looked = looked_at(reader, camera, runs)

    def marks(self, time: float) -> list[Mark]:
        """Whom to mark in a picture taken at `time` (UTC seconds)."""
        found = []
        for track, label in self._labels.items():
            box = self._paths[track].shown(time)
            if box is not None:
                found.append(Mark(box, label, self._identities.get(track)))
        return found

    def hidden(self, time: float) -> Hiding:
        """What to hide in a picture taken at `time` (UTC seconds)."""
        looked = [at for at in self._looked if at.first - LOOKED <= time <= at.last + LOOKED]
        if not looked:
            return Hiding(all_but=())
        chosen = [(self._runs[t], self._paths[t].shown(time)) for t in self._labels]
        found = []
        for track, path in self._paths.items():
            if track in self._labels:
                continue
            box = path.hidden(time)
            if box is not None and not self._is_chosen(track, time, chosen):
                found.append(box)
        if all(at.partly for at in looked):
            return Hiding(tuple(found), tuple(box for _, box in chosen if box is not None))
        return Hiding(tuple(found))

    def _is_chosen(self, track: int, time: float, chosen: Sequence[tuple[int, Box | None]]) -> bool:
        """True if another run's track shows one of the chosen people at that time."""
        box = self._paths[track].shown(time)
        return box is not None and any(
            there is not None and run != self._runs[track] and box.iou(there) >= SAME
            for run, there in chosen
        )


def between(a: TrackPoint, b: TrackPoint, time: float) -> Box:
    """The box at a time between two points, in a straight line."""
    share = min(1.0, max(0.0, (time - a.time) / (b.time - a.time))) if b.time > a.time else 0.0
    pairs = zip(_sides(a.box), _sides(b.box), strict=True)
    return Box(*(p + share * (q - p) for p, q in pairs))


def around(a: Box, b: Box) -> Box:
    """The smallest box around two."""
    return Box(
        min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom)
    )


def grown(box: Box, widths: float = 0.0) -> Box:
    """A box with its margin, and `widths` of its widths more to each side."""
    across = max(LEAST_MARGIN, MARGIN * box.width) + widths * box.width
    down = max(LEAST_MARGIN, MARGIN * box.height) + widths * box.width / 2
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down)


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom
