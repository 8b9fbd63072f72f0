"""Ranking and its figures: CMC and mAP, single query, two-stage (Sec. III-D, IV-A)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.distances import part_distance, rescore, tensors
from reid.records import PartEmbeddings, check_same_model


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Figures over all queries that have a true match.

    Attributes:
        cmc: (R,) float64, share of queries with a true match among the first r + 1.
        mean_ap: mean average precision.
        queries: number of queries that count.
    """

    cmc: NDArray[np.float64]
    mean_ap: float
    queries: int


def two_stage_order(
    probe: PartEmbeddings, gallery: PartEmbeddings, gamma: float, top_n: int, block: int = 64
) -> NDArray[np.int64]:
    """Gallery rows per probe, best first: Eq. 2 over all, the first n re-ordered by Eq. 15.

    The n re-scored rows stay a block ahead of the rest; both sorts are stable.

    Returns:
        (P, G) int64.
    """
    check_same_model(probe, gallery)
    g = tensors(gallery)
    p = tensors(probe)
    n = min(top_n, len(gallery))
    orders = []
    for first in range(0, len(probe), block):
        parts, overall, quality = (t[first : first + block] for t in p)
        order = part_distance(parts, quality, g[0], g[2]).argsort(dim=1, stable=True)
        for i in range(len(order)):
            head = order[i, :n]
            scores = rescore(
                parts[i : i + 1],
                overall[i : i + 1],
                quality[i : i + 1],
                g[0][head],
                g[1][head],
                g[2][head],
                gamma,
            )[0]
            order[i, :n] = head[scores.argsort(stable=True)]
        orders.append(order.numpy())
    return np.concatenate(orders)


def accuracy(
    order: NDArray[np.int64],
    probe_ids: NDArray[np.int64],
    gallery_ids: NDArray[np.int64],
    probe_cameras: NDArray[np.int64],
    gallery_cameras: NDArray[np.int64],
    ranks: int = 10,
) -> Accuracy:
    """CMC and mAP of a ranking; the gallery's images of the same id *and* camera do not count.

    Args:
        order: (P, G) from `two_stage_order`.
        probe_ids: (P,) identities.
        gallery_ids: (G,) identities.
        probe_cameras: (P,) cameras.
        gallery_cameras: (G,) cameras.
        ranks: length of the CMC curve.
    """
    cmc, precisions = [], []
    for row, identity, camera in zip(order, probe_ids, probe_cameras, strict=True):
        same = gallery_ids[row] == identity
        hits = same[~(same & (gallery_cameras[row] == camera))]
        if not hits.any():
            continue
        cmc.append(hits.cumsum()[:ranks].clip(max=1))
        found = np.flatnonzero(hits)
        precisions.append((np.arange(1, len(found) + 1) / (found + 1)).mean())
    if not cmc:
        raise ValueError("no query has a true match in the gallery")
    return Accuracy(np.mean(cmc, axis=0), float(np.mean(precisions)), len(cmc))
