"""How near different people come by chance: what a distance is worth among so many."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Chance:
    """The near end of the distances between different people, measured on held-out people.

    A small distance says little alone: the more people are searched, the nearer the nearest
    stranger is. The product of `share` and their number is what sequence search calls an E-value
    (Karlin and Altschul 1990). It holds for people as different as those it was measured on.

    Attributes:
        points: (distance, share of the pairs of different people that lie below it), both rising.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Raise `ValueError` unless there are points, positive and rising."""
        rising = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(self.points))
        if not self.points or not rising or self.points[0][0] <= 0 or self.points[0][1] <= 0:
            raise ValueError(f"{self.points}: distances and shares have to be positive and rise")

    def is_bound(self, distance: float) -> bool:
        """Whether `share` is no more than an upper bound: fewer pairs than can be counted."""
        return distance <= self.points[0][0]

    def share(self, distance: float) -> float:
        """The share of different people at most this far apart, 0..1.

        Between two points by the logarithm of the share. Nearer than the first point its share: an
        upper bound, as fewer pairs than can be counted came so near. Farther than the last: 1.
        """
        at = bisect.bisect_left(self.points, (distance, 0.0))
        if at == 0:
            return self.points[0][1]
        if at == len(self.points):
            return 1.0
        (d0, s0), (d1, s1) = self.points[at - 1 : at + 1]
        part = (distance - d0) / (d1 - d0)
        return math.exp(math.log(s0) * (1 - part) + math.log(s1) * part)

    def within(self, share: float) -> float:
        """The largest distance whose `share` is at most this; 0 if even the nearest is more."""
        at = bisect.bisect_right(self.points, share, key=lambda point: point[1])
        if at == 0:
            return 0.0
        if at == len(self.points):
            return self.points[-1][0]
        (d0, s0), (d1, s1) = self.points[at - 1 : at + 1]
        return d0 + (d1 - d0) * math.log(share / s0) / math.log(s1 / s0)
