"""Batches of P identities with A images each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid.errors import DataError


class IdentitySampler:
    """P x A batches as torchreid's RandomIdentitySampler draws them.

    Each identity's images are shuffled and cut into groups of A (an identity
    with fewer than A is drawn with replacement); P identities with groups
    left are taken at random until fewer than P remain. Deterministic given
    (seed, epoch), so that a resumed run draws what the unbroken one drew.
    """

    def __init__(self, labels: Sequence[int], p: int, a: int, seed: int) -> None:
        self._rows: dict[int, list[int]] = {}
        for row, label in enumerate(labels):
            self._rows.setdefault(label, []).append(row)
        if len(self._rows) < p:
            raise DataError(f"{len(self._rows)} identities cannot fill batches of P = {p}")
        self._p, self._a, self._seed = p, a, seed

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the batches of one epoch, each (P * A,) int64 rows grouped by identity."""
        rng = np.random.default_rng((self._seed, number))
        groups: dict[int, list[NDArray[np.int64]]] = {}
        for label, rows in self._rows.items():
            pool = np.asarray(rows)
            if len(pool) < self._a:
                pool = rng.choice(pool, self._a, replace=True)
            pool = rng.permutation(pool)
            usable = len(pool) // self._a * self._a
            groups[label] = list(pool[:usable].reshape(-1, self._a))
        batches = []
        while len(groups) >= self._p:
            chosen = rng.choice(sorted(groups), self._p, replace=False)
            batches.append(np.concatenate([groups[c].pop() for c in chosen]))
            groups = {label: left for label, left in groups.items() if left}
        return batches
