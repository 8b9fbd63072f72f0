"""Eqs. 2, 5, 9-11 and 15: distances between part embeddings.

Cosine distance is 1 - cos, in 0..2. A distance alone is not evidence: each
function that mixes parts also offers the pair's *support* sum_k q_k^p q_k^g,
the denominator of Eq. 2, so that a caller can abstain where little is shared.

Shapes: P probes, G gallery items, K parts, d dimensions.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.records import PartEmbeddings

TINY = 1e-12


def normalised_quality(quality: Tensor) -> Tensor:
    """Eq. 5: q^_k = q_k / sum_i q_i. (..., K) -> (..., K)."""
    return quality / quality.sum(-1, keepdim=True).clamp_min(TINY)


def pair_weights(quality_p: Tensor, quality_g: Tensor) -> Tensor:
    """Eq. 11 for every pair: (P, K), (G, K) -> (P, G, K), each row sums to 1."""
    product = quality_p[:, None] * quality_g[None]
    return product / product.sum(-1, keepdim=True).clamp_min(TINY)


def support(quality_p: Tensor, quality_g: Tensor) -> Tensor:
    """sum_k q_k^p q_k^g for every pair: (P, K), (G, K) -> (P, G)."""
    return quality_p @ quality_g.T


def part_distances(parts_p: Tensor, parts_g: Tensor) -> Tensor:
    """d_k of Eq. 2 for every pair and part: (P, K, d), (G, K, d) -> (P, G, K)."""
    return 1 - torch.einsum(
        "pkd,gkd->pgk", F.normalize(parts_p, dim=-1), F.normalize(parts_g, dim=-1)
    )


def part_distance(parts_p: Tensor, quality_p: Tensor, parts_g: Tensor, quality_g: Tensor) -> Tensor:
    """Eq. 2 for every pair, as a ratio of two matrix products: -> (P, G).

    With U = concat_k(q_k f_k / |f_k|), D = 1 - (U_p U_g^T) / (Q_p Q_g^T). A
    pair without any shared quality gets the neutral distance 1 (support 0).
    """
    u_p = (F.normalize(parts_p, dim=-1) * quality_p[..., None]).flatten(1)
    u_g = (F.normalize(parts_g, dim=-1) * quality_g[..., None]).flatten(1)
    return 1 - (u_p @ u_g.T) / support(quality_p, quality_g).clamp_min(TINY)


def global_features(
    global_p: Tensor, quality_p: Tensor, global_g: Tensor, quality_g: Tensor
) -> tuple[Tensor, Tensor]:
    """Eqs. 9 and 10 for aligned pairs: (B, K, d), (B, K) twice -> h_g^p, h_p^g (B, d)."""
    weights = quality_p * quality_g
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(TINY)
    return (
        torch.einsum("bk,bkd->bd", weights, global_p),
        torch.einsum("bk,bkd->bd", weights, global_g),
    )


def gram(global_parts: Tensor) -> Tensor:
    """Each image's own K x K Gram matrix of g~_k: (N, K, d) -> (N, K, K)."""
    return global_parts @ global_parts.transpose(-1, -2)


def global_distance(
    global_p: Tensor, quality_p: Tensor, global_g: Tensor, quality_g: Tensor
) -> Tensor:
    """Cosine distance of Eqs. 9 and 10 for every pair: -> (P, G).

    The normaliser of Eq. 11 cancels under a cosine, so with w = q^p * q^g the
    cosine is (w^T C w) / sqrt((w^T A w)(w^T B w)) from Gram matrices alone.
    """
    weights = quality_p[:, None] * quality_g[None]
    own_p = torch.einsum("pgk,pkl,pgl->pg", weights, gram(global_p), weights)
    own_g = torch.einsum("pgk,gkl,pgl->pg", weights, gram(global_g), weights)
    p, k, d = global_p.shape
    cross = (global_p.reshape(p * k, d) @ global_g.reshape(-1, d).T).view(p, k, -1, k)
    both = torch.einsum("pgk,pkgl,pgl->pg", weights, cross, weights)
    return 1 - both / (own_p * own_g).clamp_min(TINY**2).sqrt()


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
    """Eq. 15 for every pair of a small block: -> (P, G)."""
    return combined_distance(
        part_distance(parts_p, quality_p, parts_g, quality_g),
        global_distance(global_p, quality_p, global_g, quality_g),
        gamma,
    )


def tensors(embedding: PartEmbeddings) -> tuple[Tensor, Tensor, Tensor]:
    """Parts, global parts and quality as float32 tensors, in the order the functions here take."""
    arrays = (embedding.parts, embedding.global_parts, embedding.quality)
    parts, overall, quality = (
        torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in arrays
    )
    return parts, overall, quality
