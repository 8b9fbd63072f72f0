"""Choose the link threshold on held-out training identities, never on a test set.

    python -m reid.evaluation.calibrate --data market1501/ --weights FILE
        [--scene cuhk01/ --scene cuhk03/]

`--data` and `--scene` together are the sets that the model was trained on; its file says how many
of their people were held out, and which images were left, so that nobody it knows comes in.
Market-1501's file names hold camera and sequence: the images of one identity
in one sequence make a tracklet. Tracklets are pooled as the pipeline pools
them, every pair of two different cameras gets its Eq. 15 distance, and the
threshold is the distance at which a given share of the pairs of *different*
people would be linked (the false accept rate). Few pairs of people decide it: the
interval says how far it would move had other people been held out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reid.datasets import Sample
from reid.distances import rescore
from reid.embedding import Embedder, embed_files
from reid.errors import CrosscamError, DataError
from reid.evaluation.bootstrap import people_pairs, threshold_interval
from reid.evaluation.kept_away import kept_away
from reid.evaluation.market_tracks import group_tracks, spread
from reid.network.checkpoint import calibration_file, load_model
from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

Precision = Literal["auto", "float32", "bfloat16"]
FALSE_ACCEPT = 1e-3
POSSIBLE = 10  # times as many false accepts make a match merely possible
SHARES = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
ENOUGH = 5  # distinct pairs of people below a distance, for their share to be said


@dataclass(frozen=True, slots=True)
class Calibration:
    """The threshold and what it was chosen from.

    Attributes:
        threshold: for the false accept rate asked for.
        interval: 95 % of it, over the held-out identities.
        possible: for ten times that rate.
        false_accept: the rate.
        true_accept: share of one person's pairs below the threshold.
        pairs: of two cameras' tracklets, of one person or two.
        different_pairs: those of two.
        people_pairs: how many distinct pairs of people lie below the threshold.
        tracklets: how many there are.
        strangers: (distance, share of different people below it).
        fingerprint: of the model.
        precision: of the embeddings.

    The shipped file is older than `interval`, `different_pairs`, `people_pairs` and `precision`;
    nothing that reads a calibration asks for them.
    """

    threshold: float
    interval: tuple[float, float]
    possible: float
    false_accept: float
    true_accept: float
    pairs: int
    different_pairs: int
    people_pairs: int
    tracklets: int
    strangers: tuple[tuple[float, float], ...]
    fingerprint: str
    precision: str


@dataclass(frozen=True, slots=True)
class CameraPairs:
    """All pairs of tracklets of two different cameras.

    Attributes:
        distance: (M,) Eq. 15.
        people: (M, 2) their identities.
        tracklets: how many tracklets there are.
    """

    distance: NDArray[np.float32]
    people: NDArray[np.int64]
    tracklets: int

    @property
    def same(self) -> NDArray[np.bool_]:
        """(M,) True where both are one person."""
        return np.asarray(self.people[:, 0] == self.people[:, 1])

    @property
    def strangers(self) -> CameraPairs:
        """The pairs of two people."""
        apart = ~self.same
        return CameraPairs(self.distance[apart], self.people[apart], self.tracklets)

    def below(self, distance: float) -> int:
        """How many distinct pairs of people lie below a distance."""
        return people_pairs(self.people[self.distance <= distance])


def chances(scenes: Sequence[CameraPairs]) -> list[tuple[float, float]]:
    """(distance, share of different people below it), of the scene where they come nearest.

    A share counts where enough distinct pairs of people back it; what a smaller share could say of
    a distance beyond that of a larger one is left out.

    Args:
        scenes: per scene, the pairs of different people.
    """
    points: list[tuple[float, float]] = []
    for share in reversed(SHARES):
        found = [(float(np.quantile(s.distance, share)), s) for s in scenes]
        backed = [distance for distance, scene in found if scene.below(distance) >= ENOUGH]
        nearest = round(min(backed, default=np.inf), 4)
        if nearest < (points[-1][0] if points else np.inf):
            points.append((nearest, share))
    return points[::-1]


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


def pooled_tracklets(
    embedder: Embedder, samples: Sequence[Sample], limit: int
) -> tuple[PartEmbeddings, NDArray[np.int64], NDArray[np.int64]]:
    """Tracklets of some people, pooled from at most `limit` images each; identities and cameras."""
    tracks = group_tracks(samples)
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


def camera_pairs(embedder: Embedder, root: Path, held: Sequence[Sample]) -> CameraPairs:
    """The pairs of two cameras' tracklets of a set's held-out people.

    Args:
        embedder: the model.
        root: the set whose people are meant.
        held: images of the held-out people of all sets.

    Raises:
        DataError: if the set's held-out people make no pair of one person, or none of two.
    """
    samples = [s for s in held if s.path.is_relative_to(root)]
    if not samples:
        raise DataError(f"{root}: none of the held-out people is of this set")
    tracklets, identities, cameras = pooled_tracklets(embedder, samples, limit=6)
    distance = pair_distances(tracklets, embedder.config.gamma)
    upper = np.triu(cameras[:, None] != cameras[None], k=1)
    people = np.stack([identities[side] for side in np.nonzero(upper)], axis=1)
    pairs = CameraPairs(distance[upper], people, len(tracklets))
    same = pairs.same
    if same.all() or not same.any():
        raise DataError(
            f"{root}: between two cameras, its {len(set(identities))} held-out people make "
            f"{np.count_nonzero(same)} pairs of one person and {np.count_nonzero(~same)} of two; "
            "both kinds are needed"
        )
    return pairs


def run(
    weights: Path,
    data: Path,
    false_accept: float,
    scenes: Sequence[Path] = (),
    held_out: int | None = None,
    precision: Precision = "auto",
) -> Calibration:
    """Calibrate a model file.

    Args:
        weights: the file.
        data: the set whose held-out people give the threshold.
        false_accept: share of the pairs of different people that the threshold lets through.
        scenes: the other sets that the model was trained on.
        held_out: how many people were kept away from the training; None: as the file says.
        precision: of the embeddings.

    Raises:
        ModelError: if nobody was held out of the training.
        DataError: if the model was trained on other data, or the people give no pairs.
    """
    held = kept_away(weights, [data, *scenes], held_out)
    model, fingerprint = load_model(weights)
    embedder = Embedder(model, fingerprint, EmbeddingSettings(precision=precision))
    pairs = camera_pairs(embedder, data, held)
    threshold, accepted = calibrate(pairs.distance, pairs.same, false_accept)
    possible, _ = calibrate(pairs.distance, pairs.same, POSSIBLE * false_accept)
    apart = pairs.strangers
    low, high = threshold_interval(apart.distance, apart.people, false_accept)
    others = [camera_pairs(embedder, scene, held).strangers for scene in scenes]
    return Calibration(
        threshold=round(threshold, 4),
        interval=(round(low, 4), round(high, 4)),
        possible=round(possible, 4),
        false_accept=false_accept,
        true_accept=round(accepted, 4),
        pairs=len(pairs.distance),
        different_pairs=len(apart.distance),
        people_pairs=apart.below(threshold),
        tracklets=pairs.tracklets,
        strangers=tuple(chances([apart, *others])),
        fingerprint=embedder.fingerprint,
        precision=embedder.precision,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate, print the JSON and write it beside the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out-ids", type=int, help="default: as the model's file says")
    parser.add_argument("--false-accept", type=float, default=FALSE_ACCEPT)
    parser.add_argument("--scene", type=Path, action="append", default=[])
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--dry-run", action="store_true", help="print it, write no file")
    options = parser.parse_args(argv)
    try:
        result = run(
            options.weights,
            options.data,
            options.false_accept,
            options.scene,
            options.held_out_ids,
            options.precision,
        )
    except CrosscamError as error:
        sys.stderr.write(f"calibrate: error: {error}\n")
        return 2
    text = json.dumps(asdict(result), indent=2)
    if not options.dry_run:
        calibration_file(options.weights).write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
