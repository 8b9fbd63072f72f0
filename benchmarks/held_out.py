"""Which model to ship: R1 and mAP on people held out of the training sets; clean, occluded, small.

    python -m benchmarks.held_out --data market1501/ --data cuhk01/ --data cuhk03/ --weights FILE

The people are those that `crosscam train --everybody` with the same sets and `held_out_ids` keeps
away: all models that are compared must have been trained so. The occluders are those of
`benchmarks.occlusion`; their pixels come from people who were trained on, so nobody in the gallery
is pasted. The small ones are probes of two fifths of their pixels a side, as a far camera sees
people. No test set is touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import print_table
from benchmarks.occlusion import Files, embed_occluded
from reid.datasets import Sample, hold_out, read_image, split_queries
from reid.datasets.registry import load_training
from reid.embedding import Embedder
from reid.evaluation.scores import evaluate
from reid.evaluation.sets import CHUNK, EvaluationSettings, embed_samples
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

SMALL = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="as in training")
    parser.add_argument("--weights", action="append", help="model file or `default`")
    parser.add_argument("--held-out-ids", type=int, default=200, help="as in training")
    options = parser.parse_args()
    trained, held = hold_out(load_training(options.data, everybody=True), options.held_out_ids)
    query, gallery = split_queries(held)
    donors = Files(trained)
    rows: list[tuple[object, ...]] = []
    for weights in options.weights or ["default"]:
        embedder = Embedder.from_settings(EmbeddingSettings(weights=weights))
        settings = EvaluationSettings.of(embedder)
        known = embed_samples(embedder, gallery)
        figures: list[float] = []
        for probes in (
            embed_samples(embedder, query),
            embed_occluded(embedder, query, donors),
            embed_small(embedder, query),
        ):
            found = evaluate(
                probes, known, query, gallery, gamma=settings.gamma, top_n=settings.top_n
            )
            figures += [float(found.cmc[0]), found.mean_ap]
        name = f"{Path(weights).parent.name}/{Path(weights).stem}".lstrip("/")
        means = (figures[1] + figures[3]) / 2, sum(figures[1::2]) / 3
        rows.append((name, embedder.fingerprint, *figures, *means))
    print_table(
        f"{options.held_out_ids} held-out people: {len(query)} probes, {len(gallery)} images",
        ("weights", "model", "R1", "mAP", "occluded R1", "occluded mAP", "small R1", "small mAP",
         "mean mAP of the first two", "of all"),
        rows,
    )  # fmt: skip


def embed_small(embedder: Embedder, queries: Sequence[Sample]) -> PartEmbeddings:
    """Embeddings of the probes after they lost three fifths of their pixels a side."""
    batches = []
    for first in range(0, len(queries), CHUNK):
        images = [read_image(s.path)[:, :, ::-1] for s in queries[first : first + CHUNK]]
        small = [
            cv2.resize(i, None, fx=SMALL, fy=SMALL, interpolation=cv2.INTER_AREA) for i in images
        ]
        batches.append(embedder.embed([np.asarray(i, np.uint8) for i in small]))
    return PartEmbeddings.concatenate(batches)


if __name__ == "__main__":
    main()
