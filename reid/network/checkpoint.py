"""Model files: safetensors with the configuration in the header, and the model's fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reid.chance import Chance
from reid.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from reid.network.config import ModelConfig
    from reid.network.qpm import QPM

FORMAT = "crosscam-qpm-1"
DEFAULT_WEIGHTS = "qpm_default.safetensors"
FREE = {"height", "width", "gamma", "top_n"}  # what a model may change without new weights
SIZED = {"fc", "rga"}  # attentions whose weights are as many as the pixels


def save_model(model: QPM, path: Path, notes: dict[str, str], *, half: bool = True) -> None:
    """Write the model (no training heads) to a safetensors file, atomically.

    Args:
        model: the network.
        path: file to write.
        notes: free text for the header: data, commit, terms.
        half: store floating point tensors as float16, but for those with values beyond it.
    """
    tensors = {
        name: halved(t) if half and t.is_floating_point() else t
        for name, t in model.state_dict().items()
    }
    header = {"format": FORMAT, "model": model.config.model_dump_json(), **notes}
    save_tensors(tensors, path, header)


def halved(tensor: Tensor) -> Tensor:
    """The tensor in float16, or as it is where that would make a value infinite."""
    half = tensor.half()
    return half if bool(half.isfinite().all()) else tensor


def save_tensors(tensors: dict[str, Tensor], path: Path, header: dict[str, str]) -> None:
    """Write a safetensors file, atomically: a power cut leaves the old file or the new."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    save_file(plain, temporary, metadata=header)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_start(model: QPM, path: Path) -> str:
    """Copy another model's weights into `model`; return the file's fingerprint.

    Gamma and n may differ, and the input size unless the attention's weights hang on it;
    whatever shapes the network may not.

    Raises:
        ModelError: if the file cannot be used, naming the key and both values.
    """
    other, fingerprint = load_model(path)
    theirs, ours = other.config.model_dump(), model.config.model_dump()
    sized = model.config.has_global and model.config.attention in SIZED
    free = FREE - {"height", "width"} if sized else FREE
    wrong = [k for k in ours if k not in free and theirs[k] != ours[k]]
    if wrong:
        parts = [
            f"model.{k} is {theirs[k]} there and {ours[k]} in the configuration" for k in wrong
        ]
        raise ModelError(f"{path}: cannot start from it: {'; '.join(parts)}")
    model.load_state_dict(other.state_dict())
    return fingerprint


def default_weights() -> Path:
    """Path of the weights shipped with crosscam."""
    return Path(str(files("reid") / "weights" / DEFAULT_WEIGHTS))


def load_model(path: Path) -> tuple[QPM, str]:
    """Read a model file; return the network in eval mode (float32) and its fingerprint.

    Raises:
        ModelError: if the file is missing, damaged, does not fit its own configuration, or holds
            a value that is not finite.
    """
    from safetensors import SafetensorError, safe_open

    from reid.network.qpm import QPM

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read model weights: {error}") from error
    if header.get("format") != FORMAT:
        raise ModelError(f"{path}: format {header.get('format')!r}, expected {FORMAT!r}")
    config = parse_config(path, header)
    model = QPM(config)
    own = model.state_dict()
    wrong = [n for n in own if n not in tensors or tensors[n].shape != own[n].shape]
    if wrong or set(tensors) - set(own):
        name = (wrong or sorted(set(tensors) - set(own)))[0]
        have = tuple(tensors[name].shape) if name in tensors else "missing"
        need = tuple(own[name].shape) if name in own else "no such tensor"
        raise ModelError(
            f"{path}: weights do not fit K={config.num_parts}, d={config.dim}: "
            f"{name} is {have}, expected {need}"
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(f"{path}: {name} holds values that are not finite")
    model.load_state_dict(
        {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    )
    return model.eval(), file_fingerprint(path)


def read_config(path: Path) -> ModelConfig:
    """The configuration of a model file; its weights are not read.

    Raises:
        ModelError: if the file is missing or damaged.
    """
    return parse_config(path, read_header(path))


def read_header(path: Path) -> dict[str, str]:
    """What a model file says of itself: `model`, and how it was made; its weights are not read.

    Raises:
        ModelError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read model weights: {error}") from error


def parse_config(path: Path, header: dict[str, str]) -> ModelConfig:
    """Read the model configuration out of a file's header."""
    from pydantic import ValidationError

    from reid.network.config import ModelConfig

    try:
        return ModelConfig.model_validate(json.loads(header["model"]))
    except (KeyError, ValueError, ValidationError) as error:
        raise ModelError(f"{path}: header holds no valid model configuration: {error}") from error


def file_fingerprint(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256: weights, configuration and notes.

    Raises:
        ModelError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise ModelError(f"{path}: cannot read model weights: {error}") from error


def calibration_file(weights: Path) -> Path:
    """Where a model file's calibration lies: beside it, same name, `.json`."""
    return weights.with_suffix(".json")


def load_thresholds(weights: Path, fingerprint: str) -> tuple[float, float] | None:
    """The link threshold and the `possible` distance of a model file, or None if there are none.

    Raises:
        ModelError: if the calibration is damaged or belongs to other weights.
    """
    data = _calibration(weights, fingerprint)
    if data is None:
        return None
    try:
        return float(data["threshold"]), float(data["possible"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{calibration_file(weights)}: not a calibration: {error}") from error


def load_chance(weights: Path, fingerprint: str) -> Chance | None:
    """How near different people come by chance, or None if nobody measured it.

    Raises:
        ModelError: as for `load_thresholds`.
    """
    data = _calibration(weights, fingerprint)
    if data is None or "strangers" not in data:
        return None
    try:
        return Chance(tuple((float(d), float(share)) for d, share in data["strangers"]))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{calibration_file(weights)}: not a calibration: {error}") from error


def _calibration(weights: Path, fingerprint: str) -> dict[str, Any] | None:
    path = calibration_file(weights)
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text())
        owner = data["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a calibration: {error}") from error
    if owner != fingerprint:
        raise ModelError(f"{path}: calibrated for model {owner}, but the weights are {fingerprint}")
    return dict(data)
