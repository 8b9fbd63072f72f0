"""Eqs. 2, 5, 9-11 and 15: distances between part embeddings.

Cosine distance is 1 - cos, in 0..2. A distance alone is not evidence: beside
each goes the pair's *support* sum_k q_k^p q_k^g, the denominator of Eq. 2, so
that a caller can abstain where little is shared.

Shapes: P probes, G gallery items, K parts, d dimensions. "For every pair"
allows leading axes that both sides share or broadcast: probes (B, 1, K, d)
against (B, n, K, d) are B queries, each with its own n candidates. All is
differentiable and keeps the dtype it is given.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.records import PartEmbeddings

TINY = 1e-12
# Numbers of the (P, K, G, K) cross Gram that exist at a time: on a CPU they stay in its cache,
# elsewhere few kernels start and the memory is bounded.
BLOCK_CPU, BLOCK_OTHER = 1 << 18, 1 << 25


def normalised_quality(quality: Tensor) -> Tensor:
    """Eq. 5: q^_k = q_k / sum_i q_i. (..., K) -> (..., K)."""
    return quality / quality.sum(-1, keepdim=True).clamp_min(TINY)


def pair_weights(quality_p: Tensor, quality_g: Tensor) -> Tensor:
    """Eq. 11 for every pair: (P, K), (G, K) -> (P, G, K), each row sums to 1."""
    product = normalised_quality(quality_p)[:, None] * normalised_quality(quality_g)[None]
    return product / product.sum(-1, keepdim=True).clamp_min(TINY)


def support(quality_p: Tensor, quality_g: Tensor) -> Tensor:
    """sum_k q_k^p q_k^g for every pair: (..., P, K), (..., G, K) -> (..., P, G)."""
    return quality_p @ quality_g.mT


def part_distances(parts_p: Tensor, parts_g: Tensor) -> Tensor:
    """d_k of Eq. 2 for every pair and part: (P, K, d), (G, K, d) -> (P, G, K)."""
    return 1 - torch.einsum(
        "pkd,gkd->pgk", F.normalize(parts_p, dim=-1), F.normalize(parts_g, dim=-1)
    )


def part_distance(parts_p: Tensor, quality_p: Tensor, parts_g: Tensor, quality_g: Tensor) -> Tensor:
    """Eq. 2 for every pair, as a ratio of two matrix products: -> (..., P, G).

    With U = concat_k(q_k f_k / |f_k|), D = 1 - (U_p U_g^T) / (Q_p Q_g^T). The
    scale of q cancels, so Eq. 5's goes in: small qualities stay clear of the
    guard. A pair without any shared quality gets the neutral distance 1
    (support 0).
    """
    quality_p, quality_g = normalised_quality(quality_p), normalised_quality(quality_g)
    u_p = (F.normalize(parts_p, dim=-1) * quality_p[..., None]).flatten(-2)
    u_g = (F.normalize(parts_g, dim=-1) * quality_g[..., None]).flatten(-2)
    return 1 - (u_p @ u_g.mT) / support(quality_p, quality_g).clamp_min(TINY)


def global_features(
    global_p: Tensor, quality_p: Tensor, global_g: Tensor, quality_g: Tensor
) -> tuple[Tensor, Tensor]:
    """Eqs. 9 and 10 for aligned pairs: (B, K, d), (B, K) twice -> h_g^p, h_p^g (B, d)."""
    weights = normalised_quality(normalised_quality(quality_p) * normalised_quality(quality_g))
    return (
        torch.einsum("bk,bkd->bd", weights, global_p),
        torch.einsum("bk,bkd->bd", weights, global_g),
    )


def gram(global_parts: Tensor) -> Tensor:
    """Each image's own K x K Gram matrix of g~_k: (..., N, K, d) -> (..., N, K, K)."""
    return global_parts @ global_parts.mT


