"""Eqs. 1, 3, 6, 12, 13 and 14: the losses of QPM.

Shapes: N images, K parts, d dimensions, C identities. Labels are (N,) int64.
Hard cases are mined inside the batch; gradients flow into the qualities, as
the paper optimises features and qualities together (Sec. III-A).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.distances import global_distance, pair_weights, part_distance


def part_identity_loss(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, counts: Tensor | None = None
) -> Tensor:
    """Eq. 1: sum over parts of the mean cross-entropy.

    Args:
        logits: (N, K, C).
        labels: (N,) int64.
        smoothing: label smoothing.
        counts: (N, K) bool, the stripes that take part; None: all, as in the paper.

    Returns:
        K times the mean over the stripes that take part; 0 if none does.
    """
    _, parts, _ = logits.shape
    each = F.cross_entropy(
        logits.flatten(0, 1),
        labels.repeat_interleave(parts),
        label_smoothing=smoothing,
        reduction="none",
    )
    if counts is None:
        return each.mean() * parts
    chosen = counts.flatten().to(each.dtype)
    return (each * chosen).sum() / chosen.sum().clamp_min(1) * parts


def hard_triplet_loss(distance: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Eqs. 3 and 13 over an (N, N) distance: hardest positive and negative of each anchor.

    The sum is divided by N_tp, the number of triplets that violate the margin
    (1 at least), not by the number of anchors.
    """
    same = labels[:, None] == labels[None]
    hardest_positive = distance.masked_fill(~same, -torch.inf).amax(1)
    hardest_negative = distance.masked_fill(same, torch.inf).amin(1)
    violation = (margin + hardest_positive - hardest_negative).clamp_min(0)
    return violation.sum() / (violation > 0).sum().clamp_min(1)


def part_triplet_loss(parts: Tensor, quality: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Eq. 3 on Eq. 2's distances."""
    return hard_triplet_loss(part_distance(parts, quality, parts, quality), labels, margin)


def global_identity_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Eq. 6 on the logits (N, C) of h^, the output of ISA's first conv before its ReLU."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def pair_identity_loss(
    part_logits: Tensor, quality: Tensor, labels: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Eq. 12 without an N x N x d tensor.

    W^s is linear and has no bias, so the logits of h_g^p are the per-part
    logits (N, K, C) mixed with Eq. 11's weights. Over all ordered pairs both
    terms of Eq. 12 run through the same set, hence twice the mean.
    """
    n, _, classes = part_logits.shape
    mixed = torch.bmm(pair_weights(quality, quality), part_logits)  # [p, g] -> h_g^p, p's label
    loss = F.cross_entropy(
        mixed.reshape(n * n, classes), labels.repeat_interleave(n), label_smoothing=smoothing
    )
    return 2 * loss


def global_triplet_loss(
    global_parts: Tensor, quality: Tensor, labels: Tensor, margin: float
) -> Tensor:
    """Eq. 13 on the cosine distances of Eqs. 9 and 10."""
    distance = global_distance(global_parts, quality, global_parts, quality)
    return hard_triplet_loss(distance, labels, margin)
