"""Trunks without their last down-sampling (Sec. III-A): RGB in, (N, C, H/16, W/16) features out."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from reid.errors import ModelError

# What a damaged or foreign file raises, by its kind.
UNREADABLE = (
    OSError, EOFError, RuntimeError, TypeError, ValueError, SafetensorError, UnpicklingError,
)  # fmt: skip
DOWNLOAD = "download"  # in place of a path: the hub weights of torchvision or timm


def build_backbone(name: str) -> tuple[nn.Module, int]:
    """Return a randomly initialised trunk and the number of its output channels."""
    if name == "mobilenetv2":
        return _mobilenetv2(), 1280
    if name == "resnet50":
        return _resnet50(), 2048
    if name == "resnet50v2":
        return ResNet50V2(), 2048
    if name == "hrnet_w32":
        return HRNet(), HRNet.channels
    raise ModelError(
        f"backbone {name!r} is not known: resnet50, resnet50v2, mobilenetv2 or hrnet_w32"
    )


def load_imagenet(backbone: nn.Module, name: str, source: Path | str) -> list[str]:
    """Load ImageNet (or stage 0) weights; return the names that stay fresh.

    Args:
        backbone: from `build_backbone(name)`.
        name: of the trunk.
        source: a local file (torchvision's for resnet50, timm's for hrnet_w32, or the trunk that
            stage 0 of our own training left), or `download`.

    Raises:
        ModelError: if the file does not fit the trunk, or nothing can be downloaded.
    """
    state = _download(name) if str(source) == DOWNLOAD else _read(Path(source))
    own = backbone.state_dict()
    if name == "resnet50v2" and set(state) != set(own):
        return _load_gluon(backbone, state, Path(source))
    heads = ("fc.", "classifier.", *HRNet.unused)
    prefix = "net." if name == "hrnet_w32" else ""
    theirs = {prefix + k: v for k, v in state.items() if not k.startswith(heads)}
    if set(theirs) != set(own):
        # torchvision before 0.4 named MobileNetV2's inner layers flatly; the order is the same.
        if [v.shape for v in theirs.values()] != [v.shape for v in own.values()]:
            raise ModelError(f"{source}: does not hold the weights of {name}")
        theirs = dict(zip(own, theirs.values(), strict=True))
    backbone.load_state_dict(theirs)
    return []


def _read(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors or a torch file."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        raise ModelError(f"{path}: cannot read ImageNet weights: {error}") from error


def _download(name: str) -> dict[str, Tensor]:
    """The hub's ImageNet weights of a trunk, from its cache when they were fetched before."""
    if name == "resnet50v2":
        raise ModelError("resnet50v2: no hub has its weights; name a file")
    try:
        if name == "hrnet_w32":
            return dict(_timm().create_model(name, pretrained=True).state_dict())
        from torchvision import models

        weights: Any = {
            "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
            "mobilenetv2": models.MobileNet_V2_Weights.IMAGENET1K_V1,
        }[name]
        return dict(weights.get_state_dict(progress=False))
    except (OSError, RuntimeError) as error:  # every failure of urllib and of the hub's client
        raise ModelError(
            f"{name}: ImageNet weights cannot be downloaded ({error}); without a network, name "
            "a file"
        ) from error


def _timm() -> ModuleType:
    """timm, which is an extra."""
    try:
        import timm
    except ImportError as error:
        raise ModelError("backbone 'hrnet_w32' needs timm: pip install crosscam[hrnet]") from error
    return timm


def _mobilenetv2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    features = mobilenet_v2(weights=None).features
    features[14].conv[1][0].stride = (1, 1)
    return _Features(features)


