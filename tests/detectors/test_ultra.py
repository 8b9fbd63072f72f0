from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors.settings import DetectorSettings
from detectors.ultra import UltralyticsDetector, exported, load
from reid.errors import ConfigError, ModelError
from reid.quiet import no_reports
from tests.detectors.detector_frames import as_array, average_precision, read_frames, read_truth

INDICES = list(range(0, 795, 100))


@pytest.mark.parametrize("name", ["yolo26n.pt", "yolo11n.pt"])  # end to end; with suppression
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_boxes_equal_ultralytics_predict(shared: Path, name: str, backend: str) -> None:
    """The same people, to a hundredth of a pixel, whole frames and odd sizes mixed."""
    no_reports()
    from ultralytics import YOLO

    frames = read_frames(shared / "footage" / "pets_full.avi", INDICES[::3])
    frames += read_frames(shared / "footage" / "pets_left.mp4", [50])
    settings = DetectorSettings(device="cpu", backend=backend, precision="float32")
    detector = UltralyticsDetector(shared / "models" / name, settings)
    found = detector.process(frames)
    peer = YOLO(str(shared / "models" / name))
    people = 0
    for frame, detections in zip(frames, found, strict=True):
        boxes = peer.predict(
            frame.image, conf=settings.confidence, classes=[0], verbose=False, device="cpu"
        )[0].boxes
        theirs = np.hstack([boxes.xyxy.numpy(), boxes.conf.numpy()[:, None]])
        theirs = theirs[np.argsort(-theirs[:, 4], kind="stable")]
        ours = as_array(detections)
        assert ours.shape == theirs.shape
        assert np.allclose(ours[:, :4], theirs[:, :4], atol=0.01)
        assert np.allclose(ours[:, 4], theirs[:, 4], atol=1e-4)
        people += len(ours)
    assert people > 10


def test_what_is_found_does_not_depend_on_the_batch(shared: Path) -> None:
    frames = read_frames(shared / "footage" / "pets_full.avi", INDICES[:4])
    frames.insert(2, read_frames(shared / "footage" / "pets_left.mp4", [50])[0])
    detector = UltralyticsDetector(shared / "models" / "yolo26n.pt", DetectorSettings(device="cpu"))
    together = detector.process(frames)
    assert together == [detector.process([frame])[0] for frame in frames]
    assert detector.process([]) == []


def test_finds_the_people_of_pets(shared: Path) -> None:
    frames = read_frames(shared / "footage" / "pets_full.avi", INDICES)
    detector = UltralyticsDetector(shared / "models" / "yolo26n.pt", DetectorSettings(device="cpu"))
    truth = read_truth(shared / "footage" / "pets_full_gt.txt")
    assert average_precision(frames, detector.process(frames), truth) > 0.85


def test_exports_once(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSCAM_CACHE", str(tmp_path))
    exported(shared / "models" / "yolo26n.pt")
    made = list((tmp_path / "openvino").iterdir())
    assert len(made) == 1, "the scratch folder stays behind"
    before = (made[0] / "model.xml").stat().st_mtime_ns
    exported(shared / "models" / "yolo26n.pt")
    assert (made[0] / "model.xml").stat().st_mtime_ns == before


def test_missing_and_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.pt"):
        load(tmp_path / "absent.pt")
    (tmp_path / "damaged.pt").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"damaged\.pt"):
        load(tmp_path / "damaged.pt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backend": "onnxruntime"}, "onnxruntime.*openvino or torch"),
        ({"precision": "float16"}, "float16.*CUDA"),
        ({"device": "cuda:7"}, "cuda:7"),
    ],
)
def test_what_does_not_go_together_is_refused(
    shared: Path, changed: dict[str, str], message: str
) -> None:
    settings = DetectorSettings(**{"device": "cpu", **changed})
    with pytest.raises(ConfigError, match=message):
        UltralyticsDetector(shared / "models" / "yolo26n.pt", settings)
