"""How far a threshold would move had other people been held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
COVERED = 0.95


def threshold_interval(
    distance: NDArray[np.float32],
    people: NDArray[np.int64],
    share: float,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of the distance below which a share of the pairs of different people lies.

    Identities are drawn with replacement, not pairs: the pairs of two people are many and alike,
    and few pairs of people decide the quantile. A pair counts as often as both were drawn.

    Args:
        distance: (M,) of pairs of different people.
        people: (M, 2) their identities.
        share: 0..1.
        draws: bootstrap samples.
        seed: of the draws.
    """
    order = np.argsort(distance, kind="stable")
    known, numbers = np.unique(people[order], return_inverse=True)
    first, second = numbers.reshape(-1, 2).T
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, len(known), len(known)), minlength=len(known))
        total = np.cumsum(times[first] * times[second])
        if total[-1]:
            row = np.searchsorted(total, share * total[-1], side="right")
            found.append(distance[order[min(row, len(order) - 1)]])
    low, high = np.quantile(found, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)


def people_pairs(people: NDArray[np.int64]) -> int:
    """How many different pairs of people there are among (M, 2) identities."""
    return len(np.unique(np.sort(people, axis=1), axis=0))
