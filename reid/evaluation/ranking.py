"""Who comes first: distances of all pairs in blocks, and the first n re-scored (Sec. IV-A).

Shapes: P probes, G gallery items, B probes of one block, n re-scored candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reid.distances import combined_distance, global_features, part_distance, rescore, tensors
from reid.records import PartEmbeddings, check_same_model

Ranking = Literal["two_stage", "exhaustive"]
PAIRS = 2048  # pairs whose global features are mixed together: 50 MB at K = 6, d = 1024
GALLERY_BLOCK = 512  # gallery items of one exhaustive block


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The ranking of some probes, without sorting the whole gallery.

    Attributes:
        first: row of the first probe.
        distance: (B, G) float32: Eq. 2, or Eq. 15 if the ranking is exhaustive.
        ordered: (B, G) float32, each row of `distance` sorted.
        head: (B, n) int64, the n gallery rows of least distance in the order of Eq. 15; they
            precede all others. n = 0 if the ranking is exhaustive.
    """

    first: int
    distance: NDArray[np.float32]
    ordered: NDArray[np.float32]
    head: NDArray[np.int64]


def ranked_blocks(
    probe: PartEmbeddings,
    gallery: PartEmbeddings,
    gamma: float,
    top_n: int,
    ranking: Ranking = "two_stage",
    block: int = 256,
) -> Iterator[Block]:
    """Rank all probes, `block` of them at a time: memory is O(B G) whatever P is.

    Raises:
        FingerprintMismatch: if the embeddings come from two models.
        ValueError: if a distance is not a number.
    """
    check_same_model(probe, gallery)
    everyone, g = tensors(probe), tensors(gallery)
    n = min(top_n, len(gallery)) if ranking == "two_stage" else 0
    for first in range(0, len(probe), block):
        p = tuple(t[first : first + block] for t in everyone)
        if ranking == "two_stage":
            measured = part_distance(p[0], p[2], g[0], g[2])
        else:
            columns = range(0, len(gallery), GALLERY_BLOCK)
            blocks = [tuple(t[c : c + GALLERY_BLOCK] for t in g) for c in columns]
            measured = torch.cat(
                [rescore(p[0], p[1], p[2], b[0], b[1], b[2], gamma) for b in blocks], dim=1
            )
        distance = measured.numpy()
        if not np.isfinite(distance).all():
            raise ValueError(f"a distance of probes {first} to {first + len(distance) - 1} is NaN")
        ordered = np.sort(distance, axis=1)
        candidates = torch.from_numpy(least(distance, ordered, n))
        scores = rescore_candidates(p, g, candidates, measured.gather(1, candidates), gamma)
        order = scores.argsort(dim=1, stable=True)
        yield Block(first, distance, ordered, candidates.gather(1, order).numpy())


def two_stage_order(
    probe: PartEmbeddings, gallery: PartEmbeddings, gamma: float, top_n: int, block: int = 256
) -> NDArray[np.int64]:
    """Gallery rows per probe, best first: Eq. 2 over all, the first n re-ordered by Eq. 15.

    The n re-scored rows stay a block ahead of the rest; both sorts are stable.

    Returns:
        (P, G) int64.
    """
    orders = np.empty((len(probe), len(gallery)), np.int64)
    for part in ranked_blocks(probe, gallery, gamma, top_n, block=block):
        rows = orders[part.first : part.first + len(part.distance)]
        rows[:] = part.distance.argsort(axis=1, kind="stable")
        rows[:, : part.head.shape[1]] = part.head
    return orders


def least(distance: NDArray[np.float32], ordered: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """The n columns of least distance per row, as a stable sort would give them: (B, n) int64."""
    chosen = np.empty((len(distance), n), np.int64)
    if n == 0:
        return chosen
    for row, values, limit in zip(chosen, distance, ordered[:, n - 1], strict=True):
        near = np.flatnonzero(values <= limit)
        row[:] = near[values[near].argsort(kind="stable")[:n]]
    return chosen


def rescore_candidates(
    probe: tuple[Tensor, ...],
    gallery: tuple[Tensor, ...],
    candidates: Tensor,
    part: Tensor,
    gamma: float,
) -> Tensor:
    """Eq. 15 of each probe with its own candidates: -> (B, n).

    Args:
        probe: parts (B, K, d), global parts (B, K, d), quality (B, K).
        gallery: the same of G items.
        candidates: (B, n) int64 rows of the gallery.
        part: (B, n), their Eq. 2 distances.
        gamma: share of the part distance.
    """
    overall = torch.empty_like(part)
    n = candidates.shape[1]
    step = max(1, PAIRS // max(n, 1))
    for first in range(0, len(candidates) if n else 0, step):
        chosen = candidates[first : first + step].flatten()
        own = torch.arange(first, first + len(chosen) // n).repeat_interleave(n)
        pair = global_features(probe[1][own], probe[2][own], gallery[1][chosen], gallery[2][chosen])
        distance = 1 - F.cosine_similarity(*pair, dim=-1, eps=1e-12)
        overall[first : first + step] = distance.view(-1, n)
    return combined_distance(part, overall, gamma)
