"""Any weights that Ultralytics loads: torch on CUDA, OpenVINO on a CPU (about twice as fast).

Pre- and post-processing equal Ultralytics' own `predict`; a test compares the boxes.
Ultralytics is AGPL-3.0.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.assets import cache_folder
from pipeline.detectors.boxes import suppress, to_detections
from pipeline.detectors.letterbox import Letterbox, letterbox
from pipeline.records import Frame
from pipeline.settings import DetectorSettings
from reid.errors import ConfigError, ModelError
from trackers.records import Detection

if TYPE_CHECKING:
    import openvino
    import torch

logger = logging.getLogger(__name__)

PERSON = 0  # the class's number in COCO, on which Ultralytics' detectors are trained
STRIDE = 32
MOST = 300  # boxes kept per picture, as Ultralytics does


def quiet() -> None:
    """Before Ultralytics is imported: no printing, no usage reports, no installing."""
    os.environ.setdefault("YOLO_VERBOSE", "False")
    os.environ.setdefault("YOLO_AUTOINSTALL", "False")
    os.environ.setdefault("YOLO_OFFLINE", "True")  # no usage reports, no update checks


class UltralyticsDetector:
    """People from an Ultralytics detection model.

    Args:
        weights: a .pt file.
        settings: confidence, iou, imgsz, device, backend, precision, batch.

    Raises:
        ModelError: the file is not there, damaged, or no detector of people.
        ConfigError: backend or precision cannot be had on the device.
    """

    def __init__(self, weights: Path, settings: DetectorSettings) -> None:
        self._settings = settings
        device = pick_device(settings.device)
        backend = settings.backend
        if backend == "auto":
            backend = "torch" if device.startswith("cuda") else "openvino"
        if backend == "onnxruntime" or (backend == "openvino" and device != "cpu"):
            raise ConfigError(
                f"detector.backend is '{backend}', but {weights.name} on {device} runs on "
                + ("torch or openvino" if device == "cpu" else "torch")
            )
        self._forward: _OpenVinoYolo | _TorchYolo
        if backend == "openvino":
            self._forward = _OpenVinoYolo(weights, settings)
        else:
            self._forward = _TorchYolo(weights, settings, device)
        self.name = f"{weights.name}, {backend} {self._forward.precision} on {device}"

    def process(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Find the people in each frame; see `Detector.process`."""
        side = self._settings.imgsz
        fitted = [letterbox(f.image, (side, side), stride=STRIDE) for f in frames]
        outputs = self._forward([item.image for item in fitted])
        return [
            self._decode(output, item, frame)
            for output, item, frame in zip(outputs, fitted, frames, strict=True)
        ]

    def _decode(
        self, output: NDArray[np.float32], item: Letterbox, frame: Frame
    ) -> list[Detection]:
        """Raw output to detections: (300, 6) of end-to-end models, (4 + classes, A) of others."""
        confidence = self._settings.confidence
        if output.ndim == 2 and output.shape[1] == 6:
            people = output[output[:, 5] == PERSON]
            boxes, scores = people[:, :4], people[:, 4]
        else:
            best = output[4:].argmax(axis=0)
            people = output[:, (best == PERSON) & (output[4 + PERSON] > confidence)].T
            half = people[:, 2:4] / 2
            boxes = np.concatenate([people[:, :2] - half, people[:, :2] + half], axis=1)
            scores = people[:, 4 + PERSON]
            keep = suppress(boxes, scores, self._settings.iou)[:MOST]
            boxes, scores = boxes[keep], scores[keep]
        height, width = frame.image.shape[:2]
        return to_detections(item.to_frame(boxes), scores, width, height, confidence)


class _OpenVinoYolo:
    """The exported network on the CPU."""

    def __init__(self, weights: Path, settings: DetectorSettings) -> None:
        from pipeline.detectors.openvino_engine import OpenVinoEngine, cpu_has_bfloat16

        if settings.precision == "float16":
            raise ConfigError("detector.precision is 'float16', which needs CUDA")
        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "bfloat16" if cpu_has_bfloat16() else "float32"
        self._engine = OpenVinoEngine(exported(weights), bfloat16=self.precision == "bfloat16")

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [outputs[0] for outputs in self._engine.run(pictures)]


