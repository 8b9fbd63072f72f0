"""Time of CMC and mAP from a distance matrix, beside torchreid's Python, on the same matrix.

    python -m benchmarks.evaluation                     the shape of Market-1501: 3,368 x 15,913
    python -m benchmarks.evaluation --queries 200 --gallery 2000

The matrix is made up: clustered people, so that true matches lie near as real ones do. torchreid
(`pip install torchreid gdown`) may have a Cython version besides; its Python one is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import print_table
from reid.evaluation.scores import distance_accuracy

CAMERAS = 6
RANKS = 10
DIM = 64
SPREAD = 1.1  # of one person's images around their mean, in units of the people's own spread


def made_up(
    queries: int, gallery: int, seed: int
) -> tuple[NDArray[np.float32], tuple[NDArray[np.int64], ...]]:
    """A distance matrix (P, G) and (query ids, gallery ids, query cameras, gallery cameras)."""
    rng = np.random.default_rng(seed)
    people = max(2, gallery // 20)
    ids = (rng.integers(people, size=queries), rng.integers(people, size=gallery))
    cameras = (rng.integers(CAMERAS, size=queries), rng.integers(CAMERAS, size=gallery))
    means = rng.normal(size=(people, DIM))
    features = [means[i] + SPREAD * rng.normal(size=(len(i), DIM)) for i in ids]
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in features]
    return (1 - unit[0] @ unit[1].T).astype(np.float32), (*ids, *cameras)


def peer() -> Any:
    """Torchreid's `evaluate_rank`, or the end of the program."""
    warnings.filterwarnings("ignore", message="Cython evaluation")
    for name in ("torchreid.reid.metrics.rank", "torchreid.metrics.rank"):
        try:
            return import_module(name).evaluate_rank
        except ImportError:
            continue
    sys.exit("torchreid is not installed: pip install torchreid gdown")


def timed(work: Callable[[], Any], repeats: int) -> tuple[Any, tuple[float, float]]:
    """What `work` returns, and its least (wall-clock, CPU) seconds; both sides use one thread."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter(), time.process_time()
        result = work()
        seconds.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return result, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the best counts")
    options = parser.parse_args()
    evaluate_rank = peer()
    distance, labels = made_up(options.queries, options.gallery, options.seed)

    ours, best = timed(lambda: distance_accuracy(distance, *labels, ranks=RANKS), options.repeats)
    (cmc, mean_ap), theirs = timed(
        lambda: evaluate_rank(distance, *labels, max_rank=RANKS, use_cython=False), 1
    )

    apart = max(float(np.abs(ours.cmc - cmc).max()), abs(ours.mean_ap - float(mean_ap)))
    rows = [
        ("crosscam", *best, float(ours.cmc[0]), f"{ours.mean_ap:.7f}"),
        ("torchreid, Python", *theirs, float(cmc[0]), f"{float(mean_ap):.7f}"),
    ]
    title = f"CMC and mAP of {options.queries} x {options.gallery}"
    print_table(title, ("", "seconds", "CPU seconds", "R1", "mAP"), rows)
    wall, cpu = (t / o for t, o in zip(theirs, best, strict=True))
    print(f"torchreid / crosscam: {wall:.1f} by the clock, {cpu:.1f} by CPU time")
    print(f"largest difference of a figure: {apart:.1e}")
    if apart > 1e-6:
        sys.exit("the figures differ by more than 1e-6")


if __name__ == "__main__":
    main()
