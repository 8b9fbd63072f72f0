"""The part branch (Sec. III-A): stripes, their features f_k and their qualities q_k."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def region_average_pooling(features: Tensor, num_parts: int) -> Tensor:
    """RAP: (N, C, H, W) -> (N, K, C), the mean of each of K equal horizontal stripes."""
    n, c, h, w = features.shape
    return features.reshape(n, c, num_parts, (h // num_parts) * w).mean(-1).transpose(1, 2)


class PartBranch(nn.Module):
    """Per part, unshared: z_k -> f_k by a 1x1 conv, and z_k -> q_k by conv, BN, sigmoid.

    A 1x1 conv on a pooled vector is a linear map; the K maps run as one
    batched product. Without `quality` there is no predictor and q_k = 1.
    """

    def __init__(
        self, channels: int, dim: int, num_parts: int, norm: bool, quality: bool = True
    ) -> None:
        super().__init__()
        self.feature_weight = nn.Parameter(torch.empty(num_parts, channels, dim))
        self.feature_bias = nn.Parameter(torch.zeros(num_parts, dim))
        self.feature_norm = nn.BatchNorm1d(num_parts * dim) if norm else None
        nn.init.normal_(self.feature_weight, std=(2 / dim) ** 0.5)
        self.quality_weight = None
        self.quality_norm = None
        if quality:
            self.quality_weight = nn.Parameter(torch.empty(num_parts, channels))
            self.quality_norm = nn.BatchNorm1d(num_parts)
            nn.init.normal_(self.quality_weight, std=channels**-0.5)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, C) z_k -> f_k (N, K, d), q_k (N, K) float32."""
        parts = torch.einsum("nkc,kcd->nkd", pooled, self.feature_weight) + self.feature_bias
        if self.feature_norm is not None:
            parts = self.feature_norm(parts.flatten(1)).view_as(parts)
        if self.quality_weight is None or self.quality_norm is None:
            return parts, full_quality(pooled)
        with torch.autocast(pooled.device.type, enabled=False):
            scores = (_full(pooled) * _full(self.quality_weight)).sum(-1)
            quality = torch.sigmoid(self.quality_norm(scores))
        return parts, quality


class FoldedPartBranch(nn.Module):
    """`PartBranch` in evaluation, its batch norms folded into the maps: same outputs, less work.

    The scores are a batched product, not a sum over products: OpenVINO 2026.4
    fuses the addition after such a sum along the wrong axis.
    """

    def __init__(self, branch: PartBranch) -> None:
        super().__init__()
        weight, bias = branch.feature_weight.detach(), branch.feature_bias.detach()
        if branch.feature_norm is not None:
            gain, shift = _affine(branch.feature_norm)
            gain, shift = gain.view_as(bias), shift.view_as(bias)
            weight, bias = weight * gain[:, None], bias * gain + shift
        self.feature_weight = nn.Parameter(weight.clone())
        self.feature_bias = nn.Parameter(bias.clone())
        self.quality_weight = None
        self.quality_bias = None
        if branch.quality_weight is not None and branch.quality_norm is not None:
            gain, shift = _affine(branch.quality_norm)
            self.quality_weight = nn.Parameter(branch.quality_weight.detach() * gain[:, None])
            self.quality_bias = nn.Parameter(shift)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, C) z_k -> f_k (N, K, d), q_k (N, K) float32."""
        parts = torch.einsum("nkc,kcd->nkd", pooled, self.feature_weight) + self.feature_bias
        if self.quality_weight is None or self.quality_bias is None:
            return parts, full_quality(pooled)
        with torch.autocast(pooled.device.type, enabled=False):
            by_part = _full(pooled).transpose(0, 1)  # (K, N, C)
            scores = torch.bmm(by_part, _full(self.quality_weight)[..., None])
            quality = torch.sigmoid(scores[..., 0].T + _full(self.quality_bias))
        return parts, quality


def full_quality(pooled: Tensor) -> Tensor:
    """q_k = 1 for every part: (N, K, C) -> (N, K), at least float32."""
    return torch.ones_like(_full(pooled[..., 0]))


def _full(tensor: Tensor) -> Tensor:
    """At least float32: bfloat16 is widened, float64 (the tests' precision) stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Gain and shift of a batch norm in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("the batch norm keeps no running statistics")
    gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias.detach() - norm.running_mean * gain
