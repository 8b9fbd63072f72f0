"""What a model's distances mean, and which rows come near enough to a query to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reid.chance import Chance
from reid.distances import part_distance, rescore, tensors
from reid.embedding import weights_file
from reid.explain.explanation import MIN_SHARED, in_common
from reid.network.checkpoint import file_fingerprint, load_chance, load_thresholds, read_config
from reid.records import PartEmbeddings
from storage.vectors import VectorBlock

SELDOM = 1e-3  # of the pairs of different people: strong is only what is as rare as that
ENOUGH = 0.5  # of the parts: thresholds come from whole bodies, with fewer nothing is strong
ROUNDING = 1e-4  # what half precision and float32 may put on the wrong side of a limit


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a model's distances mean.

    Attributes:
        fingerprint: of the weights.
        gamma: D_part's share in Eq. 15.
        thresholds: as calibrated, for looking alike and possibly so; None: not calibrated.
        chance: how near different people come; None: not measured.
    """

    fingerprint: str
    gamma: float
    thresholds: tuple[float, float] | None
    chance: Chance | None = None

    @staticmethod
    def from_weights(weights: str = "default") -> Yardstick:
        """Read it from a model file, whose network is not loaded.

        Raises:
            ModelError: if the file is missing or damaged.
        """
        path = weights_file(weights)
        fingerprint = file_fingerprint(path)
        thresholds = load_thresholds(path, fingerprint)
        chance = load_chance(path, fingerprint)
        return Yardstick(fingerprint, read_config(path).gamma, thresholds, chance)

    @property
    def limits(self) -> tuple[float, float] | None:
        """Below the first a pair may be `strong`, below the second `possible`; None: uncalibrated.

        Strong is only what is rare in every scene that was measured: that may be nearer than the
        calibrated threshold.
        """
        if self.thresholds is None or self.chance is None:
            return self.thresholds
        sure, possible = self.thresholds
        return min(sure, self.chance.within(SELDOM)), possible

    def limit(self, level: str) -> float:
        """The distance below which a watch of this level may raise; 0: never."""
        if self.limits is None:
            return 0.0
        return self.limits[0] if level == "strong" else self.limits[1]


def thin(weights: Sequence[float] | None) -> bool:
    """Whether too few parts are trusted for a pair to be strong."""
    return weights is not None and sum(weights) < ENOUGH * len(weights)


def near(
    queries: PartEmbeddings,
    block: VectorBlock,
    limits: Sequence[float],
    allowed: Sequence[NDArray[np.bool_]],
    gamma: float,
    weights: Sequence[tuple[float, ...] | None],
) -> list[list[tuple[int, float]]]:
    """(row, D of Eq. 15) of what may lie below each query's limit and shares enough with it.

    All pairs by Eq. 2 in one matrix product. D_global is never negative, so D < limit needs
    D_part < limit / gamma: only such pairs are measured by Eq. 15, and none is missed.

    Args:
        queries: W queries, before `weights`.
        block: N tracklets of the same model.
        limits: per query; `ROUNDING` above it is let through, for a later look in float64.
        allowed: per query, (N,) the rows that it may find.
        gamma: D_part's share in Eq. 15.
        weights: per query, K of how far each part is trusted; None: each fully.
    """
    parts_p, overall_p, shown_p = tensors(queries)
    trusted = torch.tensor([one or (1.0,) * shown_p.shape[1] for one in weights])
    wanted = (parts_p, overall_p, shown_p * trusted)
    parts_g, overall_g, quality_g = (
        torch.from_numpy(a) for a in (block.parts, block.global_parts, block.quality)
    )
    parts_g, quality_g = parts_g.float(), quality_g.float()
    part = part_distance(wanted[0], wanted[2], parts_g, quality_g)
    shared = F.normalize(shown_p, dim=-1) @ F.normalize(quality_g, dim=-1).mT
    for i in (i for i, one in enumerate(weights) if one is not None):
        shared[i] = in_common(shown_p[i], quality_g, trusted[i])
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
