"""What runs a network: OpenVINO on a CPU, torch on CUDA (or on a CPU, if asked for)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.base import Arrays
from detectors.settings import DetectorSettings
from reid.errors import ConfigError

if TYPE_CHECKING:
    import openvino
    from torch import nn


class Engine(Protocol):
    """Runs a network on pictures."""

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Arrays]:
        """Return the network's outputs, no batch axis, for each (H, W, 3) BGR uint8 picture."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Backend, device and precision that a network will run with."""

    backend: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} on {self.device}"


def choose(settings: DetectorSettings) -> Choice:
    """Settle `auto` by the hardware.

    Raises:
        ConfigError: the device is not there, or backend or precision do not go with it.
    """
    device = pick_device(settings.device)
    cuda = device.startswith("cuda")
    backend = settings.backend
    if backend == "auto":
        backend = "torch" if cuda else "openvino"
    allowed = ("torch",) if cuda else ("openvino", "torch")
    if backend not in allowed:
        raise ConfigError(
            f"detector.backend is '{backend}', but this detector on {device} runs on "
            + " or ".join(allowed)
        )
    precision: str = settings.precision
    if precision == "auto":
        precision = "float16" if cuda else _best_on_cpu(backend)
    if precision == "float16" and not cuda:
        raise ConfigError("detector.precision is 'float16', which needs CUDA")
    return Choice(backend, device, precision)


def build_engine(
    choice: Choice,
    module: Callable[[], nn.Module],
    model: Callable[[], openvino.Model],
    *,
    batch: int,
    scale: float = 1 / 255,
    shift: float = 0.0,
) -> Engine:
    """Build the engine that was chosen; the network's input is `RGB picture * scale + shift`.

    Args:
        choice: see `choose`.
        module: makes the network for torch.
        model: makes the network for OpenVINO.
        batch: pictures per call of torch, at most.
        scale: see above.
        shift: see above.
    """
    if choice.backend == "openvino":
        from detectors.openvino_engine import OpenVinoEngine

        bfloat16 = choice.precision == "bfloat16"
        return OpenVinoEngine(model(), scale=scale, shift=shift, bfloat16=bfloat16)
    from detectors.torch_engine import TorchEngine

    return TorchEngine(
        module(), choice.device, choice.precision, batch=batch, scale=scale, shift=shift
    )


def pick_device(wanted: str) -> str:
    """`auto` to `cuda` or `cpu`.

    Raises:
        ConfigError: CUDA was asked for and there is none, or fewer devices.
    """
    if wanted == "cpu":
        return wanted
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if int(wanted.partition(":")[2] or 0) >= count:
        raise ConfigError(f"detector.device is '{wanted}', but {count} CUDA devices are there")
    return wanted


def _best_on_cpu(backend: str) -> str:
    from detectors.openvino_engine import cpu_has_bfloat16

    return "bfloat16" if backend == "openvino" and cpu_has_bfloat16() else "float32"
