"""Eq. 14: which losses a training run sums."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid import losses
from reid.train_config import TrainConfig


def loss_terms(
    model: nn.Module, heads: nn.Module, images: Tensor, labels: Tensor, config: TrainConfig
) -> dict[str, Tensor]:
    """The five terms of Eq. 14 on one batch."""
    f = model(images)
    part_logits, reduced_logits, pair_logits = heads(f)
    with torch.autocast(images.device.type, enabled=False):
        parts, global_parts = f.parts.float(), f.global_parts.float()
        smooth = config.label_smoothing
        return {
            "part_id": losses.part_identity_loss(part_logits.float(), labels, smooth),
            "part_tp": losses.part_triplet_loss(parts, f.quality, labels, config.margin),
            "global_id": losses.global_identity_loss(reduced_logits.float(), labels, smooth),
            "pair_id": losses.pair_identity_loss(pair_logits.float(), f.quality, labels, smooth),
            "global_tp": losses.global_triplet_loss(global_parts, f.quality, labels, config.margin),
        }
