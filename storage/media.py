"""Files beside the database: the media folder of pictures, and files that are replaced whole."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from reid.errors import OutputError, StoreError
from storage.engine import show_url, sqlite_path


def media_folder(url: URL, media: Path | None) -> Path:
    """Where a store keeps its pictures: as told, or `x.media/` beside `x.db`.

    Raises:
        StoreError: if no folder is given and the store is not a file.
    """
    if media is not None:
        return media
    path = sqlite_path(url)
    if path is None:
        raise StoreError(
            f"store {show_url(url)} is no file: say where its pictures go (store.media, --media)"
        )
    return path.with_suffix(".media")


def safe_name(camera: str) -> str:
    """A camera id as a file name: harmless on every system, and two ids never share one."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", camera).lstrip(".").rstrip(".") or "camera"
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)
    if name == camera and not reserved:
        return name
    return f"{name}-{hashlib.sha256(camera.encode()).hexdigest()[:8]}"


def exemplar_path(run: int, camera: str, track: int, frame: int, sha256: str) -> str:
    """Relative path of a picture; its content is part of the name, so it is never rewritten."""
    return f"run{run:06d}/{safe_name(camera)}/{track:08d}-{frame:08d}-{sha256[:8]}.jpg"


def write_file(target: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a reader never meets half a picture.

    Raises:
        StoreError: naming the file, if it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):  # there may be no folder to remove it from
            temporary.unlink()
        raise StoreError(f"cannot write picture {target}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """`replacing_path`, opened for UTF-8 text."""
    with replacing_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def check_target(path: Path, suffix: str) -> None:
    """Refuse to write where something of another kind lies: a store, a configuration.

    Args:
        path: to be written, and replaced if it is there.
        suffix: of the files that are written, such as `.zip`.

    Raises:
        OutputError: naming the file.
    """
    if not path.name or path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a {suffix} file")
    if path.exists() and path.suffix.lower() != suffix:
        raise OutputError(f"{path} is there already and no {suffix} file: it is not replaced")


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """A name to write to that takes the place of `path` once it is complete.

    Raises:
        OutputError: naming the file, if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