class _Features(nn.Module):
    """Keep torchvision's parameter names (`features.N...`) around a bare `features` stack."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.features(images)
        return out


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50

    full = resnet50(weights=None)
    first = full.layer4[0]
    first.conv2.stride = (1, 1)
    first.downsample[0].stride = (1, 1)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return nn.Sequential(OrderedDict((n, getattr(full, n)) for n in names))


class HRNet(nn.Module):
    """HRNet-W32 (Sun et al. 2019), the trunk of the paper's QPM*; from timm.

    Its four branches (32, 64, 128, 256 channels at strides 4, 8, 16, 32) become
    one map of stride 16: the finer two by average pooling, the coarsest by
    bilinear interpolation, all concatenated. No layer is added or fresh: the
    1x1 convs of QPM mix the 480 channels. The classifier's layers are left out.
    """

    channels = 32 + 64 + 128 + 256
    unused = ("incre_modules.", "downsamp_modules.", "final_layer.")

    def __init__(self) -> None:
        super().__init__()
        self.net = _timm().create_model(
            "hrnet_w32",
            pretrained=False,
            features_only=True,
            feature_location="",
            out_indices=(1, 2, 3, 4),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB -> (N, 480, H/16, W/16)."""
        fine, middle, own, coarse = self.net(images)
        wide = F.interpolate(coarse, own.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([F.avg_pool2d(fine, 4), F.avg_pool2d(middle, 2), own, wide], 1)


class ResNet50V2(nn.Module):
    """Pre-activation ResNet-50 (He et al. 2016b, Gluon's naming), last stride 1.

    Layer names follow the stages of the weight file: block b of stage s owns
    batch norms 3b..3b+2 and its convolutions in file order, where the shortcut
    of a stage's first block is that stage's fourth convolution.
    """

    blocks = (3, 4, 6, 3)
    widths = (64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.batchnorm0 = nn.BatchNorm2d(3, eps=1e-5)
        self.conv0 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.batchnorm1 = nn.BatchNorm2d(64, eps=1e-5)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        channels = 64
        for stage, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            blocks = nn.ModuleList()
            for index in range(count):
                stride = 2 if index == 0 and stage in (1, 2) else 1
                blocks.append(_PreActivationBlock(channels, width, stride, index == 0))
                channels = width * 4
            self.stages.append(blocks)
        self.batchnorm2 = nn.BatchNorm2d(2048, eps=1e-5)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB -> (N, 2048, H/16, W/16)."""
        x = self.pool(torch.relu(self.batchnorm1(self.conv0(self.batchnorm0(images)))))
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                x = block(x)
        return torch.relu(self.batchnorm2(x))


class _PreActivationBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=1e-5) for c in (channels, width, width))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 1, bias=False),
                nn.Conv2d(width, width, 3, stride, 1, bias=False),
                nn.Conv2d(width, width * 4, 1, bias=False),
            ]
        )
        self.shortcut = nn.Conv2d(channels, width * 4, 1, stride, bias=False) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.norms[0](x))
        skip = x if self.shortcut is None else self.shortcut(active)
        out = self.convs[0](active)
        out = self.convs[1](torch.relu(self.norms[1](out)))
        out = self.convs[2](torch.relu(self.norms[2](out)))
        joined: Tensor = out + skip
        return joined


def _load_gluon(backbone: nn.Module, state: dict[str, Tensor], path: Path) -> list[str]:
    """Copy Gluon-named tensors; a tensor that the (partial) file lacks stays fresh."""
    wanted: dict[str, Tensor] = {}

    def norm(prefix: str, module: nn.Module) -> None:
        wanted[f"{prefix}_gamma"] = module.weight.data  # type: ignore[assignment]
        wanted[f"{prefix}_beta"] = module.bias.data  # type: ignore[assignment]
        wanted[f"{prefix}_running_mean"] = module.running_mean  # type: ignore[assignment]
        wanted[f"{prefix}_running_var"] = module.running_var  # type: ignore[assignment]

    if not isinstance(backbone, ResNet50V2):
        raise ModelError("Gluon weights fit resnet50v2 only")
    for index in range(3):
        norm(f"batchnorm{index}", getattr(backbone, f"batchnorm{index}"))
    wanted["conv0_weight"] = backbone.conv0.weight.data
    for stage, blocks in enumerate(backbone.stages, start=1):
        conv = norm_index = 0
        for block in blocks:  # type: ignore[attr-defined]
            for module in block.norms:
                norm(f"stage{stage}_batchnorm{norm_index}", module)
                norm_index += 1
            for module in (*block.convs, *([block.shortcut] if block.shortcut else [])):
                wanted[f"stage{stage}_conv{conv}_weight"] = module.weight.data
                conv += 1
    fresh = []
    for key, target in wanted.items():
        source = state.get(key)
        if source is None:
            fresh.append(key)
        elif source.shape != target.shape:
            raise ModelError(f"{path}: {key} is {tuple(source.shape)}, not {tuple(target.shape)}")
        else:
            target.copy_(source)
    if len(fresh) == len(wanted):
        raise ModelError(f"{path}: holds no tensor of resnet50v2")
    return fresh
