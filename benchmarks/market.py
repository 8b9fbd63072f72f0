"""Rank-1 and mAP of a model on Market-1501 (single query, two-stage), and on Partial-REID.

python -m benchmarks.market --data market1501/ [--partial partial_reid/] [--weights FILE]

`crosscam evaluate` gives the same figures for any set; this prints them as Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common import print_table
from reid.datasets import open_dataset
from reid.embedding import Embedder
from reid.evaluation.sets import EvaluationSettings, evaluate_set
from reid.settings import EmbeddingSettings

RANKS = (1, 3, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--partial", type=Path, help="unpacked Partial-REID: test only")
    options = parser.parse_args()
    datasets = [open_dataset(options.data, "market1501")]
    if options.partial:
        datasets.append(open_dataset(options.partial, "partial-reid"))
    embedder = Embedder.from_settings(EmbeddingSettings(weights=options.weights))
    settings = EvaluationSettings.of(embedder)
    rows = []
    for found in (f for d in datasets for f in evaluate_set(embedder, d, settings)):
        cmc = (float(found.accuracy.cmc[r - 1]) for r in RANKS)
        means = (found.accuracy.mean_ap, found.accuracy.mean_inp)
        rows.append((found.title, found.queries, found.gallery, *cmc, *means))
    shape = embedder.config
    title = f"{shape.backbone}, {shape.height}x{shape.width}, d={shape.dim}, {embedder.description}"
    header = ("set", "queries", "gallery", *(f"R{r}" for r in RANKS), "mAP", "mINP")
    print_table(title, header, rows)


if __name__ == "__main__":
    main()
