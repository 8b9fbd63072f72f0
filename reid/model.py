"""QPM: part branch with qualities, ISA, and per-part global features (Fig. 2, Eqs. 4-8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.backbones import build_backbone
from reid.config import ModelConfig
from reid.distances import normalised_quality


@dataclass(frozen=True, slots=True)
class QPMFeatures:
    """What one forward pass gives for N images.

    Attributes:
        parts: f_k, (N, K, d), not normalised.
        quality: q_k, (N, K) float32, 0..1.
        global_parts: g~_k, RAP of ISA's output, (N, K, d).
        reduced: h^, (N, d/4), the output of ISA's first conv before its ReLU (Eq. 6).
        attention: M of Eq. 7, (N, 1, H/16, W/16).
    """

    parts: Tensor
    quality: Tensor
    global_parts: Tensor
    reduced: Tensor
    attention: Tensor


def region_average_pooling(features: Tensor, num_parts: int) -> Tensor:
    """RAP: (N, C, H, W) -> (N, K, C), the mean of each of K equal horizontal stripes."""
    n, c, h, w = features.shape
    return features.reshape(n, c, num_parts, (h // num_parts) * w).mean(-1).transpose(1, 2)


class PartBranch(nn.Module):
    """Per part, unshared: z_k -> f_k by a 1x1 conv, and z_k -> q_k by conv, BN, sigmoid.

    A 1x1 conv on a pooled vector is a linear map; the K maps run as one
    batched product.
    """

    def __init__(self, channels: int, dim: int, num_parts: int, norm: bool) -> None:
        super().__init__()
        self.feature_weight = nn.Parameter(torch.empty(num_parts, channels, dim))
        self.feature_bias = nn.Parameter(torch.zeros(num_parts, dim))
        self.feature_norm = nn.BatchNorm1d(num_parts * dim) if norm else None
        self.quality_weight = nn.Parameter(torch.empty(num_parts, channels))
        self.quality_norm = nn.BatchNorm1d(num_parts)
        nn.init.normal_(self.feature_weight, std=(2 / dim) ** 0.5)
        nn.init.normal_(self.quality_weight, std=channels**-0.5)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, C) z_k -> f_k (N, K, d), q_k (N, K) float32."""
        parts = torch.einsum("nkc,kcd->nkd", pooled, self.feature_weight) + self.feature_bias
        if self.feature_norm is not None:
            parts = self.feature_norm(parts.flatten(1)).view_as(parts)
        with torch.autocast(pooled.device.type, enabled=False):
            scores = (pooled.float() * self.quality_weight.float()).sum(-1)
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
        gain, shift = _affine(branch.quality_norm)
        self.feature_weight = nn.Parameter(weight.clone())
        self.feature_bias = nn.Parameter(bias.clone())
        self.quality_weight = nn.Parameter(branch.quality_weight.detach() * gain[:, None])
        self.quality_bias = nn.Parameter(shift)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, C) z_k -> f_k (N, K, d), q_k (N, K) float32."""
        parts = torch.einsum("nkc,kcd->nkd", pooled, self.feature_weight) + self.feature_bias
        with torch.autocast(pooled.device.type, enabled=False):
            by_part = pooled.float().transpose(0, 1)  # (K, N, C)
            scores = torch.bmm(by_part, self.quality_weight.float()[..., None])
            quality = torch.sigmoid(scores[..., 0].T + self.quality_bias.float())
        return parts, quality


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Gain and shift of a batch norm in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("the batch norm keeps no running statistics")
    gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias.detach() - norm.running_mean * gain


class IdentityAwareAttention(nn.Module):
    """ISA (Sec. III-B, Eqs. 4-8)."""

    def __init__(self, dim: int, reduction: int = 4) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, dim // reduction)
        self.expand = nn.Linear(dim // reduction, dim)

    def forward(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G (N, d, H, W), q (N, K) -> G~ (N, d, H, W), h^ (N, d/4), M (N, 1, H, W)."""
        g_parts = region_average_pooling(g_map, quality.shape[1])
        coarse = torch.einsum("nk,nkd->nd", normalised_quality(quality), g_parts.float())
        reduced = self.reduce(coarse.to(g_map.dtype))
        guide = self.expand(F.relu(reduced))
        with torch.autocast(g_map.device.type, enabled=False):
            inner = torch.einsum("nchw,nc->nhw", g_map.float(), guide.float())
            attention = torch.sigmoid(inner)[:, None]
        return attention.to(g_map.dtype) * g_map + g_map, reduced, attention


class QPM(nn.Module):
    """The whole network. Input: (N, 3, H, W) RGB, ImageNet-normalised."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, channels = build_backbone(config.backbone)
        self.part_branch: nn.Module = PartBranch(
            channels, config.dim, config.num_parts, config.part_norm
        )
        self.global_conv = nn.Conv2d(channels, config.dim, 1)
        self.attention = IdentityAwareAttention(config.dim)

    def forward(self, images: Tensor) -> QPMFeatures:
        """(N, 3, H, W) -> `QPMFeatures`."""
        features = self.backbone(images)
        parts, quality = self.part_branch(region_average_pooling(features, self.config.num_parts))
        weighted, reduced, attention = self.attention(self.global_conv(features), quality)
        global_parts = region_average_pooling(weighted, self.config.num_parts)
        return QPMFeatures(parts, quality, global_parts, reduced, attention)


class Classifiers(nn.Module):
    """The training heads W_k^p (Eq. 1), W^g (Eq. 6) and W^s (Eq. 12); not part of the model."""

    def __init__(self, config: ModelConfig, identities: int) -> None:
        super().__init__()
        self.part = nn.Parameter(torch.empty(config.num_parts, config.dim, identities))
        self.reduced = nn.Linear(config.dim // 4, identities, bias=False)
        self.pair = nn.Linear(config.dim, identities, bias=False)
        for weight in (self.part, self.reduced.weight, self.pair.weight):
            nn.init.normal_(weight, std=0.001 if config.part_norm else 0.01)

    def forward(self, features: QPMFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of Eq. 1 (N, K, C), of Eq. 6 (N, C), and per part of Eq. 12 (N, K, C)."""
        part = torch.einsum("nkd,kdc->nkc", features.parts, self.part)
        return part, self.reduced(features.reduced), self.pair(features.global_parts)
