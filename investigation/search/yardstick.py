"""What a model's distances mean, and which rows come near enough to a query to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reid.distances import part_distance, rescore, tensors
from reid.embedding import weights_file
from reid.explain.explanation import MIN_SHARED
from reid.network.checkpoint import file_fingerprint, load_thresholds, read_config
from reid.records import PartEmbeddings
from storage.vectors import VectorBlock

ROUNDING = 1e-4  # what half precision and float32 may put on the wrong side of a limit


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a model's distances mean.

    Attributes:
        fingerprint: of the weights.
        gamma: D_part's share in Eq. 15.
        thresholds: below the first `strong`, below the second `possible`; None: not calibrated.
    """

    fingerprint: str
    gamma: float
    thresholds: tuple[float, float] | None

    @staticmethod
    def from_weights(weights: str = "default") -> Yardstick:
        """Read it from a model file, whose network is not loaded.

        Raises:
            ModelError: if the file is missing or damaged.
        """
        path = weights_file(weights)
        fingerprint = file_fingerprint(path)
        thresholds = load_thresholds(path, fingerprint)
        return Yardstick(fingerprint, read_config(path).gamma, thresholds)

    def limit(self, level: str) -> float:
        """The distance below which a watch of this level raises; 0 for an uncalibrated model."""
        if self.thresholds is None:
            return 0.0
        return self.thresholds[0] if level == "strong" else self.thresholds[1]


def near(
    queries: PartEmbeddings,
    block: VectorBlock,
    limits: Sequence[float],
    allowed: Sequence[NDArray[np.bool_]],
    gamma: float,
) -> list[list[tuple[int, float]]]:
    """(row, D of Eq. 15) of what may lie below each query's limit and shares enough with it.

    All pairs by Eq. 2 in one matrix product. D_global is never negative, so D < limit needs
    D_part < limit / gamma: only such pairs are measured by Eq. 15, and none is missed.

    Args:
        queries: W queries.
        block: N tracklets of the same model.
        limits: per query; `ROUNDING` above it is let through, for a later look in float64.
        allowed: per query, (N,) the rows that it may find.
        gamma: D_part's share in Eq. 15.
    """
    wanted = tensors(queries)
    parts_g, overall_g, quality_g = (
        torch.from_numpy(a) for a in (block.parts, block.global_parts, block.quality)
    )
    parts_g, quality_g = parts_g.float(), quality_g.float()
    part = part_distance(wanted[0], wanted[2], parts_g, quality_g)
    shared = F.normalize(wanted[2], dim=-1) @ F.normalize(quality_g, dim=-1).mT
    found: list[list[tuple[int, float]]] = []
    for i, (limit, passes) in enumerate(zip(limits, allowed, strict=True)):
        chosen = torch.from_numpy(passes) & (shared[i] >= MIN_SHARED - ROUNDING)
        if gamma > 0:
            chosen &= part[i] < (limit + ROUNDING) / gamma
        places = chosen.nonzero()[:, 0]
        parts, overall, quality = (t[i : i + 1] for t in wanted)
        # Few rows come this far: only theirs are widened from half precision.
        there = (parts_g[places], overall_g[places].float(), quality_g[places])
        distances = rescore(parts, overall, quality, *there, gamma)[0]
        pairs = zip(places.tolist(), distances.tolist(), strict=True)
        found.append([(row, d) for row, d in pairs if d < limit + ROUNDING])
    return found
