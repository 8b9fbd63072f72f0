"""Where two of the matcher's settings come from: held-out Market-1501 people, as tracklets in time.

    python -m benchmarks.market_links --data market1501/

1. The price of waiting (`matching.recency`): a logistic regression of "same person" on the Eq. 15
   distance and the log of the seconds between, over pairs of one sequence and two cameras.
2. The linkage: pairwise precision, recall and F1 of clustering with the mean of a cluster pair's
   distances, the largest, and halfway between, over thresholds (without the price of waiting).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import print_table
from reid.calibrate import pair_distances
from reid.datasets import MARKET_NAME, hold_out, training_samples
from reid.embedding import Embedder, embed_files
from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

FPS = 25.0
PAUSE = 20.0  # seconds without a picture that end a tracklet
PICTURES = 6  # of each tracklet, spread evenly

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tracklets:
    """N tracklets: (N, N) distance and seconds between; (N,) identity, camera, sequence."""

    distance: Array
    gap: Array
    identity: NDArray[np.int64]
    camera: NDArray[np.int64]
    sequence: NDArray[np.int64]


def load(data: Path, weights: str, held_out: int) -> Tracklets:
    embedder = Embedder.from_settings(EmbeddingSettings(weights=weights))
    groups: dict[tuple[int, int, int], list[tuple[float, Path]]] = {}
    for sample in hold_out(training_samples(data), held_out)[1]:
        match = MARKET_NAME.match(sample.path.name)
        if match is not None:
            key = (sample.identity, sample.camera, int(match[3]))
            groups.setdefault(key, []).append((int(match[4]) / FPS, sample.path))
    keys, spans, pooled = [], [], []
    for key in sorted(groups):
        for part in split(sorted(groups[key])):
            rows = np.unique(np.linspace(0, len(part) - 1, PICTURES).round().astype(int))
            crops = list(embed_files(embedder, [part[r][1] for r in rows]))
            pooled.append(pool(PartEmbeddings.concatenate(crops)))
            keys.append(key)
            spans.append((part[0][0], part[-1][0]))
    start, end = np.array(spans).T
    gap = np.maximum(start[:, None], start[None]) - np.minimum(end[:, None], end[None])
    distance = pair_distances(PartEmbeddings.concatenate(pooled), embedder.config.gamma)
    return Tracklets(distance.astype(float), np.maximum(gap, 0.0), *np.array(keys).T)


def split(pictures: list[tuple[float, Path]]) -> list[list[tuple[float, Path]]]:
    parts = [[pictures[0]]]
    for before, now in pairwise(pictures):
        if now[0] - before[0] > PAUSE:
            parts.append([])
        parts[-1].append(now)
    return parts


def price_of_waiting(t: Tracklets) -> tuple[float, float, int]:
    """Ratio of the regression's coefficients (Newton's method; both classes weigh the same)."""
    pairs = np.triu(t.sequence[:, None] == t.sequence[None], 1)
    pairs &= t.camera[:, None] != t.camera[None]
    same = (t.identity[:, None] == t.identity[None])[pairs]
    columns = [np.ones(pairs.sum()), t.distance[pairs], np.log1p(t.gap[pairs])]
    x = np.stack(columns, axis=1)
    weight = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    b = np.zeros(3)
    for _ in range(60):
        p = 1 / (1 + np.exp(-x @ b))
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x
        b += np.linalg.solve(curve + 1e-9 * np.eye(3), x.T @ (weight * (same - p)))
    return float(b[1]), float(b[2] / b[1]), len(same)


def cluster(distance: Array, blocked: NDArray[np.bool_], threshold: float, worst: float) -> Array:
    """Labels (N,) of greedy clustering; `worst` is the share of the least alike pair."""
    total, largest, count = distance.copy(), distance.copy(), np.ones_like(distance)
    blocked = blocked | np.eye(len(distance), dtype=bool)
    labels = np.arange(len(distance))
    while True:
        cost = (1 - worst) * total / count + worst * largest
        cost = np.where(blocked, np.inf, cost)
        a, b = np.unravel_index(int(cost.argmin()), cost.shape)
        if cost[a, b] >= threshold:
            return labels.astype(float)
        labels[labels == b] = a
        for array, join in ((total, np.add), (count, np.add), (largest, np.maximum)):
            array[a] = array[:, a] = join(array[a], array[b])
        blocked[a] |= blocked[b]
        blocked[:, a] = blocked[a]
        blocked[b] = blocked[:, b] = True


def scores(t: Tracklets, threshold: float, worst: float) -> tuple[float, float, float]:
    right = found = true = 0
    for sequence in np.unique(t.sequence):
        rows = np.flatnonzero(t.sequence == sequence)
        cells = np.ix_(rows, rows)
        blocked = (t.camera[rows][:, None] == t.camera[rows][None]) & (t.gap[cells] == 0)
        labels = cluster(t.distance[cells], blocked, threshold, worst)
        same = np.triu(t.identity[rows][:, None] == t.identity[rows][None], 1)
        linked = np.triu(labels[:, None] == labels[None], 1)
        right += int((same & linked).sum())
        found += int(linked.sum())
        true += int(same.sum())
    precision, recall = right / max(found, 1), right / max(true, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--held-out-ids", type=int, default=100)
    options = parser.parse_args()
    t = load(options.data, options.weights, options.held_out_ids)
    slope, price, pairs = price_of_waiting(t)
    title = f"Price of waiting: {len(t.identity)} tracklets, {pairs} cross-camera pairs"
    print_table(title, ("log-odds per distance", "recency"), [(slope, price)])
    rows = []
    for threshold in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45):
        for name, worst in (("mean", 0.0), ("halfway", 0.5), ("largest", 1.0)):
            rows.append((threshold, name, *scores(t, threshold, worst)))
    header = ("threshold", "linkage", "precision", "recall", "F1")
    print_table("Linkage, pairwise over held-out people", header, rows)


if __name__ == "__main__":
    main()
