"""Which detector is built: by name, or the first that is there."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

from detectors.base import Detector
from detectors.settings import DetectorSettings
from detectors.tiles import TiledDetector
from reid.errors import ConfigError, DataError, ModelError
from reid.quiet import no_reports

logger = logging.getLogger(__name__)

FAVOURITE = "yolo26n.pt"
SSDLITE = "ssdlite"
DOWNLOADS = ("github.com", 443)  # where Ultralytics keeps its weights
PATIENCE = 3.0  # seconds to find out that there is no way there


def build_detector(settings: DetectorSettings) -> Detector:
    """Build the detector that the settings name; `auto` takes the first that is there.

    Raises:
        ConfigError: the name is no detector we know.
        ModelError: its file is missing, damaged or of another kind.
        DataError: `ssdlite` (or `auto`, which ends there) cannot be downloaded.
    """
    detector = _automatic(settings) if settings.name == "auto" else _named(settings)
    if settings.tiles not in ("auto", "none") and not isinstance(detector, TiledDetector):
        detector = TiledDetector(detector, settings.tiles)
    logger.info("detector: %s", detector.name)
    return detector


def _named(settings: DetectorSettings) -> Detector:
    if settings.name == SSDLITE:
        return _ssdlite(settings)
    suffix = Path(settings.name).suffix
    if suffix not in (".pt", ".onnx"):
        raise ConfigError(
            f"detector.name is '{settings.name}'; allowed are auto, {SSDLITE}, "
            "or the name or path of a .pt or .onnx file"
        )
    found = local(settings)
    if suffix == ".onnx":
        if found is None:
            raise ModelError(f"detector.name: {settings.name} is not there")
        return _from_file(found, settings)
    return _from_file(found or download(settings.name), settings)


def _automatic(settings: DetectorSettings) -> Detector:
    """The first that is there: Ultralytics weights, an ONNX file, the offline SSDLite."""
    folder = Path(settings.models)
    weights = sorted(folder.glob("yolo*.pt"), key=lambda p: (p.name != FAVOURITE, p.name))
    if weights:
        logger.info("detector auto: %s lies in the models folder", weights[0])
        return _from_file(weights[0], settings)
    try:
        file = download(FAVOURITE)
        logger.info("detector auto: %s can be had from Ultralytics (AGPL-3.0)", FAVOURITE)
        return _from_file(file, settings)
    except ModelError as error:
        logger.info("detector auto: not %s: %s", FAVOURITE, error)
    for file in sorted(folder.glob("*.onnx")):
        try:
            detector = _from_file(file, settings)
        except ModelError as error:
            logger.info("detector auto: not %s: %s", file, error)
            continue
        logger.info("detector auto: %s lies in the models folder", file)
        return detector
    logger.info("detector auto: nothing in models folder '%s'; taking %s", folder, SSDLITE)
    return _ssdlite(settings)


def _from_file(file: Path, settings: DetectorSettings) -> Detector:
    if file.suffix == ".onnx":
        from detectors.onnx_files import OnnxDetector

        return OnnxDetector(file, settings)
    from detectors.ultra import UltralyticsDetector

    return UltralyticsDetector(file, settings)


def _ssdlite(settings: DetectorSettings) -> Detector:
    from detectors.ssdlite import build_ssdlite
    from detectors.wheels import ssdlite_graph

    try:
        graph = ssdlite_graph()
    except DataError as error:
        raise DataError(f"detector {SSDLITE}: {error}") from error
    return build_ssdlite(graph, settings)


def local(settings: DetectorSettings) -> Path | None:
    """The named file: as it is written, or in the models folder; None if in neither."""
    for candidate in (Path(settings.name).expanduser(), Path(settings.models) / settings.name):
        if candidate.is_file():
            return candidate
    return None


def download(name: str) -> Path:
    """Have Ultralytics download one of its weights into the cache folder; once.

    Raises:
        ModelError: a path that is not there, a name Ultralytics does not know, or no network.
    """
    from detectors.wheels import cache_folder

    folder = cache_folder() / "models"
    if (folder / name).is_file():
        return folder / name
    if Path(name).name != name:
        raise ModelError(f"detector weights {name} are not there")
    if not reachable(*DOWNLOADS):
        raise ModelError(f"{name} is not on this machine and {DOWNLOADS[0]} cannot be reached")
    no_reports()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    if name not in GITHUB_ASSETS_NAMES:
        raise ModelError(f"{name} is not on this machine and no name that Ultralytics offers")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(folder / name)
    except Exception as error:  # Ultralytics raises many kinds, down to plain Exception
        raise ModelError(f"{name} cannot be downloaded: {error}") from error
    if not (folder / name).is_file():
        raise ModelError(f"{name} cannot be downloaded")
    return folder / name


def reachable(host: str, port: int) -> bool:
    """True if a connection opens soon; so that no network means no long wait."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return True
    except OSError:
        return False
