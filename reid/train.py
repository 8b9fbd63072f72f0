"""Train QPM (Eq. 14): one loop to read from top to bottom.

    crosscam train --config configs/qpm_mobilenet.yaml --data market1501/ \
        --imagenet mobilenetv2_imagenet.pt --out runs/first

Every epoch writes `last.pt` (resume by running the same command again) and
`model.safetensors` (half precision). `log.csv` holds a line per epoch.
"""

from __future__ import annotations

import contextlib
import csv
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from reid.augment import augment, normalise, to_input
from reid.backbones import load_imagenet
from reid.checkpoint import save_model
from reid.datasets import (
    IdentitySampler,
    Sample,
    fingerprint,
    hold_out,
    load_images,
    training_samples,
)
from reid.errors import DataError
from reid.hardware import has_fast_bfloat16
from reid.model import QPM, Classifiers
from reid.objective import loss_terms
from reid.train_config import TrainConfig


@dataclass(frozen=True, slots=True)
class TrainPaths:
    """Where a run reads and writes."""

    data: Path
    out: Path
    imagenet: Path | None = None


def train(config: TrainConfig, paths: TrainPaths, device: str, *, compiled: bool = True) -> Path:
    """Train and return the path of the half-precision model file.

    Raises:
        DataError: if the data set cannot be used or `out` holds another run's checkpoint.
        ModelError: if the ImageNet weights do not fit the trunk.
    """
    torch.manual_seed(config.seed)
    shape = config.model
    samples, _ = hold_out(training_samples(paths.data), config.held_out_ids)
    identities = sorted({s.identity for s in samples})
    labels = torch.tensor([identities.index(s.identity) for s in samples])
    images = torch.from_numpy(load_images(samples, *storage_size(config)))
    sampler = IdentitySampler(
        labels.tolist(), config.ids_per_batch, config.images_per_id, config.seed
    )

    model = QPM(shape)
    if paths.imagenet is not None:
        load_imagenet(model.backbone, shape.backbone, paths.imagenet)
    heads = Classifiers(shape, len(identities))
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads.to(device)
    optimizer = build_optimizer(config, model, heads)
    steps = len(sampler.epoch(0))
    generator = torch.Generator()
    state = Checkpoint(paths.out / "last.pt", config, fingerprint(samples))
    first = state.load(model, heads, optimizer)
    if compiled:
        model.backbone.compile()
    amp: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if has_fast_bfloat16(device):
        amp = torch.autocast(torch.device(device).type, torch.bfloat16)

    with progress_bar() as bar, (paths.out / "log.csv").open("a", newline="") as file:
        log = csv.writer(file)
        for epoch in range(first, config.epochs):
            task = bar.add_task(f"epoch {epoch + 1}/{config.epochs}", total=steps)
            model.train()
            generator.manual_seed(config.seed * 100_003 + epoch)
            sums: dict[str, float] = {}
            begun, count = time.monotonic(), 0
            batches = sampler.epoch(epoch)
            for step, rows in enumerate(batches):
                for group, base in zip(optimizer.param_groups, base_rates(config), strict=True):
                    group["lr"] = base * rate_factor(config, epoch + step / len(batches))
                batch = to_input(images[rows].to(device), shape.height, shape.width)
                batch = normalise(augment(batch, config, generator))
                with amp:
                    terms = loss_terms(
                        model, heads, batch.contiguous(memory_format=torch.channels_last),
                        labels[rows].to(device), config,
                    )  # fmt: skip
                loss = torch.stack(list(terms.values())).sum()  # Eq. 14
                if not torch.isfinite(loss):
                    raise DataError(f"loss is {loss.item()} in epoch {epoch + 1}, step {step + 1}")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                count += len(rows)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value.item()
                bar.update(task, advance=1, description=f"epoch {epoch + 1} loss {loss:.3f}")
            bar.remove_task(task)
            speed = count / (time.monotonic() - begun)
            means = {name: value / len(batches) for name, value in sums.items()}
            log.writerow([epoch + 1, *(f"{v:.4f}" for v in means.values()), f"{speed:.1f}"])
            file.flush()
            bar.console.print(
                f"epoch {epoch + 1}/{config.epochs}: "
                + ", ".join(f"{n} {v:.3f}" for n, v in means.items())
                + f", {speed:.0f} images/s"
            )
            state.save(epoch + 1, model, heads, optimizer)
            save_model(model, paths.out / "model.safetensors", notes(config, samples, epoch + 1))
    return paths.out / "model.safetensors"


def build_optimizer(config: TrainConfig, model: QPM, heads: nn.Module) -> torch.optim.Optimizer:
    """Two groups: the pre-trained trunk, and everything new (`head_lr_scale`)."""
    trunk = list(model.backbone.parameters())
    known = {id(p) for p in trunk}
    new = [p for p in [*model.parameters(), *heads.parameters()] if id(p) not in known]
    groups = [{"params": trunk}, {"params": new}]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay)


def base_rates(config: TrainConfig) -> tuple[float, float]:
    """Learning rates of the two groups before the schedule."""
    return config.lr, config.lr * config.head_lr_scale


def rate_factor(config: TrainConfig, epoch: float) -> float:
    """What the schedule multiplies the rates with at a (fractional) epoch."""
    if epoch < config.warmup_epochs:
        return 0.01 + 0.99 * epoch / config.warmup_epochs
    if config.schedule == "step":
        return float(0.1 ** int(epoch // config.step_epochs))
    share = (epoch - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
    return 0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * share))


def storage_size(config: TrainConfig) -> tuple[int, int]:
    """Height and width at which images wait in memory: never above the model's input."""
    return min(config.model.height, 256), min(config.model.width, 128)


def notes(config: TrainConfig, samples: Sequence[Sample], epoch: int) -> dict[str, str]:
    """Header text of the model file."""
    return {
        "train": config.model_dump_json(),
        "data": f"{fingerprint(samples)} ({len(samples)} images)",
        "epoch": str(epoch),
    }


def progress_bar() -> Progress:
    """A bar with its description, count and remaining time."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )


class Checkpoint:
    """`last.pt`: everything an exact resume needs. Random draws depend on (seed, epoch) alone."""

    def __init__(self, path: Path, config: TrainConfig, data: str) -> None:
        self._path = path
        self._key = {"config": config.model_dump_json(), "data": data}
        path.parent.mkdir(parents=True, exist_ok=True)

    def save(
        self, epoch: int, model: nn.Module, heads: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write after a finished epoch, atomically."""
        temporary = self._path.with_suffix(".tmp")
        torch.save(
            {
                **self._key,
                "epoch": epoch,
                "model": model.state_dict(),
                "heads": heads.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
            temporary,
        )
        temporary.replace(self._path)

    def load(self, model: nn.Module, heads: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Restore if there is a file; return the number of finished epochs.

        Raises:
            DataError: if the file belongs to another configuration or data set.
        """
        if not self._path.exists():
            return 0
        state = torch.load(self._path, map_location="cpu", weights_only=True)
        for name, value in self._key.items():
            if state[name] != value:
                raise DataError(f"{self._path}: was made with another {name}; choose another --out")
        model.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["epoch"])
