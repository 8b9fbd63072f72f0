"""QPM: part branch with qualities, attention, and per-part global features (Fig. 2, Eqs. 4-8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reid.network.attention import build_attention, coarse_feature
from reid.network.backbones import build_backbone
from reid.network.config import TRUNK_STRIDE, ModelConfig
from reid.network.parts import PartBranch, region_average_pooling


@dataclass(frozen=True, slots=True)
class QPMFeatures:
    """What one forward pass gives for N images.

    Attributes:
        parts: f_k, (N, K, d), not normalised.
        quality: q_k, (N, K) float32, 0..1; all 1 without a quality predictor.
        global_parts: g~_k, RAP of the attention's output, (N, K, d). With one global vector
            an image (`gap`, `si`) that vector K times; without a global branch, `parts`.
        reduced: h^, (N, d/4), the output of ISA's first conv before its ReLU (Eq. 6); None
            without ISA.
        attention: M of Eq. 7, (N, 1, H/16, W/16); None without attention.
    """

    parts: Tensor
    quality: Tensor
    global_parts: Tensor
    reduced: Tensor | None
    attention: Tensor | None


class QPM(nn.Module):
    """The whole network. Input: (N, 3, H, W) RGB, ImageNet-normalised."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, channels = build_backbone(config.backbone)
        self.part_branch: nn.Module = PartBranch(
            channels, config.dim, config.num_parts, config.part_norm, config.quality
        )
        self.global_conv: nn.Module | None = None
        self.attention: nn.Module | None = None
        if config.has_global:
            self.global_conv = nn.Conv2d(channels, config.dim, 1)
            if config.global_norm:
                self.global_conv = nn.Sequential(self.global_conv, nn.BatchNorm2d(config.dim))
            self.attention = build_attention(
                config.attention,
                config.dim,
                config.height // TRUNK_STRIDE,
                config.width // TRUNK_STRIDE,
                scaled=config.global_norm,
            )

    def forward(self, images: Tensor) -> QPMFeatures:
        """(N, 3, H, W) -> `QPMFeatures`."""
        features = self.backbone(images)
        parts, quality = self.part_branch(region_average_pooling(features, self.config.num_parts))
        if self.global_conv is None:
            return QPMFeatures(parts, quality, parts, None, None)
        g_map, reduced, attention = self.global_conv(features), None, None
        if self.attention is not None:
            g_map, reduced, attention = self.attention(g_map, quality)
        global_parts = region_average_pooling(g_map, self.config.num_parts)
        return QPMFeatures(parts, quality, self._spread(global_parts, quality), reduced, attention)

    def _spread(self, global_parts: Tensor, quality: Tensor) -> Tensor:
        """Table VI's three global features, (N, K, d) -> (N, K, d).

        GAP and SI know one vector an image. In all K slots it passes Eqs. 9-11
        unchanged, because their weights sum to 1: distances need no switch.
        """
        if self.config.global_feature == "agfe":
            return global_parts
        if self.config.global_feature == "gap":
            single = global_parts.mean(1)  # the stripes are equal: the mean over all pixels
        else:
            single = coarse_feature(global_parts, quality).to(global_parts.dtype)
        return single[:, None].expand_as(global_parts)


@dataclass(frozen=True, slots=True)
class Logits:
    """What the training heads say of N images and C identities.

    Attributes:
        part: of Eq. 1, (N, K, C).
        reduced: of Eq. 6, (N, C); None without ISA.
        pair: of Eq. 12, per part before they are mixed, (N, K, C); None without a global branch.
    """

    part: Tensor
    reduced: Tensor | None
    pair: Tensor | None


class Classifiers(nn.Module):
    """The training heads W_k^p (Eq. 1), W^g (Eq. 6) and W^s (Eq. 12); not part of the model."""

    def __init__(self, config: ModelConfig, identities: int) -> None:
        super().__init__()
        self.part = nn.Parameter(torch.empty(config.num_parts, config.dim, identities))
        self.reduced: nn.Linear | None = None
        self.pair: nn.Linear | None = None
        if config.has_isa:
            self.reduced = nn.Linear(config.dim // 4, identities, bias=False)
        if config.has_global:
            self.pair = nn.Linear(config.dim, identities, bias=False)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.001 if config.part_norm else 0.01)

    def forward(self, features: QPMFeatures) -> Logits:
        """Logits of every head that there is."""
        part = torch.einsum("nkd,kdc->nkc", features.parts, self.part)
        reduced = pair = None
        if self.reduced is not None:
            reduced = self.reduced(features.reduced)
        if self.pair is not None:
            pair = self.pair(features.global_parts)
        return Logits(part, reduced, pair)
