"""Eq. 14 (16 in the ablation): which losses a training run sums."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid.training import losses
from reid.training.config import TrainConfig


def loss_terms(
    model: nn.Module,
    heads: nn.Module,
    images: Tensor,
    labels: Tensor,
    config: TrainConfig,
    visible: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms of Eq. 14 on one batch: all five for QPM, and what an arm has of them.

    Args:
        model: `QPM`, in training mode.
        heads: `Classifiers` of the same configuration.
        images: (N, 3, H, W) normalised RGB.
        labels: (N,) int64, 0..C-1.
        config: of the run.
        visible: (N, K) share of each stripe that no augmentation covered; None: all of it.

    Returns:
        Scalars in float32 by name: `part_id` (Eq. 1) always; `part_tp` (Eq. 3) with
        `part_triplet`; `global_id` (Eq. 6) with ISA; `pair_id` (Eq. 12) and `global_tp`
        (Eq. 13) with a global branch.
    """
    f = model(images)
    logits = heads(f)
    smooth, margin = config.label_smoothing, config.margin
    counts = visible > config.min_visible if visible is not None and config.min_visible else None
    with torch.autocast(images.device.type, enabled=False):
        part_id = losses.part_identity_loss(logits.part.float(), labels, smooth, counts)
        terms = {"part_id": part_id}
        if config.part_triplet:
            terms["part_tp"] = losses.part_triplet_loss(f.parts.float(), f.quality, labels, margin)
        if logits.reduced is not None:
            terms["global_id"] = losses.global_identity_loss(logits.reduced.float(), labels, smooth)
        if logits.pair is not None:
            terms["pair_id"] = losses.pair_identity_loss(
                logits.pair.float(), f.quality, labels, smooth
            )
            terms["global_tp"] = losses.global_triplet_loss(
                f.global_parts.float(), f.quality, labels, margin
            )
    return terms
