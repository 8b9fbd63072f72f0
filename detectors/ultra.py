"""Any weights that Ultralytics loads: torch on CUDA, OpenVINO on a CPU (about twice as fast).

Pre- and post-processing equal Ultralytics' own `predict`; a test compares the boxes.
Ultralytics is AGPL-3.0.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Picture
from detectors.boxes import suppress, to_detections
from detectors.engines import build_engine, choose
from detectors.letterbox import Letterbox, letterbox
from detectors.settings import DetectorSettings
from detectors.wheels import cache_folder
from reid.errors import ModelError
from reid.quiet import no_reports
from trackers.records import Detection

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)

PERSON = 0  # the class's number in COCO, on which Ultralytics' detectors are trained
STRIDE = 32
IOU = 0.7  # two boxes that overlap more are one, as Ultralytics does by default
MOST = 300  # boxes kept per picture, as Ultralytics does


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
        choice = choose(settings)
        self._engine = build_engine(
            choice,
            lambda: load(weights).model.fuse(verbose=False),
            lambda: exported(weights),
            batch=settings.batch,
        )
        self.name = f"{weights.name}, {choice}"

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        """Find the people in each frame; see `Detector.process`."""
        side = self._settings.imgsz
        fitted = [letterbox(f.image, (side, side), stride=STRIDE) for f in frames]
        outputs = self._engine.run([item.image for item in fitted])
        return [
            self._decode(output[0], item, frame)
            for output, item, frame in zip(outputs, fitted, frames, strict=True)
        ]

    def _decode(
        self, output: NDArray[np.float32], item: Letterbox, frame: Picture
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
            keep = suppress(boxes, scores, self._settings.iou or IOU)[:MOST]
            boxes, scores = boxes[keep], scores[keep]
        height, width = frame.image.shape[:2]
        return to_detections(item.to_frame(boxes), scores, width, height, confidence)


def load(weights: Path) -> Any:
    """Load a .pt file as an `ultralytics.YOLO` that detects people.

    Raises:
        ModelError: missing, damaged, or another kind of model.
    """
    if not weights.is_file():
        raise ModelError(f"detector weights {weights} are not there")
    no_reports()
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
    no_reports()
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
