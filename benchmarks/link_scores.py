"""How good a grouping of tracklets to identities is: pairs, and the identities themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Pairwise scores: of the linked pairs the share that is right, of the true pairs the share
    that is linked, and their harmonic mean. Without any such pair a share is 0.
    """

    precision: float
    recall: float
    f1: float
    linked: int
    true: int


def pairwise_scores(truth: Labels, found: Labels, camera: Labels | None = None) -> PairScores:
    """Count pairs of tracklets, from contingency tables: no pair is ever listed.

    A pair is true if both are one person, linked if both have one identity. A distractor (truth 0)
    is nobody's pair: linked to a person it is a wrong link, linked to another distractor it does
    not count, for nobody knows whether they are the same.

    Args:
        truth: (N,) person per tracklet, 0 for a distractor.
        found: (N,) identity per tracklet.
        camera: (N,) count only pairs of two cameras; None counts all.
    """
    person = truth != 0
    right = _within(truth[person], found[person])
    true = _within(truth[person])
    linked = _within(found) - _within(found[~person])
    if camera is not None:
        right -= _within(truth[person], found[person], camera[person])
        true -= _within(truth[person], camera[person])
        linked -= _within(found, camera) - _within(found[~person], camera[~person])
    precision, recall = right / max(linked, 1), right / max(true, 1)
    f1 = 2 * right / max(linked + true, 1)
    return PairScores(precision, recall, f1, linked, true)


def _within(*labels: Labels) -> int:
    """Pairs that agree in all of the labels."""
    if not len(labels[0]):
        return 0
    count = np.unique(np.stack(labels), axis=1, return_counts=True)[1].astype(np.int64)
    return int((count * (count - 1) // 2).sum())


def identity_f1(truth: Labels, found: Labels, images: Labels) -> dict[str, float]:
    """IDF1, IDP and IDR by trackeval's Identity metric; every image is one detection.

    Each person is matched with one identity, so that the most images agree.

    Args:
        truth: (N,) person per tracklet, 0 for a distractor, which no person may match.
        found: (N,) identity per tracklet.
        images: (N,) number of images per tracklet.
    """
    from trackeval.metrics import Identity

    people, person = np.unique(truth[truth != 0], return_inverse=True)
    identities, identity = np.unique(found, return_inverse=True)
    row = np.full(len(truth), -1)
    row[truth != 0] = person
    real = np.repeat(row, images)
    claimed = np.repeat(identity, images)
    moments = list(zip(real, claimed, strict=True))  # one image a moment, so nothing can collide
    scores = Identity({"PRINT_CONFIG": False}).eval_sequence(
        {
            "gt_ids": [np.array([r] if r >= 0 else [], int) for r, _ in moments],
            "tracker_ids": [np.array([c], int) for _, c in moments],
            "similarity_scores": [np.ones((int(r >= 0), 1)) for r, _ in moments],
            "num_gt_dets": int((real >= 0).sum()),
            "num_tracker_dets": len(claimed),
            "num_gt_ids": len(people),
            "num_tracker_ids": len(identities),
        }
    )
    return {key: float(scores[key]) for key in ("IDF1", "IDP", "IDR")}