def global_distance(
    global_p: Tensor, quality_p: Tensor, global_g: Tensor, quality_g: Tensor
) -> Tensor:
    """Cosine distance of Eqs. 9 and 10 for every pair: -> (..., P, G).

    The normaliser of Eq. 11 cancels under a cosine: w = q^p q^g serves. One
    probe (a query and its n candidates) forms h_g^p and h_p^g themselves, one
    pass over the gallery. Many probes never form them (they are 2 d numbers a
    pair): with the Gram matrices A, B (each image's own) and C (of the pair)
    the cosine is (w^T C w) / sqrt((w^T A w)(w^T B w)).

    No shared quality: distance 1.
    """
    quality_p, quality_g = normalised_quality(quality_p), normalised_quality(quality_g)
    if global_p.shape[-3] == 1:
        return _one_probe(global_p, quality_p, global_g, quality_g)
    scaled_p, scaled_g = global_p * quality_p[..., None], global_g * quality_g[..., None]
    # w^T A w = sum_kl (q_k^p q_l^p A_kl)(q_k^g q_l^g): one product of inner size K^2.
    own_p = gram(scaled_p).flatten(-2) @ _outer(quality_g).mT
    own_g = _outer(quality_p) @ gram(scaled_g).flatten(-2).mT
    *_, probes, parts, _ = global_p.shape
    numbers = BLOCK_CPU if global_p.device.type == "cpu" else BLOCK_OTHER
    step = max(1, numbers // max(1, global_p.shape[:-3].numel() * probes * parts**2))
    both = [
        _cross(scaled_p, quality_p, g, q)
        for g, q in zip(scaled_g.split(step, -3), quality_g.split(step, -2), strict=True)
    ]
    return _cosine_distance(both[0] if len(both) == 1 else torch.cat(both, -1), own_p, own_g)


def _one_probe(global_p: Tensor, quality_p: Tensor, global_g: Tensor, quality_g: Tensor) -> Tensor:
    """`global_distance` of (..., 1, K, d) against (..., G, K, d): -> (..., 1, G)."""
    weights = quality_p * quality_g  # (..., G, K)
    h_p = weights @ global_p.squeeze(-3)
    h_g = (weights[..., None, :] @ global_g).squeeze(-2)
    own_p, own_g = h_p.square().sum(-1), h_g.square().sum(-1)
    return _cosine_distance((h_p * h_g).sum(-1), own_p, own_g)[..., None, :]


def _cosine_distance(both: Tensor, own_p: Tensor, own_g: Tensor) -> Tensor:
    """1 - a.b / sqrt(a.a b.b), and 1 where a vector is zero."""
    return 1 - both / (own_p * own_g).clamp_min(TINY**2).sqrt()


def _outer(quality: Tensor) -> Tensor:
    """q_k q_l, flat: (..., N, K) -> (..., N, K^2)."""
    return (quality[..., :, None] * quality[..., None, :]).flatten(-2)


def _cross(scaled_p: Tensor, quality_p: Tensor, scaled_g: Tensor, quality_g: Tensor) -> Tensor:
    """w^T C w for every pair, `scaled` being q_k g~_k: -> (..., P, G).

    C'_kl = (q_k^p g~_k^p) . (q_l^g g~_l^g) is one matrix product of inner size d, and then
    w^T C w = sum_k q_k^g sum_l C'_kl q_l^p: C' is read once.
    """
    *_, probes, parts, _ = scaled_p.shape
    cross = scaled_p.flatten(-3, -2) @ scaled_g.flatten(-3, -2).mT  # (..., P K, G K)
    by_gallery = cross.unflatten(-1, (-1, parts)).unflatten(-3, (probes, parts))  # P, K, G, K
    inner = (by_gallery.flatten(-3, -2) @ quality_p[..., None])[..., 0]  # over l: (..., P, K G)
    weighted: Tensor = inner.unflatten(-1, (parts, -1)) * quality_g.mT[..., None, :, :]
    return weighted.sum(-2)


def combined_distance(part: Tensor, overall: Tensor, gamma: float) -> Tensor:
    """Eq. 15: D = gamma * D_part + (1 - gamma) * D_global."""
    return gamma * part + (1 - gamma) * overall


def rescore(
    parts_p: Tensor,
    global_p: Tensor,
    quality_p: Tensor,
    parts_g: Tensor,
    global_g: Tensor,
    quality_g: Tensor,
    gamma: float,
) -> Tensor:
    """Eq. 15 for every pair: -> (..., P, G). `gamma` 0 or 1 computes only the half it needs."""
    if gamma == 1:
        return part_distance(parts_p, quality_p, parts_g, quality_g)
    overall = global_distance(global_p, quality_p, global_g, quality_g)
    if gamma == 0:
        return overall
    return combined_distance(part_distance(parts_p, quality_p, parts_g, quality_g), overall, gamma)


def tensors(embedding: PartEmbeddings) -> tuple[Tensor, Tensor, Tensor]:
    """Parts, global parts and quality as float32 tensors, in the order the functions here take."""
    arrays = (embedding.parts, embedding.global_parts, embedding.quality)
    parts, overall, quality = (
        torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in arrays
    )
    return parts, overall, quality
