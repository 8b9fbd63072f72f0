"""Rank-1 and mAP of a model on Market-1501 (single query, two-stage), and on Partial-REID.

python -m benchmarks.market --data market1501/ [--partial partial_reid/] [--weights FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import print_table
from reid.datasets import market1501
from reid.embedding import Embedder, embed_files
from reid.evaluation import accuracy, two_stage_order
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings


def embed(embedder: Embedder, paths: Sequence[Path]) -> PartEmbeddings:
    return PartEmbeddings.concatenate(list(embed_files(embedder, paths)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--partial", type=Path, help="unpacked Partial-REID: test only")
    options = parser.parse_args()
    embedder = Embedder.from_settings(EmbeddingSettings(weights=options.weights))
    shape = embedder.config
    rows = []
    splits = [market1501(options.data, s) for s in ("query", "gallery")]
    sets = [("Market-1501", [(s.path, s.identity, s.camera) for s in splits[0]],
             [(s.path, s.identity, s.camera) for s in splits[1]])]  # fmt: skip
    if options.partial:
        sets.append(("Partial-REID, occluded queries", *partial_reid(options.partial)))
    for name, query, gallery in sets:
        q, g = (embed(embedder, [p for p, _, _ in s]) for s in (query, gallery))
        order = two_stage_order(q, g, shape.gamma, shape.top_n)
        labels = [np.array([s[i] for s in part]) for i in (1, 2) for part in (query, gallery)]
        found = accuracy(order, *labels)
        rows.append((name, len(query), len(gallery), *(float(found.cmc[r]) for r in (0, 2, 4)),
                     found.mean_ap))  # fmt: skip
    title = f"{shape.backbone}, {shape.height}x{shape.width}, d={shape.dim}, {embedder.description}"
    print_table(title, ("set", "queries", "gallery", "R1", "R3", "R5", "mAP"), rows)


def partial_reid(root: Path) -> tuple[list[tuple[Path, int, int]], list[tuple[Path, int, int]]]:
    """Occluded images against whole ones; query camera 0, gallery camera 1 (qpm_notes)."""
    sides = []
    for camera, folder in enumerate(("occluded_body_images", "whole_body_images")):
        paths = sorted((root / folder).glob("*.jpg"))
        sides.append([(p, int(p.name.split("_")[0]), camera) for p in paths])
    return sides[0], sides[1]


if __name__ == "__main__":
    main()
