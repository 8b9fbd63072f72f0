"""Where two of the matcher's settings come from: held-out Market-1501 people, as tracklets in time.

    python -m benchmarks.market_links --data market1501/

1. The price of waiting (`matching.recency`): a logistic regression of "same person" on the Eq. 15
   distance and the log of the seconds between (`benchmarks.market_clock`), over pairs of two
   cameras.
2. The linkage: pairwise precision, recall and F1 of clustering with the mean of a cluster pair's
   distances, the largest, and halfway between, over thresholds (without the price of waiting).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import print_table
from benchmarks.market_clock import PAUSE, begins, market_clock
from reid.datasets import hold_out, training_samples
from reid.embedding import Embedder, embed_files
from reid.evaluation.calibrate import pair_distances
from reid.evaluation.market_tracks import group_tracks, spread
from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

PICTURES = 6  # of each tracklet, spread evenly

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tracklets:
    """N tracklets: (N, N) distance and seconds between; (N,) identity and camera."""

    distance: Array
    gap: Array
    identity: NDArray[np.int64]
    camera: NDArray[np.int64]


def load(data: Path, weights: str, held_out: int) -> Tracklets:
    embedder = Embedder.from_settings(EmbeddingSettings(weights=weights))
    clock = market_clock(data)
    tracks = group_tracks(hold_out(training_samples(data), held_out)[1], PAUSE)
    pooled = []
    for track in tracks:
        crops = embed_files(embedder, spread(track.paths, PICTURES))
        pooled.append(pool(PartEmbeddings.concatenate(list(crops))))
    start = np.array([begins(clock, t) + t.times[0] for t in tracks])
    end = np.array([begins(clock, t) + t.times[-1] for t in tracks])
    gap = np.maximum(start[:, None], start[None]) - np.minimum(end[:, None], end[None])
    distance = pair_distances(PartEmbeddings.concatenate(pooled), embedder.config.gamma)
    keys = np.array([(t.identity, t.camera) for t in tracks])
    return Tracklets(distance.astype(float), np.maximum(gap, 0.0), *keys.T)


def price_of_waiting(t: Tracklets) -> tuple[float, float, int]:
    """Ratio of the regression's coefficients (Newton's method; both classes weigh the same)."""
    pairs = np.triu(t.camera[:, None] != t.camera[None], 1)
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
    blocked = (t.camera[:, None] == t.camera[None]) & (t.gap == 0)
    labels = cluster(t.distance, blocked, threshold, worst)
    same = np.triu(t.identity[:, None] == t.identity[None], 1)
    linked = np.triu(labels[:, None] == labels[None], 1)
    right, found, true = int((same & linked).sum()), int(linked.sum()), int(same.sum())
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
