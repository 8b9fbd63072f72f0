"""Spatial attention before the global features: ISA (Sec. III-B) and Table VII's rivals.

Each module finds M (N, 1, H, W), 0..1, from G (N, d, H, W) and q (N, K), and
perhaps the h^ that Eq. 6 classifies: only ISA has one. `SpatialAttention`
applies Eq. 8 for all of them, so nothing but M differs. Written from the
papers' formulae; docs/qpm.md says what each was reduced to.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.distances import normalised_quality
from reid.network.parts import region_average_pooling


def attend(g_map: Tensor, attention: Tensor) -> Tensor:
    """Eq. 8: G~ = M * G + G. (N, d, H, W), (N, 1, H, W) -> (N, d, H, W)."""
    return attention.to(g_map.dtype) * g_map + g_map


def coarse_feature(g_parts: Tensor, quality: Tensor) -> Tensor:
    """Eq. 4: h = sum_k q^_k g_k. (N, K, d), (N, K) -> (N, d), in the precision of q."""
    with torch.autocast(quality.device.type, enabled=False):
        return torch.einsum("nk,nkd->nd", normalised_quality(quality), g_parts.to(quality.dtype))


class SpatialAttention(nn.Module):
    """A module that weighs pixels; a subclass says how in `look`."""

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G (N, d, H, W), q (N, K) -> M (N, 1, H, W), h^ (N, d/4) or None."""
        raise NotImplementedError

    def forward(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """G (N, d, H, W), q (N, K) -> G~ (N, d, H, W), h^ (N, d/4) or None, M (N, 1, H, W)."""
        attention, reduced = self.look(g_map, quality)
        return attend(g_map, attention), reduced, attention


class IdentityAwareAttention(SpatialAttention):
    """ISA: h steers where to look (Eqs. 4-7).

    Args:
        dim: d.
        reduction: of the two-layer network.
        scaled: divide Eq. 7's inner product by sqrt(d), as attention does elsewhere (Vaswani et al.
            2017), so that the sigmoid keeps a gradient; not in the paper.
    """

    def __init__(self, dim: int, reduction: int = 4, *, scaled: bool = False) -> None:
        super().__init__()
        self._scale = dim**-0.5 if scaled else 1.0
        self.reduce = nn.Linear(dim, dim // reduction)
        self.expand = nn.Linear(dim // reduction, dim)

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G, q -> M (N, 1, H, W), h^ (N, d/4)."""
        coarse = coarse_feature(region_average_pooling(g_map, quality.shape[1]), quality)
        reduced = self.reduce(coarse.to(g_map.dtype))
        guide = self.expand(F.relu(reduced))
        with torch.autocast(g_map.device.type, enabled=False):  # Eq. 7 in float32
            inner = torch.einsum("nchw,nc->nhw", g_map.to(quality.dtype), guide.to(quality.dtype))
            attention = torch.sigmoid(inner * self._scale)[:, None]
        return attention, reduced


class FCAttention(SpatialAttention):
    """FC-SA: a fully connected layer over the pixels of the channels' mean.

    Liu, Yuan, Zhou, Li: Spatial and Temporal Mutual Promotion for Video-based
    Person Re-identification, AAAI 2019 [67]. M = sigmoid(W vec(mean_c G) + b):
    every pixel sees every other, at fixed places.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.connect = nn.Linear(height * width, height * width)

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G -> M; q is not looked at."""
        scores = self.connect(g_map.mean(1).flatten(1))
        return torch.sigmoid(scores).view(-1, 1, *g_map.shape[2:]), None


class RelationAwareAttention(SpatialAttention):
    """RGA-SA: how a pixel relates to all others decides its weight.

    Zhang, Lan, Zeng, Jin, Chen: Relation-Aware Global Attention, CVPR 2020
    [68]. r_ij = theta(x_i)^T phi(x_j); y_i = [mean_c psi(x_i), rho(R_i., R_.i)];
    a_i = sigmoid(W2 ReLU(W1 y_i)). Each map is a 1x1 conv with batch norm; all
    reductions are 8, as in that paper.
    """

    def __init__(self, dim: int, height: int, width: int, reduction: int = 8) -> None:
        super().__init__()
        inner, pixels = max(dim // reduction, 1), height * width
        relations = max(2 * pixels // reduction, 1)
        hidden = max((1 + relations) // reduction, 1)
        self.theta = nn.Sequential(*_conv(dim, inner), nn.ReLU())
        self.phi = nn.Sequential(*_conv(dim, inner), nn.ReLU())
        self.psi = nn.Sequential(*_conv(dim, inner), nn.ReLU())
        self.rho = nn.Sequential(*_conv(2 * pixels, relations), nn.ReLU())
        self.score = nn.Sequential(*_conv(1 + relations, hidden), nn.ReLU(), *_conv(hidden, 1))

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G -> M; q is not looked at."""
        height, width = g_map.shape[2:]
        affinity = self.theta(g_map).flatten(2).transpose(1, 2) @ self.phi(g_map).flatten(2)
        # As channels of pixel i: r_ij over all j (out of i), then r_ji over all j (into i).
        both = torch.cat([affinity.transpose(1, 2), affinity], 1).unflatten(2, (height, width))
        own = self.psi(g_map).mean(1, keepdim=True)
        return torch.sigmoid(self.score(torch.cat([own, self.rho(both)], 1))), None


class ResidualMaskAttention(SpatialAttention):
    """RA-SA: a bottom-up top-down mask.

    Wang et al.: Residual Attention Network, CVPR 2017 [69]: max-pooling,
    residual units, interpolation back, two 1x1 convs, sigmoid. Reduced to a
    spatial mask: the last conv has one channel. One pooling, as in that paper
    for a map of about this size (14x14 there, 24x8 here).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.MaxPool2d(3, 2, 1), _ResidualUnit(dim), _ResidualUnit(dim))
        self.score = nn.Sequential(
            nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim // 4, 1, bias=False),
            nn.BatchNorm2d(dim // 4), nn.ReLU(), nn.Conv2d(dim // 4, 1, 1),
        )  # fmt: skip

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G -> M; q is not looked at."""
        wide = F.interpolate(
            self.down(g_map), g_map.shape[2:], mode="bilinear", align_corners=False
        )
        return torch.sigmoid(self.score(wide)), None


class ConvolutionalAttention(SpatialAttention):
    """CBAM-SA: M = sigmoid(conv7x7([mean_c G; max_c G])).

    Woo, Park, Lee, Kweon: CBAM, ECCV 2018 [70], its spatial half (Eq. 3 there).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def look(self, g_map: Tensor, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """G -> M; q is not looked at."""
        summary = torch.cat([g_map.mean(1, keepdim=True), g_map.amax(1, keepdim=True)], 1)
        return torch.sigmoid(self.conv(summary)), None


def build_attention(
    name: str, dim: int, height: int, width: int, *, scaled: bool = False
) -> SpatialAttention | None:
    """The module of that name for a (d, height, width) map; None for `none` (G~ = G).

    `scaled` is ISA's.
    """
    if name == "isa":
        return IdentityAwareAttention(dim, scaled=scaled)
    if name == "fc":
        return FCAttention(height, width)
    if name == "rga":
        return RelationAwareAttention(dim, height, width)
    if name == "ra":
        return ResidualMaskAttention(dim)
    if name == "cbam":
        return ConvolutionalAttention()
    return None


class _ResidualUnit(nn.Module):
    """Pre-activation bottleneck: x + conv1x1, conv3x3, conv1x1, each after BN and ReLU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, width, size in (
            (dim, dim // 4, 1),
            (dim // 4, dim // 4, 3),
            (dim // 4, dim, 1),
        ):
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Conv2d(channels, width, size, padding=size // 2, bias=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


def _conv(channels: int, width: int) -> tuple[nn.Module, nn.Module]:
    """A 1x1 conv and its batch norm."""
    return nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