class _TorchYolo:
    """The network in torch, pictures of one size batched."""

    def __init__(self, weights: Path, settings: DetectorSettings, device: str) -> None:
        import torch

        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "float16" if device.startswith("cuda") else "float32"
        if device == "cpu" and self.precision == "float16":
            raise ConfigError("detector.precision is 'float16', which needs CUDA")
        self._device, self._batch = device, settings.batch
        self._dtype: torch.dtype = getattr(torch, self.precision)
        network = load(weights).model.fuse(verbose=False).eval()
        self._network = network.to(device=device, dtype=self._dtype)

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(index)
        results: dict[int, NDArray[np.float32]] = {}
        for indices in by_size.values():
            for start in range(0, len(indices), self._batch):
                chosen = indices[start : start + self._batch]
                output = self._infer(np.stack([pictures[i] for i in chosen]))
                results.update(zip(chosen, output, strict=True))
        return [results[index] for index in range(len(pictures))]

    def _infer(self, stack: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, 3) BGR uint8 to the raw outputs (B, ...)."""
        import torch

        with torch.inference_mode():
            bgr = torch.from_numpy(stack).to(self._device)
            rgb = bgr.flip(-1).permute(0, 3, 1, 2).to(self._dtype) / 255
            output = self._network(rgb.contiguous())
            first = output[0] if isinstance(output, tuple | list) else output
            return np.asarray(first.float().cpu().numpy(), np.float32)


def pick_device(wanted: str) -> str:
    """`auto` to `cuda` or `cpu`; a device that is not there raises.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    if wanted == "cpu":
        return wanted
    import torch

    there = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if not there or (":" in wanted and int(wanted[5:]) >= torch.cuda.device_count()):
        raise ConfigError(f"detector.device is '{wanted}', but this machine has no such device")
    return wanted


def load(weights: Path) -> Any:
    """Load a .pt file as an `ultralytics.YOLO` that detects people.

    Raises:
        ModelError: missing, damaged, or another kind of model.
    """
    if not weights.is_file():
        raise ModelError(f"detector weights {weights} are not there")
    quiet()
    from ultralytics import YOLO

    try:
        model = YOLO(str(weights), verbose=False)
    except Exception as error:  # Ultralytics raises whatever the unpickling hits
        raise ModelError(f"detector weights {weights} cannot be loaded: {error}") from error
    if model.task != "detect" or model.names.get(PERSON) != "person":
        raise ModelError(
            f"detector weights {weights} are a '{model.task}' model with class {PERSON} = "
            f"'{model.names.get(PERSON)}'; needed is 'detect' with class {PERSON} = 'person'"
        )
    return model


def exported(weights: Path) -> openvino.Model:
    """The weights as an OpenVINO network of any input size, exported once into the cache folder.

    The cache's key is the weights' SHA-256 and Ultralytics' version: changed weights export anew.
    """
    import ultralytics
    from openvino import Core

    if not weights.is_file():
        raise ModelError(f"detector weights {weights} are not there")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:24]
    folder = cache_folder() / "openvino" / f"{weights.stem}-{digest}-{ultralytics.__version__}"
    if not (folder / "model.xml").is_file():
        logger.info("exporting %s to OpenVINO, once, into %s", weights.name, folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as scratch:
            _export(weights, Path(scratch), folder)
    return Core().read_model(folder / "model.xml")


def _export(weights: Path, scratch: Path, folder: Path) -> None:
    """Let Ultralytics export a copy of the weights in `scratch`; move the result to `folder`."""
    import warnings

    copy = Path(shutil.copy(weights, scratch / "model.pt"))
    model = load(copy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = Path(
            model.export(format="openvino", imgsz=640, dynamic=True, device="cpu", verbose=False)
        )
    try:
        result.rename(folder)
    except OSError:
        if not (folder / "model.xml").is_file():  # unless another process was first
            raise
