"""Choose the link threshold on held-out training identities, never on a test set.

    python -m reid.evaluation.calibrate --data market1501/ --weights FILE

Market-1501's file names hold camera and sequence: the images of one identity
in one sequence make a tracklet. Tracklets are pooled as the pipeline pools
them, every pair of two different cameras gets its Eq. 15 distance, and the
threshold is the distance at which a given share of the pairs of *different*
people would be linked (the false accept rate).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reid.distances import rescore
from reid.embedding import Embedder, embed_files
from reid.evaluation.market_tracks import group_tracks, spread
from reid.network.checkpoint import calibration_file, load_model
from reid.pooling import pool
from reid.records import PartEmbeddings

FALSE_ACCEPT = 1e-3
POSSIBLE = 10  # times as many false accepts make a match merely possible


@dataclass(frozen=True, slots=True)
class Calibration:
    """The threshold and what it was chosen from."""

    threshold: float
    possible: float
    false_accept: float
    true_accept: float
    pairs: int
    tracklets: int
    fingerprint: str


def calibrate(
    distance: NDArray[np.float32], same: NDArray[np.bool_], false_accept: float
) -> tuple[float, float]:
    """Threshold with the given false accept rate, and the true accept rate there.

    Args:
        distance: (M,) of the pairs.
        same: (M,) True where both are one person.
        false_accept: share of the different pairs that may lie below, 0..1.
    """
    threshold = float(np.quantile(distance[~same], false_accept))
    return threshold, float((distance[same] < threshold).mean())


def pair_distances(tracklets: PartEmbeddings, gamma: float) -> NDArray[np.float32]:
    """Eq. 15 of every pair of N pooled tracklets: (N, N)."""
    parts, overall, quality = (
        torch.from_numpy(a) for a in (tracklets.parts, tracklets.global_parts, tracklets.quality)
    )
    rows = [
        rescore(
            parts[i : i + 64],
            overall[i : i + 64],
            quality[i : i + 64],
            parts,
            overall,
            quality,
            gamma,
        )
        for i in range(0, len(parts), 64)
    ]
    return np.asarray(torch.cat(rows).numpy(), dtype=np.float32)


def market_tracklets(
    embedder: Embedder, data: Path, held_out: int, limit: int
) -> tuple[PartEmbeddings, NDArray[np.int64], NDArray[np.int64]]:
    """Pooled tracklets of the held-out identities, their identities and cameras."""
    from reid.datasets import hold_out, training_samples

    tracks = group_tracks(hold_out(training_samples(data), held_out)[1])
    chosen = [spread(t.paths, limit) for t in tracks]
    embedded = PartEmbeddings.concatenate(
        list(embed_files(embedder, [p for paths in chosen for p in paths]))
    )
    ends = np.cumsum([len(paths) for paths in chosen])
    pooled = [
        pool(embedded[slice(int(end) - len(paths), int(end))])
        for end, paths in zip(ends, chosen, strict=True)
    ]
    return (
        PartEmbeddings.concatenate(pooled),
        np.array([t.identity for t in tracks]),
        np.array([t.camera for t in tracks]),
    )


def run(weights: Path, data: Path, held_out: int, false_accept: float) -> Calibration:
    """Calibrate a model file."""
    from reid.settings import EmbeddingSettings

    model, fingerprint = load_model(weights)
    embedder = Embedder(model, fingerprint, EmbeddingSettings())
    tracklets, identities, cameras = market_tracklets(embedder, data, held_out, limit=6)
    distance = pair_distances(tracklets, embedder.config.gamma)
    upper = np.triu(cameras[:, None] != cameras[None], k=1)
    same = (identities[:, None] == identities[None])[upper]
    threshold, accepted = calibrate(distance[upper], same, false_accept)
    possible, _ = calibrate(distance[upper], same, POSSIBLE * false_accept)
    return Calibration(
        round(threshold, 4),
        round(possible, 4),
        false_accept,
        round(accepted, 4),
        int(upper.sum()),
        len(tracklets),
        embedder.fingerprint,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate and write the JSON beside the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out-ids", type=int, default=100)
    parser.add_argument("--false-accept", type=float, default=FALSE_ACCEPT)
    options = parser.parse_args(argv)
    result = run(options.weights, options.data, options.held_out_ids, options.false_accept)
    text = json.dumps(asdict(result), indent=2)
    calibration_file(options.weights).write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
