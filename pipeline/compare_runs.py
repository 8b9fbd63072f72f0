"""What another run over the same footage changed: which pairs of tracks it links, and which not.

Tracks of the two runs are matched one to one, camera by camera, by how often their boxes lie over
each other at the same time. Between tracks that both runs have, a pair that has one identity
before and two after was linked before and is not now, and the other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import TrackRow
from storage.sightings import boxes_between, tracks_between
from trackers.records import TrackPoint

OVER = 0.5  # overlap (IoU) at which two boxes show the same person
SHARE = 0.5  # of the shorter track's boxes that have to
TIME = 0.02  # seconds two boxes of one picture may be apart
LISTED = 200  # changed pairs that are named, at most


@dataclass(frozen=True, slots=True)
class Same:
    """A track of the run before and the track of the run after that shows the same person."""

    before: TrackRow
    after: TrackRow


@dataclass(frozen=True, slots=True)
class Change:
    """A pair of tracks whose link changed; `linked`: it is one person now, and was two."""

    first: Same
    second: Same
    linked: bool

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "change": "added" if self.linked else "removed",
            "tracks": [_told(self.first), _told(self.second)],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed.

    Attributes:
        before: the run that was repeated.
        after: the re-run.
        matched: tracks that both have.
        only_before: ids of tracks of the first run that the second does not have.
        only_after: ids of tracks of the second run that the first does not have.
        unchanged: pairs linked in both.
        added: pairs linked only after.
        removed: pairs linked only before.
        changes: the first `LISTED` changed pairs.
    """

    before: int
    after: int
    matched: int
    only_before: tuple[int, ...]
    only_after: tuple[int, ...]
    unchanged: int
    added: int
    removed: int
    changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "tracks": {
                "matched": self.matched,
                "only_before": list(self.only_before),
                "only_after": list(self.only_after),
            },
            "links": {
                "unchanged": self.unchanged,
                "added": self.added,
                "removed": self.removed,
            },
            "changes": [change.as_json() for change in self.changes],
        }


def compare(
    reader: StoreReader, before: int, after: int, cameras: Sequence[str], start: float, end: float
) -> Comparison:
    """Compare two runs over some cameras within [start, end] (UTC seconds)."""
    matched: list[Same] = []
    lost: list[int] = []
    new: list[int] = []
    for camera in cameras:
        rows = tracks_between(reader, start, end, cameras={camera}, reruns=True)
        ours = [row for row in rows if row.run == before]
        theirs = [row for row in rows if row.run == after]
        pairs = match(reader, ours, theirs, start, end)
        matched += pairs
        lost += [r.id for r in ours if r.id not in {p.before.id for p in pairs}]
        new += [r.id for r in theirs if r.id not in {p.after.id for p in pairs}]
    old = Counter(p.before.identity for p in matched if p.before.identity is not None)
    now = Counter(p.after.identity for p in matched if p.after.identity is not None)
    both = Counter(
        (p.before.identity, p.after.identity)
        for p in matched
        if p.before.identity is not None and p.after.identity is not None
    )
    unchanged = _pairs(both)
    changes: list[Change] = []
    for change in _changes(matched):
        if len(changes) == LISTED:
            break
        changes.append(change)
    return Comparison(
        before=before,
        after=after,
        matched=len(matched),
        only_before=tuple(sorted(lost)),
        only_after=tuple(sorted(new)),
        unchanged=unchanged,
        added=_pairs(now) - unchanged,
        removed=_pairs(old) - unchanged,
        changes=tuple(changes),
    )


def match(
    reader: StoreReader,
    before: Sequence[TrackRow],
    after: Sequence[TrackRow],
    start: float,
    end: float,
) -> list[Same]:
    """Match one camera's tracks of two runs one to one, so that most boxes agree."""
    points = boxes_between(reader, [r.id for r in (*before, *after)], start, end)
    if not before or not after:
        return []
    agree = np.zeros((len(before), len(after)), np.int64)
    boxes = {track: _arrays(found) for track, found in points.items()}
    for row, ours in enumerate(before):
        for column, theirs in enumerate(after):
            if ours.start <= theirs.end + TIME and theirs.start <= ours.end + TIME:
                agree[row, column] = _agreeing(*boxes[ours.id], *boxes[theirs.id])
    found = []
    for row, column in zip(*linear_sum_assignment(-agree), strict=True):
        shorter = min(len(points[before[row].id]), len(points[after[column].id]))
        if shorter and agree[row, column] >= SHARE * shorter:
            found.append(Same(before[row], after[column]))
    return found


def _arrays(points: Sequence[TrackPoint]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) times and (N, 4) left, top, right, bottom."""
    boxes = [(p.box.left, p.box.top, p.box.right, p.box.bottom) for p in points]
    return np.array([p.time for p in points]), np.array(boxes, np.float64).reshape(-1, 4)


def _agreeing(
    times: NDArray[np.float64],
    boxes: NDArray[np.float64],
    other_times: NDArray[np.float64],
    other_boxes: NDArray[np.float64],
) -> int:
    """At how many moments the two tracks' boxes lie over each other."""
    if not len(times) or not len(other_times):
        return 0
    nearest = np.clip(np.searchsorted(other_times, times - TIME), 0, len(other_times) - 1)
    there = np.abs(other_times[nearest] - times) <= TIME
    a, b = boxes[there], other_boxes[nearest[there]]
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.clip(size, 0, None).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    return int((shared >= OVER * union).sum())


def _pairs(groups: Counter[Any]) -> int:
    """How many pairs there are within groups of these sizes."""
    return sum(count * (count - 1) // 2 for count in groups.values())


def _changes(matched: Sequence[Same]) -> Iterator[Change]:
    """Pairs that were split, then pairs that were joined; by track."""
    for linked in (False, True):
        groups: dict[int, list[Same]] = {}
        for pair in sorted(matched, key=lambda p: p.before.id):
            group = pair.after.identity if linked else pair.before.identity
            if group is not None:
                groups.setdefault(group, []).append(pair)
        for members in groups.values():
            for first, second in combinations(members, 2):
                a = first.before.identity if linked else first.after.identity
                b = second.before.identity if linked else second.after.identity
                if a is None or b is None or a != b:
                    yield Change(first, second, linked)


def _told(pair: Same) -> dict[str, Any]:
    return {
        "camera": pair.before.camera,
        "start": iso_text(pair.before.start),
        "end": iso_text(pair.before.end),
        "track_before": pair.before.id,
        "track_after": pair.after.id,
        "identity_before": pair.before.identity,
        "identity_after": pair.after.identity,
    }
