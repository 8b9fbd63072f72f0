"""The media folder: exemplar pictures as files beside the store."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from sqlalchemy import URL

from reid.errors import StoreError
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
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write picture {target}: {error.strerror or error}") from error
