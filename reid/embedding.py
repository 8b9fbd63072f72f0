"""Crops in, part embeddings out: the QPM model made ready for inference on this machine."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.datasets.base import IMAGES, is_image
from reid.datasets.images import resize
from reid.errors import DataError, ModelError
from reid.hardware import has_fast_bfloat16, resolve_device
from reid.network.checkpoint import default_weights, load_model, load_thresholds
from reid.network.config import MEAN, STD, ModelConfig
from reid.network.parts import FoldedPartBranch, PartBranch
from reid.network.qpm import QPM
from reid.quiet import no_reports
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

log = logging.getLogger(__name__)

UNTRAINED_SEED = 0
UNTRAINED = ModelConfig(
    backbone="mobilenetv2", height=192, width=64, num_parts=6, dim=256, part_norm=True
)


class Deployed(nn.Module):
    """QPM behind its own preprocessing: (N, H, W, 3) uint8 BGR in; f_k, g~_k, q_k out."""

    mean: Tensor
    scale: Tensor

    def __init__(self, model: QPM) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        if isinstance(model.part_branch, PartBranch):
            self.model.part_branch = FoldedPartBranch(model.part_branch)
        self.register_buffer("mean", 255 * torch.tensor(MEAN[::-1]).view(1, 1, 1, 3))
        self.register_buffer("scale", 1 / (255 * torch.tensor(STD[::-1])).view(1, 1, 1, 3))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return parts (N, K, d), global_parts (N, K, d), quality (N, K)."""
        features = self.model(self.prepare(crops))
        return features.parts, features.global_parts, features.quality

    def prepare(self, crops: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32 RGB, ImageNet-normalised."""
        x = (crops.float() - self.mean) * self.scale
        return x.flip(-1).permute(0, 3, 1, 2)


class Backend(Protocol):
    """Runs a `Deployed` model on one batch."""

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        """(N, H, W, 3) uint8 BGR -> parts, global_parts, quality as float32 arrays."""
        ...


class Embedder:
    """Embeds crops of any size with one model.

    Attributes:
        config: the model's configuration.
        fingerprint: of the weights; every embedding carries it.
        thresholds: the distances calibrated for these weights, if they are: below the first a
            link is safe, below the second it is possible.
        precision: `float32` or `bfloat16`.
        description: backend, precision and device in words.
        batch: crops that go through the model together, at most.
    """

    def __init__(
        self,
        model: QPM,
        fingerprint: str,
        settings: EmbeddingSettings,
        thresholds: tuple[float, float] | None = None,
    ) -> None:
        self.config = model.config
        self.fingerprint = fingerprint
        self.thresholds = thresholds
        self.batch = settings.batch
        device = resolve_device(settings.device, "embedding.device")
        backend = settings.backend
        if backend == "auto":
            backend = "compile" if device.startswith("cuda") else "openvino"
        half = settings.precision == "bfloat16" or (
            settings.precision == "auto" and has_fast_bfloat16(device)
        )
        self.precision = "bfloat16" if half else "float32"
        self.description = f"{backend}, {self.precision}, {device}"
        deployed = Deployed(model).eval()
        if backend == "openvino":
            if device != "cpu":
                raise ModelError(f"embedding.backend openvino runs on the CPU, not on {device!r}")
            self._run: Backend = OpenVinoBackend(deployed, half)
        else:
            self._run = TorchBackend(deployed, device, half, compiled=backend == "compile")

    @staticmethod
    def from_settings(settings: EmbeddingSettings) -> Embedder:
        """Load the weights that `settings` names.

        Raises:
            ModelError: if they are missing or do not fit.
        """
        if settings.weights == "untrained":
            log.warning(
                "UNTRAINED WEIGHTS: embeddings are noise and identities mean nothing; "
                "this is for testing the plumbing only"
            )
            torch.manual_seed(UNTRAINED_SEED)
            return Embedder(
                QPM(UNTRAINED).eval(), f"untrained-{UNTRAINED_SEED}", settings, (0.0, 0.0)
            )
        path = weights_file(settings.weights)
        model, fingerprint = load_model(path)
        return Embedder(model, fingerprint, settings, load_thresholds(path, fingerprint))

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> PartEmbeddings:
        """Embed crops, each (h, w, 3) uint8 BGR of any size.

        Raises:
            DataError: if a crop is empty or not (h, w, 3) uint8.
        """
        outputs = []
        for first in range(0, len(crops), self.batch):
            chunk = [
                resize_crop(c, self.config, f"crop {first + i}")
                for i, c in enumerate(crops[first:][: self.batch])
            ]
            outputs.append(self._run(np.stack(chunk)))
        if not outputs:
            shape = (0, self.config.num_parts, self.config.dim)
            empty = np.zeros(shape, np.float32)
            return PartEmbeddings(empty, empty, empty[..., 0], self.fingerprint)
        parts, global_parts, quality = (
            np.concatenate(column) for column in zip(*outputs, strict=True)
        )
        return PartEmbeddings(parts, global_parts, quality, self.fingerprint)


def weights_file(weights: str) -> Path:
    """The file that `default` or a path names.

    Raises:
        ModelError: if the default weights are not there.
    """
    if weights != "default":
        return Path(weights)
    path = default_weights()
    if not path.exists():
        raise ModelError(
            f"{path}: the default weights are not there; name a file in "
            "embedding.weights, or `untrained` to test the plumbing"
        )
    return path


def resize_crop(
    crop: NDArray[np.uint8], config: ModelConfig, name: str = "crop"
) -> NDArray[np.uint8]:
    """Bring a crop, (h, w, 3) uint8 BGR of any size, to the model's input size.

    Raises:
        DataError: naming the crop, if it is empty or not (h, w, 3) uint8.
    """
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
        raise DataError(f"{name} is {crop.shape} {crop.dtype}, expected (h, w, 3) uint8 BGR")
    return resize(crop, config.height, config.width)


class TorchBackend:
    """Eager or compiled PyTorch on any device."""

    def __init__(self, deployed: Deployed, device: str, half: bool, *, compiled: bool) -> None:
        self._device, self._half = device, half
        deployed.to(device)
        deployed.model.to(memory_format=torch.channels_last)
        self._call: Any = torch.compile(deployed, dynamic=True) if compiled else deployed

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        """Run one batch."""
        kind = torch.device(self._device).type
        with (
            torch.inference_mode(),
            torch.autocast(kind, torch.bfloat16, enabled=self._half),
        ):
            outputs = self._call(torch.from_numpy(crops).to(self._device))
        return tuple(o.float().cpu().numpy() for o in outputs)


class OpenVinoBackend:
    """OpenVINO on the CPU; the batch dimension stays open."""

    def __init__(self, deployed: Deployed, half: bool) -> None:
        no_reports()
        import openvino as ov

        config = deployed.model.config
        example = torch.zeros(2, config.height, config.width, 3, dtype=torch.uint8)
        with torch.inference_mode():
            model = ov.convert_model(deployed, example_input=example)
        model.reshape([-1, config.height, config.width, 3])
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = ov.Core().compile_model(model, "CPU", options)
        self._request = compiled.create_infer_request()

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        """Run one batch."""
        results = self._request.infer([crops])
        return tuple(np.array(results[i], dtype=np.float32) for i in range(3))


def list_images(folder: Path) -> list[Path]:
    """All images below a folder, sorted by path; nothing hidden.

    Raises:
        DataError: if there is no such folder or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = sorted(p for p in folder.rglob("*") if is_image(p, folder))
    if not paths:
        raise DataError(f"{folder}: no image ({', '.join(sorted(IMAGES))}) in it")
    return paths


def embed_files(
    embedder: Embedder, paths: Sequence[Path], chunk: int = 256
) -> Iterator[PartEmbeddings]:
    """Embed image files chunk by chunk, in order.

    Raises:
        DataError: naming the file that cannot be decoded.
    """
    from reid.datasets import read_image

    for first in range(0, len(paths), chunk):
        crops = [
            np.ascontiguousarray(read_image(p)[:, :, ::-1]) for p in paths[first : first + chunk]
        ]
        yield embedder.embed(crops)
