"""Train QPM (Eq. 14): one loop to read from top to bottom.

    crosscam train --config configs/qpm_mobilenet.yaml --data market1501/ \
        --imagenet mobilenetv2_imagenet.pt --out runs/first
    torchrun --nproc_per_node=4 run_pipeline.py train --config configs/qpm_strong.yaml \
        --data market1501/ --data cuhk03/ --out runs/strong

After every epoch `last.safetensors` (to go on: run the same command again) and
`model.safetensors` (half precision, to use) are written; docs/training.md says more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reid.datasets import (
    IdentitySampler,
    Sample,
    fingerprint,
    hold_out,
    load_images,
    load_training,
)
from reid.errors import DataError
from reid.hardware import has_fast_bfloat16, keep_freed_memory
from reid.network.backbones import load_imagenet
from reid.network.checkpoint import file_fingerprint, load_start, save_model, save_tensors
from reid.network.qpm import QPM
from reid.training.augment import augment, normalise, to_input
from reid.training.config import TrainConfig
from reid.training.held_out import HeldOut
from reid.training.run_log import Meter, RunLog
from reid.training.run_state import Origin, RunState
from reid.training.stages import Stage, build_stages, set_rates
from reid.training.team import Team, join_team

MODEL_FILE = "model.safetensors"
TRUNK_FILE = "trunk.safetensors"  # after stage 0; `--imagenet` takes it
LOOK_EVERY = 20  # steps between two looks at the loss: each look waits for the device


@dataclass(frozen=True, slots=True)
class TrainPaths:
    """Where a run reads and writes.

    Attributes:
        data: data sets, joined.
        out: the run's folder.
        imagenet: ImageNet weights that the trunk starts from.
        init: a model file of ours that everything but the training heads starts from.
        everybody: train on the test identities of CUHK01 and CUHK03 as well, for a model that
            will not be tested there.
    """

    data: tuple[Path, ...]
    out: Path
    imagenet: Path | None = None
    init: Path | None = None
    everybody: bool = False


def train(config: TrainConfig, paths: TrainPaths, device: str, *, compiled: bool = False) -> Path:
    """Train and return the path of the half-precision model file.

    Args:
        config: the whole run.
        paths: what it reads and writes.
        device: `cpu`, `cuda` or `cuda:N`; under torchrun `cuda` means each process's own.
        compiled: compile the trunk.

    Raises:
        ConfigError: if a value does not fit the trunk or torchrun.
        DataError: if a data set cannot be used, the loss is no longer finite, or `out` holds
            another run's checkpoint.
        ModelError: if the weights to start from do not fit.
    """
    keep_freed_memory()
    with join_team(device) as team, RunLog(paths.out, enabled=team.leads) as log:
        torch.manual_seed(config.seed)
        listed = load_training(paths.data, everybody=paths.everybody)
        samples, away = hold_out(listed, config.held_out_ids)
        people = load_people(samples, config, team.device)
        held_out = HeldOut(away, config, team.device) if away and team.leads else None
        model = QPM(config.model)
        start = load_weights(model, paths)
        stages, frozen = build_stages(config, model, people.identities, team.device)
        origin = Origin(config, people.name, start, team.size)
        state = RunState(paths.out / "last.safetensors", origin)
        state.load(stages)
        if compiled:
            model.backbone.compile()

        for stage in stages:
            finished = state.finished(stages, stage)
            objective = team.join(stage.objective)
            log.begin(stage.name, finished, stage.epochs)
            for epoch in range(finished, stage.epochs):
                objective.train()
                frozen.eval()
                line = train_epoch(stage, epoch, objective, people, config, team, log)
                if not team.leads:
                    continue
                if held_out is not None and stage.name == "qpm":
                    line |= held_out.figures(stage.result(), epoch + 1)
                log.epoch(stage.name, line)  # before the checkpoint: see `RunLog.begin`
                state.save(stage, epoch + 1)
                if stage.name == "ide":
                    save_tensors(
                        model.backbone.state_dict(), paths.out / TRUNK_FILE, origin.header()
                    )
                else:
                    notes = origin.header() | {"epoch": str(epoch + 1)}
                    save_model(stage.result(), paths.out / MODEL_FILE, notes)
    return paths.out / MODEL_FILE


def train_epoch(
    stage: Stage,
    epoch: int,
    objective: nn.Module,
    people: People,
    config: TrainConfig,
    team: Team,
    log: RunLog,
) -> dict[str, float]:
    """One pass over the identities; return the epoch's line for the log.

    Raises:
        DataError: if the loss is no longer finite or a process gets no batch.
    """
    shape, device = config.model, team.device
    amp: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if has_fast_bfloat16(device):
        amp = torch.autocast(torch.device(device).type, torch.bfloat16)
    batches = team.share(people.sampler.epoch(stage.draws + epoch))
    if not batches:
        raise DataError(
            f"{people.name}: too few images for a batch in each of {team.size} processes"
        )
    generator = seed_everything(config.seed, stage.draws + epoch, team.rank)
    meter = Meter(device)
    for step, numbers in enumerate(batches):
        rate = set_rates(stage, config, epoch + step / len(batches))
        rows = torch.from_numpy(numbers).to(people.images.device, non_blocking=True)
        batch = to_input(people.images[rows].to(device), shape.height, shape.width)
        batch, visible = augment(batch, config, generator)
        batch = normalise(batch).contiguous(memory_format=torch.channels_last)
        with amp:
            terms = objective(batch, people.labels[rows].to(device), visible)
        loss = torch.stack(list(terms.values())).sum()  # Eq. 14
        stage.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        stage.optimizer.step()
        if stage.average is not None:
            stage.average.update_parameters(stage.model)
        meter.add(terms, len(rows) * team.size)
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == len(batches):
            log.progress(epoch, (step + 1) / len(batches), meter.loss(), meter.speed())
    means = team.mean(meter.means()).tolist()
    return {
        "epoch": epoch + 1,
        "steps": len(batches),
        "lr": rate,
        "loss": sum(means),
        **dict(zip(meter.names, means, strict=True)),
        "seconds": meter.seconds(),
        "images_per_second": meter.speed(),
    }


@dataclass(frozen=True, slots=True)
class People:
    """The training images, decoded.

    Attributes:
        images: (N, H0, W0, 3) uint8 RGB, on the device if they fit there.
        labels: (N,) int64, on the same device.
        sampler: draws the batches' rows.
        identities: how many there are.
        name: fingerprint of the list and its size.
    """

    images: Tensor
    labels: Tensor
    sampler: IdentitySampler
    identities: int
    name: str


def load_people(samples: Sequence[Sample], config: TrainConfig, device: str) -> People:
    """Decode the images once, no larger than the model's input, into memory."""
    numbers = {i: n for n, i in enumerate(sorted({s.identity for s in samples}))}
    labels = [numbers[s.identity] for s in samples]
    sampler = IdentitySampler(labels, config.ids_per_batch, config.images_per_id, config.seed)
    images = torch.from_numpy(load_images(samples, *storage_size(config)))
    where = "cpu"
    if device.startswith("cuda") and images.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
        where = device
    name = f"{fingerprint(samples)} ({len(samples)} images of {len(numbers)} identities)"
    return People(images.to(where), torch.tensor(labels, device=where), sampler, len(numbers), name)


def storage_size(config: TrainConfig) -> tuple[int, int]:
    """Height and width at which images wait in memory: never above the model's input."""
    return min(config.model.height, 256), min(config.model.width, 128)


def load_weights(model: QPM, paths: TrainPaths) -> str:
    """Load what the run starts from; return it in words, for the headers of its files."""
    if paths.init is not None:
        return f"model {load_start(model, paths.init)}"
    if paths.imagenet is not None:
        load_imagenet(model.backbone, model.config.backbone, paths.imagenet)
        return f"ImageNet trunk {file_fingerprint(paths.imagenet)}"
    return "random weights"


def seed_everything(seed: int, epoch: int, rank: int) -> torch.Generator:
    """A CPU generator for the augmentations of one process in one epoch; layers' dropout too."""
    generator = torch.Generator()
    word, other = np.random.SeedSequence((seed, epoch, rank)).generate_state(2)
    torch.manual_seed(int(other))
    return generator.manual_seed(int(word))
