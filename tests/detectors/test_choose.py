from __future__ import annotations

import logging
import shutil
import socket
from pathlib import Path

import pytest

from detectors import build_detector, choose
from detectors.settings import DetectorSettings
from detectors.wheels import ssdlite_graph
from reid.errors import ConfigError, DataError, ModelError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No way to GitHub, whatever machine this runs on."""

    def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def graph_is_here() -> None:
    try:
        ssdlite_graph()
    except DataError as error:
        pytest.skip(f"the offline detector cannot be had: {error}")


def test_auto_takes_ultralytics_weights_first(shared: Path, tmp_path: Path) -> None:
    for name in ("yolo11n.pt", "yolo26n.pt", "yolox_nano_416.onnx"):
        shutil.copy(shared / "models" / name, tmp_path)
    detector = build_detector(DetectorSettings(models=str(tmp_path), device="cpu"))
    assert detector.name.startswith("yolo26n.pt, ")


def test_auto_takes_an_onnx_file_next_and_passes_over_what_is_no_detector(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CROSSCAM_CACHE", str(tmp_path / "cache"))
    for name in ("osnet_x0_25_msmt17.onnx", "rtmdet_nano_person_dyn.onnx"):
        shutil.copy(shared / "models" / name, tmp_path)
    with caplog.at_level(logging.INFO):
        detector = build_detector(DetectorSettings(models=str(tmp_path), device="cpu"))
    assert "RTMDet" in detector.name
    assert "not yolo26n.pt" in caplog.text
    assert "osnet" in caplog.text


def test_auto_ends_at_the_offline_detector_and_says_so(
    tmp_path: Path, graph_is_here: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        detector = build_detector(DetectorSettings(models=str(tmp_path), device="cpu"))
    assert detector.name.startswith("ssdlite, ")
    assert "taking ssdlite" in caplog.text


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("yolo26n.pt", ModelError, r"yolo26n\.pt is not on this machine.*github\.com"),
        ("folder/own.pt", ModelError, r"folder/own\.pt are not there"),
        ("absent.onnx", ModelError, r"absent\.onnx is not there"),
        ("yolo26n", ConfigError, r"detector\.name is 'yolo26n'; allowed are auto, ssdlite"),
    ],
)
def test_a_detector_that_is_not_there_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setenv("CROSSCAM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(error, match=message):
        build_detector(DetectorSettings(name=name, models=str(tmp_path)))


def test_a_bare_name_is_looked_for_in_the_models_folder(shared: Path) -> None:
    settings = DetectorSettings(
        name="yolox_nano_416.onnx", models=str(shared / "models"), device="cpu", tiles="2x1"
    )
    assert build_detector(settings).name.endswith("tiles 2x1")


def test_a_closed_port_is_found_out_at_once() -> None:
    assert not choose.reachable("127.0.0.1", 9)


@pytest.mark.parametrize("tiles", ["0x2", "9x9", "2", "2x", "all"])
def test_tiles_are_checked(tiles: str) -> None:
    with pytest.raises(ValueError, match="tiles"):
        DetectorSettings(tiles=tiles)
