"""The offline detector: a pedestrian SSDLite (MobileNetV2, 300 x 300) from a frozen graph.

The network runs in OpenVINO on a CPU and in torch on CUDA, both from the same torch module. The
anchors, box coder and thresholds are read from the graph's own constants.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors.base import Arrays, Detector, Picture
from detectors.boxes import suppress, to_detections
from detectors.engines import build_engine, choose
from detectors.settings import DetectorSettings
from detectors.tensorflow_graph import Node, read_graph
from reid.errors import ModelError
from reid.quiet import no_reports
from trackers.records import Detection

if TYPE_CHECKING:
    import openvino
    from torch import nn

FloatArray = NDArray[np.float32]

SIDE = 300  # pixels: the network's input is square
PERSON = 1  # class 0 is the background
SOURCE = "Preprocessor/sub"
ANCHORS = "MultipleGridAnchorGenerator"
DECODE = "Postprocessor/Decode"


def build_ssdlite(graph: Path, settings: DetectorSettings) -> Detector:
    """Build the detector from a frozen graph, tiled as the settings say.

    Raises:
        ModelError: the file is no such graph.
        ConfigError: backend or precision cannot be had on the device.
    """
    from detectors.tiles import TiledDetector

    detector = SsdLiteDetector(graph, settings)
    return detector if settings.tiles == "none" else TiledDetector(detector, settings.tiles)


class SsdLiteDetector:
    """One look at each frame, squeezed to 300 x 300; see `Detector`."""

    def __init__(self, graph: Path, settings: DetectorSettings) -> None:
        nodes = read_graph(graph)
        self._settings = settings
        try:
            self._anchors = anchors(nodes)
            self._coder = np.array(
                [scalar(nodes, f"{DECODE}/truediv{s}/y") for s in ("", "_1", "_2", "_3")],
                np.float32,
            )
            self._iou = settings.iou or suppression_iou(nodes)
            scale = scalar(nodes, "Preprocessor/mul/x")
            shift = -scalar(nodes, "Preprocessor/sub/y")
        except KeyError as error:
            raise ModelError(f"{graph} is no SSD graph: node {error} is missing") from error
        choice = choose(settings)
        self._engine = build_engine(
            choice,
            lambda: _network(nodes),
            lambda: _for_openvino(_network(nodes)),
            batch=settings.batch,
            scale=scale,
            shift=shift,
        )
        self.name = f"ssdlite, {choice}"

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        """Find the people in each frame; see `Detector.process`."""
        import cv2

        pictures = [
            np.asarray(cv2.resize(f.image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
            for f in frames
        ]
        outputs = self._engine.run(pictures)
        return [self._decode(output, f) for output, f in zip(outputs, frames, strict=True)]

    def _decode(self, output: Arrays, frame: Picture) -> list[Detection]:
        """Raw heads to detections in pixels of the frame."""
        height, width = frame.image.shape[:2]
        encoded, scores = heads(output)
        likely = np.flatnonzero(scores > self._settings.confidence)
        boxes = decode(encoded[likely], self._anchors[likely], self._coder)
        boxes *= np.array([width, height, width, height], np.float32)
        keep = suppress(boxes, scores[likely], self._iou)
        return to_detections(
            boxes[keep], scores[likely][keep], width, height, self._settings.confidence
        )


def heads(output: Arrays) -> tuple[FloatArray, FloatArray]:
    """Per scale a box head (4 a, h, w) and a class head (2 a, h, w) to (A, 4) and (A,) scores."""
    encoded = np.concatenate([o.transpose(1, 2, 0).reshape(-1, 4) for o in output[0::2]])
    logits = np.concatenate([o.transpose(1, 2, 0).reshape(-1, 2) for o in output[1::2]])
    scores = 1 / (1 + np.exp(-logits[:, PERSON]))
    return encoded.astype(np.float32), scores.astype(np.float32)


def decode(encoded: FloatArray, anchor: FloatArray, coder: FloatArray) -> FloatArray:
    """Faster R-CNN's box coder.

    Args:
        encoded: (A, 4) offsets y, x, height, width.
        anchor: (A, 4) centre y, x, height, width in 0..1.
        coder: (4,) what each offset was multiplied with in training.

    Returns:
        (A, 4) left, top, right, bottom in 0..1.
    """
    offset = encoded / coder
    centre = offset[:, :2] * anchor[:, 2:] + anchor[:, :2]
    half = np.exp(np.minimum(offset[:, 2:], 10)) * anchor[:, 2:] / 2
    low, high = centre - half, centre + half
    return np.stack([low[:, 1], low[:, 0], high[:, 1], high[:, 0]], axis=1).astype(np.float32)


def anchors(nodes: Mapping[str, Node]) -> FloatArray:
    """(A, 4) anchors, centre y, x, height, width in 0..1, in the order of the heads.

    Read from the graph's constants: per scale the grid's size, the aspect ratios (width over
    height) and the sizes (share of the picture).
    """
    found: list[FloatArray] = []
    scales = sum(re.fullmatch(rf"{ANCHORS}/Sqrt(_\d+)?", name) is not None for name in nodes)
    for scale in range(scales):
        suffix = f"_{scale}" if scale else ""
        rows = int(scalar(nodes, f"{ANCHORS}/ToFloat_{2 + 2 * scale}/x"))
        columns = int(scalar(nodes, f"{ANCHORS}/ToFloat_{3 + 2 * scale}/x"))
        root = np.sqrt(nodes[f"{ANCHORS}/Sqrt{suffix}/x"].tensor())
        size = nodes[f"{ANCHORS}/truediv_{14 + scale}/x"].tensor()
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns)
        centre = np.stack([y.T.ravel(), x.T.ravel()], axis=1)
        shape = np.stack([size / root, size * root], axis=1)
        grid = np.concatenate(
            [np.repeat(centre, len(shape), axis=0), np.tile(shape, (len(centre), 1))], axis=1
        )
        found.append(grid.astype(np.float32))
    if not found:
        raise KeyError(f"{ANCHORS}/Sqrt")
    return np.concatenate(found)


def scalar(nodes: Mapping[str, Node], name: str) -> float:
    """The value of a constant."""
    return float(nodes[name].tensor().reshape(-1)[0])


def suppression_iou(nodes: Mapping[str, Node]) -> float:
    """The overlap that the graph's own non-maximum suppression allows."""
    node = next((n for n in nodes.values() if n.op == "NonMaxSuppressionV3"), None)
    if node is None:
        raise KeyError("NonMaxSuppressionV3")
    return scalar(nodes, node.inputs[3])


def _network(nodes: Mapping[str, Node]) -> nn.Module:
    """The convolutional part: six scales, per scale the box head and the class head."""
    from detectors.frozen_network import FrozenNetwork

    outputs = [
        f"BoxPredictor_{scale}/{head}/BiasAdd"
        for scale in range(6)
        for head in ("BoxEncodingPredictor", "ClassPredictor")
    ]
    return FrozenNetwork(nodes, SOURCE, outputs)


def _for_openvino(network: nn.Module) -> openvino.Model:
    """The network as an OpenVINO model."""
    no_reports()
    import openvino
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own tracer is deprecated, OpenVINO uses it
        model: openvino.Model = openvino.convert_model(
            network, example_input=torch.zeros(1, 3, SIDE, SIDE)
        )
    return model
