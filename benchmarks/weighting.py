"""How a model's distances are best weighed: gamma, and a power of q, on held-out people.

    python -m benchmarks.weighting --data market1501/ --data cuhk01/ --data cuhk03/

The paper ranks by Eq. 2 with q as predicted, then by Eq. 15 with gamma 0.6. Neither is trained, so
both can be chosen afterwards, on the people of `benchmarks.held_out` alone. The interval (95 %) is
that of the gain in mAP, from 1,000 resamples of the identities.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import print_table
from benchmarks.occlusion import Files, embed_occluded
from reid.datasets import Sample, hold_out, split_queries
from reid.datasets.registry import load_training
from reid.distances import global_distance, part_distance, tensors
from reid.embedding import Embedder
from reid.evaluation.sets import EvaluationSettings, embed_samples
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

POWERS = (1.0, 0.5, 0.0)
GAMMAS = (0.6, 0.8, 1.0)
RESAMPLES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="as in training")
    parser.add_argument("--weights", default="default", help="model file")
    parser.add_argument("--held-out-ids", type=int, default=200, help="as in training")
    parser.add_argument("--precision", default="float32", choices=("auto", "float32", "bfloat16"))
    options = parser.parse_args()
    trained, held = hold_out(load_training(options.data, everybody=True), options.held_out_ids)
    query, gallery = split_queries(held)
    embedder = Embedder.from_settings(
        EmbeddingSettings(weights=options.weights, precision=options.precision)
    )
    settings = EvaluationSettings.of(embedder)
    known = embed_samples(embedder, gallery)
    sets = [embed_samples(embedder, query), embed_occluded(embedder, query, Files(trained))]
    people = np.array([sample.identity for sample in query])

    def of(power: float, gamma: float) -> list[NDArray[np.float64]]:
        return [precisions(s, known, query, gallery, power, gamma, settings.top_n) for s in sets]

    usual = of(1.0, settings.gamma)
    rows: list[tuple[object, ...]] = []
    for power in POWERS:
        for gamma in GAMMAS:
            found = of(power, gamma)
            gain = np.mean([new - old for new, old in zip(found, usual, strict=True)], axis=0)
            low, high = interval(gain, people)
            means = [float(np.nanmean(values)) for values in found]
            rows.append((power, gamma, *means, float(np.nanmean(gain)), low, high))
    print_table(
        f"{options.held_out_ids} held-out people, {embedder.description}: mAP by the power of q "
        f"and gamma; shipped: 1 and {settings.gamma:g}",
        ("power of q", "gamma", "mAP", "occluded mAP", "mean gain", "from", "to"),
        rows,
    )


def precisions(
    probes: PartEmbeddings,
    known: PartEmbeddings,
    query: list[Sample],
    gallery: list[Sample],
    power: float,
    gamma: float,
    top_n: int,
) -> NDArray[np.float64]:
    """(P,) average precision of each probe; NaN where nobody of another camera is to be found."""
    (parts, whole, quality), (parts2, whole2, quality2) = tensors(probes), tensors(known)
    quality, quality2 = quality**power, quality2**power
    first = part_distance(parts, quality, parts2, quality2)
    both = gamma * first + (1 - gamma) * global_distance(whole, quality, whole2, quality2)
    identity, camera = (_labels(gallery, name) for name in ("identity", "camera"))
    found = [
        _precision(first[row], both[row], top_n, sample, identity, camera)
        for row, sample in enumerate(query)
    ]
    return np.array(found)


def interval(gain: NDArray[np.float64], people: NDArray[np.int64]) -> tuple[float, float]:
    """95 % of the mean gain when identities are drawn anew."""
    counted = ~np.isnan(gain)
    names, which = np.unique(people[counted], return_inverse=True)
    sums = np.bincount(which, gain[counted], len(names))
    numbers = np.bincount(which, minlength=len(names))
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / numbers[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _precision(
    first: Tensor,
    both: Tensor,
    top_n: int,
    sample: Sample,
    identity: NDArray[np.int64],
    camera: NDArray[np.int64],
) -> float:
    order = torch.argsort(first, stable=True)
    head = order[:top_n]
    order = torch.cat([head[torch.argsort(both[head], stable=True)], order[top_n:]])
    rows = order.numpy()
    same = identity[rows] == sample.identity
    matches = same[~(same & (camera[rows] == sample.camera))]
    if not matches.any():
        return float("nan")
    places = np.flatnonzero(matches)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def _labels(samples: list[Sample], name: str) -> NDArray[np.int64]:
    return np.array([getattr(sample, name) for sample in samples])


if __name__ == "__main__":
    main()
