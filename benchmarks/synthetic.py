"""Synthetic tracklets, spread like real ones: for galleries larger than any data set.

The part features of a tracklet are a person's mean plus the tracklet's own
deviation, both normal; the log odds of its qualities are normal too. All three
are fitted to real embeddings, or stand-ins are used: `DEFAULT`, read off the
first shipped model (3ad559ea266dd8f3) on 220 people of Market-1501's test set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.datasets import MARKET_NAME
from reid.errors import DataError
from reid.pooling import pool
from reid.records import PartEmbeddings

FINGERPRINT = "synthetic"
RANK = 384  # directions of variance that are kept of each of the two spreads
BLOCK = 16_384  # tracklets made at once
HIDDEN = 0.2  # what is left of an occluded part's quality

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """What `Spread.default` is made of.

    Attributes:
        same: cosine of one part of one person in two cameras, mean.
        dimensions: of one part's features: (sum of eigenvalues)^2 / sum of their squares.
        shared: share of a part's variance that all parts of a person have in common.
        quality: mean and standard deviation of the log odds of a part's quality.
        tracklets: of one person.
    """

    same: float = 0.64
    dimensions: float = 20.0
    shared: float = 0.78
    quality: tuple[float, float] = (0.16, 0.75)
    tracklets: int = 8


@dataclass(frozen=True)
class Spread:
    """Three normal distributions; D = K*d.

    Attributes:
        mean: (D,) of all people.
        people: (R, D), a person's deviation is a normal vector times this.
        within: (R, D), the same for a tracklet's deviation from its person.
        odds: (K,) mean log odds of the qualities, and `odds_factor` (K, K) their spread.
        shape: K and d.
        tracklets: of one person.
    """

    mean: Floats
    people: Floats
    within: Floats
    odds: Floats
    odds_factor: Floats
    shape: tuple[int, int]
    tracklets: int

    @staticmethod
    def default(k: int = 6, d: int = 256, measured: Measured | None = None) -> Spread:
        """From the few figures of `Measured`."""
        m = measured or Measured()
        rng = np.random.default_rng(0)
        rank = min(d, 64)
        scale = np.exp(-np.arange(rank) / m.dimensions)  # squared, it has these `dimensions`
        scale /= np.sqrt((scale**2).sum())
        axes = [np.linalg.qr(rng.normal(size=(d, rank)))[0].T * scale[:, None] for _ in range(k)]
        common = np.concatenate(axes, axis=1) * np.sqrt(m.shared)
        own = np.zeros((k * rank, k * d))
        for part, axis in enumerate(axes):
            cells = (slice(part * rank, (part + 1) * rank), slice(part * d, (part + 1) * d))
            own[cells] = axis * np.sqrt(1 - m.shared)
        both = np.concatenate([common, own]).astype(np.float32)
        centre, deviation = m.quality
        return Spread(
            np.zeros(k * d, np.float32),
            both * np.float32(np.sqrt(m.same)),
            both * np.float32(np.sqrt(1 - m.same)),
            np.full(k, centre, np.float32),
            (np.eye(k) * deviation).astype(np.float32),
            (k, d),
            m.tracklets,
        )

    @staticmethod
    def fit(embeddings: PartEmbeddings, people: NDArray[np.int64]) -> Spread:
        """From N tracklets and whose they are, (N,)."""
        n, k = embeddings.quality.shape
        unit = embeddings.parts / np.linalg.norm(embeddings.parts, axis=-1, keepdims=True)
        rows = unit.reshape(n, -1).astype(np.float64)
        _, person, count = np.unique(people, return_inverse=True, return_counts=True)
        means = np.zeros((len(count), rows.shape[1]))
        np.add.at(means, person, rows)
        means /= count[:, None]
        several = count[person] > 1
        deviation = (rows - means[person]) * np.sqrt(count / np.maximum(count - 1, 1))[person][
            :, None
        ]
        quality = np.clip(embeddings.quality.astype(np.float64), 1e-3, 1 - 1e-3)
        odds = np.log(quality / (1 - quality))
        factor = np.linalg.cholesky(np.cov(odds.T) + 1e-6 * np.eye(k))
        return Spread(
            means.mean(0).astype(np.float32),
            _factor(means - means.mean(0)),
            _factor(deviation[several]),
            odds.mean(0).astype(np.float32),
            factor.T.astype(np.float32),
            (k, embeddings.parts.shape[2]),
            max(round(float(count.mean())), 2),
        )

    def draw(self, rng: np.random.Generator, n: int) -> Iterator[PartEmbeddings]:
        """N tracklets of n / `tracklets` people in blocks; a block's people are its own."""
        for first in range(0, n, BLOCK):
            size = min(BLOCK, n - first)
            person = np.arange(size) // self.tracklets
            centres = _normal(rng, int(person[-1]) + 1, self.people)
            rows = centres[person] + _normal(rng, size, self.within) + self.mean
            odds = rng.standard_normal((size, len(self.odds)), np.float32) @ self.odds_factor
            quality = 1 / (1 + np.exp(-(odds + self.odds)))
            parts = rows.reshape(size, *self.shape)
            yield PartEmbeddings(parts, parts, quality.astype(np.float32), FINGERPRINT)


def occlude(rng: np.random.Generator, items: PartEmbeddings, left: float) -> PartEmbeddings:
    """Hide 1 to K/2 parts of each item, from the top or from below.

    A hidden part shows somebody else of `items`; of its quality a share `left` is left.
    """
    n, k = items.quality.shape
    count = rng.integers(1, k // 2 + 1, n)
    place = np.arange(k)[None]
    below = place >= k - count[:, None]
    hidden = np.where(rng.random(n)[:, None] < 0.5, below, place < count[:, None])
    others = rng.permutation(n)
    parts = np.where(hidden[..., None], items.parts[others], items.parts)
    quality = np.where(hidden, left * items.quality, items.quality).astype(np.float32)
    return replace(items, parts=parts, global_parts=parts, quality=quality)


def load(path: Path) -> Spread:
    """Fit to an .npz that `crosscam embed` wrote of Market-1501's images, pooled to tracklets.

    Raises:
        DataError: if the file is no such thing.
    """
    try:
        file = np.load(path)
        crops = PartEmbeddings(
            file["parts"], file["global_parts"], file["quality"], str(file["fingerprint"])
        )
        names = [Path(str(p)).name for p in file["paths"]]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a file of `crosscam embed`: {error}") from error
    groups: dict[tuple[int, int, int], list[int]] = {}
    for row, name in enumerate(names):
        match = MARKET_NAME.match(name)
        if match and int(match[1]) > 0:
            groups.setdefault((int(match[1]), int(match[2]), int(match[3])), []).append(row)
    if len({key[0] for key in groups}) < 10:
        raise DataError(f"{path}: needs images of at least 10 people with Market-1501's names")
    pooled = [pool(crops[rows]) for rows in groups.values()]
    return Spread.fit(PartEmbeddings.concatenate(pooled), np.array([k[0] for k in groups]))


def _normal(rng: np.random.Generator, n: int, factor: Floats) -> Floats:
    return rng.standard_normal((n, len(factor)), np.float32) @ factor


def _factor(rows: NDArray[np.float64]) -> Floats:
    """(R, D) so that a standard normal vector times it has the rows' covariance."""
    _, scale, axes = np.linalg.svd(rows / np.sqrt(len(rows)), full_matrices=False)
    return (scale[:RANK, None] * axes[:RANK]).astype(np.float32)
