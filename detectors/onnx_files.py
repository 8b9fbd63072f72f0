"""RTMDet and YOLOX detectors from ONNX files, run by ONNX Runtime.

The family is read from the graph's inputs and outputs:

    RTMDet (as MMDeploy exports it)  outputs `dets` (N, n, 5) and `labels` (N, n), NMS inside
    YOLOX (as its authors export it) one output (1, A, 5 + classes), grid offsets not yet applied
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.base import Picture
from detectors.boxes import suppress, to_detections
from detectors.engines import pick_device
from detectors.letterbox import Letterbox, letterbox
from detectors.settings import DetectorSettings
from reid.errors import ConfigError, ModelError
from trackers.records import Detection

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]

STRIDE = 32
PERSON = 0  # the class's number in COCO
YOLOX_STRIDES = (8, 16, 32)
YOLOX_IOU = 0.65  # its authors' value
# ImageNet's mean and deviation in 0..255, in the order blue, green, red: RTMDet takes BGR
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)


class Family(Protocol):
    """What is particular to a family of models."""

    name: str

    def fit(self, image: NDArray[np.uint8]) -> Letterbox:
        """Fit a frame into the input."""
        ...

    def encode(self, image: NDArray[np.uint8]) -> FloatArray:
        """(h, w, 3) BGR uint8 to the network's input (1, 3, h, w)."""
        ...

    def decode(self, outputs: Sequence[NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
        """Outputs to (N, 4) corners in the input's pixels and (N,) confidences of people."""
        ...


class OnnxDetector:
    """People from an ONNX file; see `Detector`.

    Raises:
        ModelError: the file is missing, damaged, or of no family that is known here.
        ConfigError: backend or precision that ONNX files do not run with.
    """

    def __init__(self, file: Path, settings: DetectorSettings) -> None:
        if settings.backend not in ("auto", "onnxruntime"):
            raise ConfigError(
                f"detector.backend is '{settings.backend}', but {file.name} runs on onnxruntime"
            )
        if settings.precision not in ("auto", "float32"):
            raise ConfigError(
                f"detector.precision is '{settings.precision}', but {file.name} runs in float32"
            )
        self._settings = settings
        self._session = _session(file, settings)
        self._input = self._session.get_inputs()[0].name
        self._family = recognise(file, self._session, settings)
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self.name = f"{file.name} ({self._family.name}), onnxruntime on {provider.lower()}"

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        """Find the people in each frame; see `Detector.process`."""
        return [self._look(frame) for frame in frames]

    def _look(self, frame: Picture) -> list[Detection]:
        fitted = self._family.fit(frame.image)
        outputs = self._session.run(None, {self._input: self._family.encode(fitted.image)})
        boxes, scores = self._family.decode(outputs)
        height, width = frame.image.shape[:2]
        return to_detections(
            fitted.to_frame(boxes), scores, width, height, self._settings.confidence
        )


class RtmDet:
    """RTMDet as MMDeploy exports it: sigmoid scores, NMS in the graph."""

    name = "RTMDet"

    def __init__(self, size: tuple[int, int], dynamic: bool, iou: float | None) -> None:
        self._size, self._stride, self._iou = size, STRIDE if dynamic else None, iou

    def fit(self, image: NDArray[np.uint8]) -> Letterbox:
        """The smallest rectangle where the input's size is free, else the input's size."""
        return letterbox(image, self._size, stride=self._stride, centre=False)

    def encode(self, image: NDArray[np.uint8]) -> FloatArray:
        """BGR, ImageNet's mean and deviation."""
        scaled = (image.astype(np.float32) - MEAN) / DEVIATION
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    def decode(self, outputs: Sequence[NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
        """Rows of left, top, right, bottom, confidence; filled up with confidence 0."""
        rows, labels = outputs[0][0], outputs[1][0]
        people = np.asarray(rows[labels == PERSON], np.float32)
        if self._iou is not None:
            people = people[suppress(people[:, :4], people[:, 4], self._iou)]
        return people[:, :4], people[:, 4]


class YoloX:
    """YOLOX: per anchor an offset, a log size, objectness and class scores (sigmoid applied)."""

    name = "YOLOX"

    def __init__(self, size: tuple[int, int], confidence: float, iou: float | None) -> None:
        self._size, self._confidence, self._iou = size, confidence, iou or YOLOX_IOU
        self._cell, self._stride = grid(size)

    def fit(self, image: NDArray[np.uint8]) -> Letterbox:
        """Padded at the right and bottom."""
        return letterbox(image, self._size, centre=False)

    def encode(self, image: NDArray[np.uint8]) -> FloatArray:
        """BGR 0..255 as it is."""
        return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)

    def decode(self, outputs: Sequence[NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
        """Apply the grid; an anchor is a person if that is its best class."""
        table = np.asarray(outputs[0][0], np.float32)
        classes = table[:, 5:]
        scores = table[:, 4] * classes[:, PERSON]
        chosen = (classes.argmax(axis=1) == PERSON) & (scores > self._confidence)
        offset, scores = table[chosen, :4], scores[chosen]
        cell, stride = self._cell[chosen], self._stride[chosen, None]
        centre = (offset[:, :2] + cell) * stride
        half = np.exp(np.minimum(offset[:, 2:], 10)) * stride / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        keep = suppress(boxes, scores, self._iou)
        return boxes[keep], scores[keep]


def grid(size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """YOLOX's anchors for an input (height, width): (A, 2) cells x, y and (A,) strides."""
    cells, strides = [], []
    for stride in YOLOX_STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full(rows * columns, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def recognise(file: Path, session: Any, settings: DetectorSettings) -> Family:
    """Find a file's family from its inputs and outputs.

    Raises:
        ModelError: no family that is known here.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = list(inputs[0].shape)
    seen = f"inputs {[(i.name, i.shape) for i in inputs]}, outputs " + str(
        [(o.name, o.shape) for o in outputs]
    )
    if len(inputs) == 1 and len(shape) == 4 and shape[1] == 3:
        fixed = all(isinstance(side, int) for side in shape[2:])
        size = (shape[2], shape[3]) if fixed else (settings.imgsz, settings.imgsz)
        if [o.name for o in outputs] == ["dets", "labels"]:
            return RtmDet(size, not fixed, settings.iou)
        last = outputs[0].shape
        if len(outputs) == 1 and fixed and len(last) == 3 and last[1] == len(grid(size)[1]):
            return YoloX(size, settings.confidence, settings.iou)
    raise ModelError(f"{file} is neither RTMDet nor YOLOX: it has {seen}")


def _session(file: Path, settings: DetectorSettings) -> Any:
    """Open the file on the device; quiet but for errors."""
    import onnxruntime

    if not file.is_file():
        raise ModelError(f"detector file {file} is not there")
    providers: list[Any] = ["CPUExecutionProvider"]
    device = pick_device(settings.device)
    if device.startswith("cuda"):
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            number = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number}))
        elif settings.device != "auto":
            raise ConfigError(
                f"detector.device is '{settings.device}', but this onnxruntime has no CUDA "
                "(the package onnxruntime-gpu has)"
            )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime has no common root for its errors
        raise ModelError(f"{file} cannot be opened by onnxruntime: {error}") from error
