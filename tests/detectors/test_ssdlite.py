from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors.boxes import suppress
from detectors.settings import DetectorSettings
from detectors.ssdlite import (
    SsdLiteDetector,
    anchors,
    build_ssdlite,
    decode,
    heads,
    suppression_iou,
)
from detectors.tensorflow_graph import read_graph
from detectors.wheels import ssdlite_graph
from pipeline.records import Frame
from reid.errors import DataError, ModelError
from tests.detectors.detector_frames import as_array, average_precision, read_frames, read_truth


@pytest.fixture(scope="module")
def graph() -> Path:
    try:
        return ssdlite_graph()
    except DataError as error:
        pytest.skip(f"the graph is not in the cache and cannot be had: {error}")


@pytest.fixture(scope="module")
def frames(shared: Path) -> list[Frame]:
    people = read_frames(shared / "footage" / "pose2sim" / "multiperson_cam01.mp4", [10])
    return people + read_frames(shared / "footage" / "pets_full.avi", [100, 300])


@pytest.fixture(scope="module")
def detector(graph: Path) -> SsdLiteDetector:
    return SsdLiteDetector(graph, DetectorSettings(device="cpu", precision="float32"))


def squeezed(frame: Frame) -> np.ndarray:
    """(1, 300, 300, 3) RGB uint8."""
    return cv2.resize(frame.image, (300, 300))[None, ..., ::-1].copy()


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_network_equals_the_converted_graph(
    shared: Path, graph: Path, frames: list[Frame], backend: str
) -> None:
    """Oracle: the same graph, converted by others, in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(shared / "models" / "ssdlite_ped_300_converted.onnx")
    )
    settings = DetectorSettings(device="cpu", backend=backend, precision="float32")
    ours = SsdLiteDetector(graph, settings)
    for frame in frames:
        picture = squeezed(frame)
        scaled = picture.astype(np.float32).transpose(0, 3, 1, 2) * np.float32(2 / 255) - 1
        theirs = session.run(None, {"image": scaled})
        outputs = ours._engine.run([picture[0, ..., ::-1]])[0]
        assert len(outputs) == len(theirs) == 12
        for a, b in zip(outputs, theirs, strict=True):
            assert np.abs(a.transpose(1, 2, 0) - b[0]).max() < 2e-4


def test_boxes_equal_those_of_the_whole_graph(
    graph: Path, frames: list[Frame], detector: SsdLiteDetector
) -> None:
    """Oracle: OpenVINO reads the TensorFlow graph itself, anchors, decoder and suppression too."""
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape([1, 300, 300, 3])
    whole = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for frame in frames:
        results = whole(squeezed(frame))
        boxes, scores = results["detection_boxes:0"][0], results["detection_scores:0"][0]
        height, width = frame.image.shape[:2]
        kept = scores > detector._settings.confidence
        expected = boxes[kept][:, [1, 0, 3, 2]] * [width, height, width, height]
        ours = as_array(detector.process([frame])[0])
        assert len(ours) == len(expected) > 0
        assert np.abs(ours[:, 4] - scores[kept]).max() < 1e-3
        assert np.abs(ours[:, :4] - expected).max() < 0.5


def test_anchors_and_constants_of_the_graph(graph: Path) -> None:
    nodes = read_graph(graph)
    found = anchors(nodes)
    assert found.shape == (1917, 4)  # 19x19x3 + (10x10 + 5x5 + 3x3 + 2x2 + 1) x 6
    assert found[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert found[4] == pytest.approx([0.5 / 19, 1.5 / 19, 0.2 / 2**0.5, 0.2 * 2**0.5])
    assert suppression_iou(nodes) == pytest.approx(0.6)


def test_decode_by_hand() -> None:
    anchor = np.array([[0.5, 0.5, 0.2, 0.1]], np.float32)
    encoded = np.array([[1.0, -2.0, 5 * np.log(2), 0.0]], np.float32)
    box = decode(encoded, anchor, np.array([10, 10, 5, 5], np.float32))
    # centre y 0.5 + 0.1 x 0.2, x 0.5 - 0.2 x 0.1; height twice 0.2, width 0.1
    assert box[0] == pytest.approx([0.43, 0.32, 0.53, 0.72], abs=1e-6)


def test_heads_keep_anchor_order() -> None:
    """Channel a x 4 + c of cell (y, x) is number c of the cell's anchor a."""
    raw = np.arange(8 * 2 * 3, dtype=np.float32).reshape(8, 2, 3)
    logits = np.zeros((4, 2, 3), np.float32)
    logits[3, 1, 2] = 100  # the second anchor of the last cell is a person
    encoded, scores = heads([raw, logits])
    assert encoded.shape == (12, 4)
    assert encoded[3].tolist() == raw[4:, 0, 1].tolist()
    assert scores.argmax() == 11


def test_tiles_find_more_people(shared: Path, graph: Path) -> None:
    frames = read_frames(shared / "footage" / "pets_full.avi", list(range(0, 795, 80)))
    truth = read_truth(shared / "footage" / "pets_full_gt.txt")
    settings = DetectorSettings(device="cpu", name="ssdlite")
    plain = build_ssdlite(graph, settings.model_copy(update={"tiles": "none"}))
    tiled = build_ssdlite(graph, settings)
    score = average_precision(frames, plain.process(frames), truth)
    assert score > 0.55
    assert average_precision(frames, tiled.process(frames), truth) > score + 0.05


def test_a_picture_without_people(detector: SsdLiteDetector) -> None:
    image = np.full((480, 640, 3), 127, np.uint8)
    assert [d for d in detector.process([Frame("a", 0, 0.0, image)])[0] if d.confidence > 0.3] == []


def test_another_graph_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pb"
    file.write_bytes(bytes.fromhex("0a0d0a017812084964656e74697479"))
    with pytest.raises(ModelError, match=r"other\.pb is no SSD graph"):
        SsdLiteDetector(file, DetectorSettings(device="cpu"))


def test_suppression_is_that_of_the_graph(graph: Path) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5.9]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert len(suppress(boxes, scores, suppression_iou(read_graph(graph)))) == 2
