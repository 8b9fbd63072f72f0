"""What the matcher got wrong, and by which of its rules."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.track_stream import Matched, Stream
from trackers.settings import MatchingSettings

Matrix = NDArray[np.float64]

SAME = "same camera: left to other cameras to bridge"
LOOKS = "looks: distance above the threshold"
WAITING = "price of waiting: below the threshold, but not below what was left of it"
THIN = "support: too little in common"
AMBIGUOUS = "ambiguous: one of the two abstained between two people"
REST = "linkage: near enough, but their clusters were not, or one had gone elsewhere"
FORBIDDEN = "constraint: overlap on one camera"

DIRECT = "direct: near enough by itself"
DRAWN = "through others in the cluster"


def missed_links(
    stream: Stream, matched: Matched, distance: Matrix, shared: Matrix, settings: MatchingSettings
) -> Counter[str]:
    """True pairs that were not linked, each under the first rule that speaks against it.

    The seconds between are the pair's own; the matcher takes the clusters' nearest.

    Args:
        stream: the tracklets.
        matched: what the matcher made of them.
        distance: (N, N) Eq. 15.
        shared: (N, N) cosine of the part qualities.
        settings: the matcher's.
    """
    threshold, left = _allowed(stream, settings)
    unsure = np.array([d.reason.startswith("two people") for d in matched.decisions])
    causes: Counter[str] = Counter()
    for i, j in _pairs(stream, matched, missed=True):
        same_camera = stream.camera[i] == stream.camera[j]
        if same_camera and -stream_gap(stream, i, j) > settings.overlap_tolerance:
            cause = FORBIDDEN
        elif same_camera and not settings.same_camera:
            cause = SAME
        elif distance[i, j] >= threshold:
            cause = LOOKS
        elif distance[i, j] >= left[i, j]:
            cause = WAITING
        elif shared[i, j] < settings.min_support:
            cause = THIN
        else:
            cause = AMBIGUOUS if unsure[i] or unsure[j] else REST
        causes[cause] += 1
    return causes


def wrong_links(
    stream: Stream, matched: Matched, distance: Matrix, settings: MatchingSettings
) -> Counter[str]:
    """Linked pairs of two people: near enough by themselves, or drawn in by others."""
    _, left = _allowed(stream, settings)
    causes: Counter[str] = Counter()
    for i, j in _pairs(stream, matched, missed=False):
        comparable = settings.same_camera or stream.camera[i] != stream.camera[j]
        causes[DIRECT if comparable and distance[i, j] < left[i, j] else DRAWN] += 1
    return causes


def abstentions(stream: Stream, matched: Matched) -> Counter[tuple[str, bool]]:
    """Abstentions by their reason, and whether the candidate they named was the right person."""
    people: dict[int, Counter[int]] = {}
    for person, identity in zip(stream.identity, matched.identity, strict=True):
        people.setdefault(int(identity), Counter())[int(person)] += 1
    found: Counter[tuple[str, bool]] = Counter()
    for person, decision in zip(stream.identity, matched.decisions, strict=True):
        if decision.action == "abstain" and decision.candidate in people:
            likely = people[decision.candidate].most_common(1)[0][0]
            found[decision.reason.split(":")[0], likely == person] += 1
    return found


def stream_gap(stream: Stream, i: int, j: int) -> float:
    """Seconds between two tracklets; negative: they overlap for so long."""
    a, b = stream.times[i], stream.times[j]
    return float(max(a[0], b[0]) - min(a[-1], b[-1]))


def _allowed(stream: Stream, settings: MatchingSettings) -> tuple[float, Matrix]:
    """The threshold, and what the price of waiting leaves of it for each pair (N, N)."""
    threshold = settings.threshold or 0.0
    price = settings.recency * np.log1p(np.maximum(stream.gap(), 0.0))
    return threshold, threshold - np.minimum(price, settings.recency_limit)


def _pairs(stream: Stream, matched: Matched, *, missed: bool) -> list[tuple[int, int]]:
    """Pairs of one person with two identities (missed), or of one identity but not one person."""
    same = stream.identity[:, None] == stream.identity[None]
    person = stream.identity != 0
    linked = matched.identity[:, None] == matched.identity[None]
    cells = same & person[:, None] & ~linked if missed else linked & ~same
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(cells, 1)), strict=True)]
