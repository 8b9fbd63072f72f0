"""`last.safetensors`: everything that an exact resume needs, written after each epoch.

Tensors: `average.*` (with `ema_decay`), `objective.*` (model and training heads of the stage),
`optimizer.INDEX.*`. The header holds the configuration, the data's fingerprint, what the weights
started from, how many processes trained, the commit and the finished epochs. Random draws
need no state: they depend on the seed, the epoch and the process alone.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from reid.errors import DataError
from reid.network.checkpoint import save_tensors
from reid.training.config import TrainConfig
from reid.training.stages import Stage

log = logging.getLogger(__name__)

FORMAT = "crosscam-run-1"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run is made of; a checkpoint of another origin is refused.

    Attributes:
        config: the whole configuration.
        data: fingerprint of the training images, and how many there are.
        start: what the weights started from.
        processes: how many train together.
        commit: of the code when the run began.
    """

    config: TrainConfig
    data: str
    start: str
    processes: int
    commit: str = field(default_factory=lambda: current_commit())

    def header(self) -> dict[str, str]:
        """As text, for the headers of the run's files."""
        return {
            "train": self.config.model_dump_json(),
            "data": self.data,
            "start": self.start,
            "processes": str(self.processes),
            "commit": self.commit,
            "crosscam": crosscam_version(),
        }


class RunState:
    """The run's checkpoint file.

    Attributes:
        stage: the stage of the last finished epoch, empty if there is none.
        epoch: how many epochs of that stage are finished.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        """Look into the file, if there is one.

        Raises:
            DataError: if it is damaged or belongs to another run.
        """
        self._path, self._origin = path, origin
        self.stage, self.epoch = "", 0
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot read the checkpoint: {error}") from error
        self._check(header)
        self.stage, self.epoch = header["stage"], int(header["epoch"])

    def finished(self, stages: list[Stage], stage: Stage) -> int:
        """How many epochs of a stage are finished; all of them if a later stage has begun."""
        names = [s.name for s in stages]
        if not self.stage or names.index(stage.name) > names.index(self.stage):
            return 0
        return self.epoch if stage.name == self.stage else stage.epochs

    def save(self, stage: Stage, epoch: int) -> None:
        """Write after a finished epoch, atomically."""
        tensors = {f"objective.{n}": t for n, t in stage.objective.state_dict().items()}
        if stage.average is not None:
            tensors |= {f"average.{n}": t for n, t in stage.average.state_dict().items()}
        for index, values in stage.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": t for n, t in values.items()}
        where = {"format": FORMAT, "stage": stage.name, "epoch": str(epoch)}
        save_tensors(tensors, self._path, where | self._origin.header())

    def load(self, stages: list[Stage]) -> None:
        """Restore the weights and the optimizer of the stage in work; nothing without a file."""
        if not self.stage:
            return
        stage = next(s for s in stages if s.name == self.stage)
        with safe_open(self._path, framework="pt") as file:
            tensors = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
        stage.objective.load_state_dict(_below("objective.", tensors))
        if stage.average is not None:
            stage.average.load_state_dict(_below("average.", tensors))
        _load_optimizer(stage, _below("optimizer.", tensors))

    def _check(self, header: dict[str, str]) -> None:
        if header.get("format") != FORMAT:
            raise DataError(f"{self._path}: format {header.get('format')!r}, expected {FORMAT!r}")
        there = TrainConfig.model_validate_json(header["train"]).model_dump()
        here = self._origin.config.model_dump()
        pairs = {key: (there[key], here[key]) for key in here}
        for key, value in self._origin.header().items():
            if key != "train":
                pairs[key] = (header.get(key), value)
        for key, (old, new) in pairs.items():
            if old == new:
                continue
            if key in ("commit", "crosscam"):
                log.warning("%s: written by %s %s, goes on with %s", self._path, key, old, new)
            else:
                raise DataError(
                    f"{self._path}: the run there has {key} {old}, this one {new}; "
                    "choose another --out"
                )


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _load_optimizer(stage: Stage, tensors: dict[str, Tensor]) -> None:
    state = stage.optimizer.state_dict()
    parameters = [p for group in stage.optimizer.param_groups for p in group["params"]]
    state["state"] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # In the parameter's own memory layout: another one may round differently.
            tensor = parameter.detach().clone().copy_(tensor)
        state["state"].setdefault(int(index), {})[key] = tensor
    stage.optimizer.load_state_dict(state)


def current_commit() -> str:
    """The commit of the working copy this code runs from; `none` where it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "none"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s: git does not name the commit: %s", root, error)
        return "unknown"
    return done.stdout.strip()


def crosscam_version() -> str:
    """The installed version."""
    try:
        return version("crosscam")
    except PackageNotFoundError:
        return "not installed"
