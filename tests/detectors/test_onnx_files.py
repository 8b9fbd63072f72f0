from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors.onnx_files import OnnxDetector, YoloX, grid
from detectors.settings import DetectorSettings
from reid.errors import ConfigError, ModelError
from tests.detectors.detector_frames import average_precision, read_frames, read_truth


@pytest.mark.parametrize(
    ("name", "family", "confidence", "least"),
    [
        ("rtmdet_nano_person_dyn.onnx", "RTMDet", 0.4, 0.93),  # stated: 0.95 at this threshold
        ("yolox_nano_416.onnx", "YOLOX", 0.1, 0.90),
    ],
)
def test_finds_the_people_of_pets(
    shared: Path, name: str, family: str, confidence: float, least: float
) -> None:
    frames = read_frames(shared / "footage" / "pets_full.avi", list(range(0, 795, 40)))
    settings = DetectorSettings(device="cpu", confidence=confidence)
    detector = OnnxDetector(shared / "models" / name, settings)
    assert family in detector.name
    found = detector.process(frames)
    truth = read_truth(shared / "footage" / "pets_full_gt.txt")
    assert average_precision(frames, found, truth) > least
    assert all(d.confidence > confidence for items in found for d in items)
    assert found[3] == detector.process(frames[3:4])[0]


def test_yolox_grid_against_a_plain_loop() -> None:
    """One anchor per cell: centre (offset + cell) x stride, size exp(log size) x stride."""
    cells, strides = grid((64, 96))
    expected = [
        (x, y, stride)
        for stride in (8, 16, 32)
        for y in range(64 // stride)
        for x in range(96 // stride)
    ]
    assert [
        (x, y, s) for (x, y), s in zip(cells.tolist(), strides.tolist(), strict=True)
    ] == expected

    table = np.zeros((len(expected), 7), np.float32)
    chosen = expected.index((1, 1, 16))
    table[chosen] = (0.25, 0.5, np.log(2), np.log(3), 0.9, 0.8, 0.1)
    boxes, scores = YoloX((64, 96), 0.1, None).decode([table[None]])
    assert scores == pytest.approx([0.72])
    centre_x, centre_y = 1.25 * 16, 1.5 * 16
    assert boxes[0] == pytest.approx(
        [centre_x - 16, centre_y - 24, centre_x + 16, centre_y + 24], abs=1e-4
    )


def test_other_files_are_refused_by_name(shared: Path, tmp_path: Path) -> None:
    settings = DetectorSettings(device="cpu")
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        OnnxDetector(tmp_path / "absent.onnx", settings)
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        OnnxDetector(tmp_path / "damaged.onnx", settings)
    with pytest.raises(ModelError, match=r"neither RTMDet nor YOLOX.*inputs"):
        OnnxDetector(shared / "models" / "osnet_x0_25_msmt17.onnx", settings)


@pytest.mark.parametrize("changed", [{"backend": "torch"}, {"precision": "bfloat16"}])
def test_what_does_not_go_together_is_refused(shared: Path, changed: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changed.values()))):
        OnnxDetector(
            shared / "models" / "yolox_nano_416.onnx", DetectorSettings(device="cpu", **changed)
        )
