"""Several processes that train one model: what `torchrun` starts, or one process alone.

Each member draws its own P x A batches and DDP averages the gradients. Batch norms see their own
member's batch; the running statistics are those of the first member, which DDP hands to the others
before each step. The first member alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from reid.errors import ConfigError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among those that train.

    Attributes:
        rank: number of this member, from 0.
        size: how many members there are.
        device: what this member computes on: `cpu`, `cuda` or `cuda:N`.
    """

    rank: int
    size: int
    device: str

    @property
    def leads(self) -> bool:
        """Whether this member writes files and shows progress."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This member's part of the items; all parts are equally long, so a rest is left out."""
        whole = len(items) // self.size * self.size
        return list(items[self.rank : whole : self.size])

    def join(self, objective: nn.Module) -> nn.Module:
        """The module whose backward pass averages the gradients over all members."""
        if self.size == 1:
            return objective
        ids = [torch.device(self.device).index] if self.device.startswith("cuda") else None
        # Static: a layer that an arm of the ablation leaves out has no gradient in any step.
        return nn.parallel.DistributedDataParallel(objective, ids, static_graph=True)

    def mean(self, values: Tensor) -> Tensor:
        """The members' mean of a tensor."""
        if self.size > 1:
            dist.all_reduce(values)
        return values / self.size


@contextmanager
def join_team(device: str) -> Iterator[Team]:
    """The team that `torchrun` named in the environment; without it this process is alone.

    Raises:
        ConfigError: if one CUDA device was named for several processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(0, 1, device)
        return
    if device.startswith("cuda:"):
        raise ConfigError(f"--device {device}: torchrun gives each process its own; say cuda")
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Team(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
