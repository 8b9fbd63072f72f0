"""The stages of a training run: what is minimised, by which optimizer, at which rate.

Stage 0 (`ide`, when asked for) trains the trunk alone; then comes QPM (`qpm`), Eq. 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reid.errors import ConfigError
from reid.network.qpm import QPM, Classifiers
from reid.training.config import TrainConfig
from reid.training.objective import loss_terms


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: `ide` or `qpm`.
        epochs: how many the stage has.
        model: the network.
        average: moving average of the network's weights; None without `ema_decay` and in `ide`.
        objective: (N, 3, H, W) images, (N,) labels and (N, K) visible shares of the stripes ->
            named loss terms, which are summed.
        optimizer: over the trunk and over everything new, in this order.
        rates: learning rates of these two groups before the schedule.
        draws: number of the stage's first epoch for the random draws: no two epochs share one.
    """

    name: str
    epochs: int
    model: QPM
    average: AveragedModel | None
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    rates: tuple[float, float]
    draws: int

    def result(self) -> QPM:
        """The network to use: its averaged weights, if they are kept."""
        return self.model if self.average is None else cast(QPM, self.average.module)


class QPMObjective(nn.Module):
    """The terms of Eq. 14; holds the model and the training heads."""

    def __init__(self, model: QPM, identities: int, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.heads = Classifiers(config.model, identities)
        self._config = config

    def forward(self, images: Tensor, labels: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Named loss terms of one batch."""
        return loss_terms(self.model, self.heads, images, labels, self._config, visible)


class IDEObjective(nn.Module):
    """Softmax cross-entropy on the trunk's pooled features; its classifier is thrown away."""

    def __init__(self, backbone: nn.Module, identities: int, config: TrainConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(_channels(backbone), identities)
        self._smoothing = config.label_smoothing

    def forward(self, images: Tensor, labels: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """The one loss term of a batch; stage 0 knows no stripes."""
        logits = self.classifier(self.backbone(images).mean((2, 3))).float()
        return {"ide_id": F.cross_entropy(logits, labels, label_smoothing=self._smoothing)}


def build_stages(
    config: TrainConfig, model: QPM, identities: int, device: str
) -> tuple[list[Stage], nn.ModuleList]:
    """The run's stages in their order, on the device, and the trunk's frozen blocks.

    Raises:
        ConfigError: if more blocks are to be frozen than the trunk has.
    """
    frozen = freeze(model.backbone, config.frozen_blocks)
    qpm = QPMObjective(model, identities, config)
    qpm.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rates = (config.lr, config.lr * config.head_lr_scale)
    optimizer = build_optimizer(config, model.backbone, qpm)
    average = None
    if config.ema_decay:
        mean = get_ema_multi_avg_fn(config.ema_decay)
        average = AveragedModel(model, multi_avg_fn=mean, use_buffers=True)
    stages = [Stage("qpm", config.epochs, model, average, qpm, optimizer, rates, draws=0)]
    if config.ide_epochs:
        ide = IDEObjective(model.backbone, identities, config).to(device)
        rates = (config.ide_lr, config.ide_lr * config.head_lr_scale)
        optimizer = build_optimizer(config, model.backbone, ide)
        draws = config.epochs  # stage 0 draws as epochs after the last would
        stage = Stage("ide", config.ide_epochs, model, None, ide, optimizer, rates, draws)
        stages.insert(0, stage)
    return stages, frozen


def build_optimizer(
    config: TrainConfig, backbone: nn.Module, objective: nn.Module
) -> torch.optim.Optimizer:
    """Two groups: the pre-trained trunk, and everything new."""
    trunk = [p for p in backbone.parameters() if p.requires_grad]
    known = {id(p) for p in backbone.parameters()}
    new = [p for p in objective.parameters() if id(p) not in known]
    groups = [{"params": trunk}, {"params": new}]
    fused = new[0].is_cuda or None
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, config.lr, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        groups, config.lr, momentum=0.9, weight_decay=config.weight_decay, fused=fused
    )


def set_rates(stage: Stage, config: TrainConfig, epoch: float) -> float:
    """Set both groups' learning rates for a (fractional) epoch; return the trunk's."""
    factor = rate_factor(config, epoch, stage.epochs)
    for group, rate in zip(stage.optimizer.param_groups, stage.rates, strict=True):
        group["lr"] = rate * factor
    return stage.rates[0] * factor


def rate_factor(config: TrainConfig, epoch: float, epochs: int) -> float:
    """What the schedule of a stage multiplies its rates with at a (fractional) epoch."""
    if epoch < config.warmup_epochs:
        return 0.01 + 0.99 * epoch / config.warmup_epochs
    if config.schedule == "step":
        return float(0.1 ** int(epoch // config.step_epochs))
    share = (epoch - config.warmup_epochs) / max(epochs - config.warmup_epochs, 1e-9)
    return 0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * share))


def freeze(backbone: nn.Module, blocks: int) -> nn.ModuleList:
    """Take the trunk's first blocks out of training; whoever calls `train()` puts them in `eval()`.

    Raises:
        ConfigError: if the trunk has no more blocks than that.
    """
    children = list(backbone.children())
    while len(children) == 1:
        children = list(children[0].children())
    stack = [b for c in children for b in (c if isinstance(c, nn.ModuleList) else [c])]
    if blocks >= len(stack):
        raise ConfigError(f"frozen_blocks is {blocks}, but the trunk has {len(stack)} blocks")
    return nn.ModuleList(stack[:blocks]).requires_grad_(False)


def _channels(backbone: nn.Module) -> int:
    """How many channels the trunk puts out."""
    weight = next(backbone.parameters())
    was_training = backbone.training
    with torch.no_grad():
        features = backbone.eval()(weight.new_zeros(1, 3, 32, 32))
    backbone.train(was_training)
    return int(features.shape[1])
