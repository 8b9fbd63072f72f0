"""How near strangers come on this site: measured on people who stood before a camera together."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv

from reid.distances import rescore, tensors
from storage.queries import StoreReader
from storage.together import seen_together

MOST, FEWEST = 2_000, 100  # pairs; with fewer nothing is said
_CHUNK = 500
_MASKS = 16  # of the parts, whose distances are remembered


@dataclass(frozen=True, slots=True)
class Together:
    """What the site's own pairs of strangers say about a distance.

    Attributes:
        pairs: of people who stood before one camera at the same moment.
        as_near: how many of them are as near as that, or nearer.
    """

    pairs: int
    as_near: int

    @property
    def share(self) -> float:
        """Of the pairs, 0..1."""
        return self.as_near / self.pairs

    @property
    def at_least(self) -> float:
        """The lower end of the 95 % interval of that share (Clopper and Pearson 1934).

        Exact, so that a single pair, which may be a mirror or a box of half a person, says little.
        """
        if not self.as_near:
            return 0.0
        return float(betaincinv(self.as_near, self.pairs - self.as_near + 1, 0.025))

    def __str__(self) -> str:
        """In a sentence."""
        return (
            f"On these cameras {self.as_near} of {self.pairs:,} pairs of people who were seen at "
            f"the same moment {'comes' if self.as_near == 1 else 'come'} as near."
        )


class SiteStrangers:
    """Pairs of different people of one site, and how near they come.

    Only distances are kept: a look that was erased from the store is not here either.

    Args:
        reader: the store; must stay open.
        fingerprint: of the model.
        gamma: of Eq. 15.
        pairs: of tracks.
    """

    def __init__(
        self, reader: StoreReader, fingerprint: str, gamma: float, pairs: Sequence[tuple[int, int]]
    ) -> None:
        self._reader, self._fingerprint, self._gamma = reader, fingerprint, gamma
        self._pairs = tuple(pairs)
        self._rising: dict[tuple[float, ...] | None, list[float]] = {}

    def distances(self, weights: Sequence[float] | None = None) -> Sequence[float]:
        """Eq. 15 of each pair, rising, where a search trusts the parts by `weights`.

        Raises:
            StoreError: if the store cannot be read.
        """
        key = None if weights is None else tuple(weights)
        if key not in self._rising:
            if len(self._rising) > _MASKS:
                self._rising.clear()
            self._rising[key] = self._measure(key)
        return self._rising[key]

    def at(self, distance: float, weights: Sequence[float] | None = None) -> Together:
        """What they say about a distance, of a search that trusts the parts by `weights`.

        Raises:
            StoreError: if the store cannot be read.
        """
        rising = self.distances(weights)
        return Together(len(rising), bisect_right(rising, distance))

    def _measure(self, weights: tuple[float, ...] | None) -> list[float]:
        tracks = sorted({track for pair in self._pairs for track in pair})
        stored = self._reader.embeddings(fingerprint=self._fingerprint, tracks=tracks)
        if stored is None:
            return []
        row = {int(track): at for at, track in enumerate(stored.tracks)}
        there = [(row[a], row[b]) for a, b in self._pairs if a in row and b in row]
        found: list[float] = []
        for begin in range(0, len(there), _CHUNK):
            rows = np.array(there[begin : begin + _CHUNK])
            one, other = stored.embeddings[rows[:, 0]], stored.embeddings[rows[:, 1]]
            if weights is not None:
                one = replace(one, quality=one.quality * np.asarray(weights, np.float32))
            # (N, 1, ...): N queries, each with its own one candidate.
            parts_a, global_a, quality_a = (x[:, None] for x in tensors(one))
            parts_b, global_b, quality_b = (x[:, None] for x in tensors(other))
            distances = rescore(
                parts_a, global_a, quality_a, parts_b, global_b, quality_b, self._gamma
            )
            found += distances.flatten().tolist()
        return sorted(found)


def measure(
    reader: StoreReader, fingerprint: str, gamma: float, most: int = MOST, fewest: int = FEWEST
) -> SiteStrangers | None:
    """Find the site's pairs of strangers; None with fewer than `fewest`.

    The tracks' own pooled embeddings are compared. A photo's is not pooled, so it is noisier and
    its distances are larger, to everybody.

    Args:
        reader: the store; must stay open.
        fingerprint: of the model.
        gamma: of Eq. 15.
        most: pairs to look at.
        fewest: pairs that say something.

    Raises:
        StoreError: if the store cannot be read.
    """
    pairs = seen_together(reader, fingerprint, most)
    if len(pairs) < fewest:
        return None
    strangers = SiteStrangers(reader, fingerprint, gamma, pairs)
    return strangers if len(strangers.distances()) >= fewest else None


class Site:
    """The strangers of a store that grows, measured again when it has grown by a quarter.

    Safe to share by threads.

    Args:
        reader: the store; must stay open.
        fingerprint: of the model.
        gamma: of Eq. 15.
    """

    def __init__(self, reader: StoreReader, fingerprint: str, gamma: float) -> None:
        self._reader, self._fingerprint, self._gamma = reader, fingerprint, gamma
        self._lock = threading.Lock()
        self._strangers: SiteStrangers | None = None
        self._measured = -1  # tracklets in the store then

    def strangers(self, size: int) -> SiteStrangers | None:
        """Those of a store of so many tracklets; None with too few pairs.

        Raises:
            StoreError: if the store cannot be read.
        """
        with self._lock:
            if not 0.8 * size <= self._measured <= size:
                self._strangers = measure(self._reader, self._fingerprint, self._gamma)
                self._measured = size
            return self._strangers
