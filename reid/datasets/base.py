"""What every data set offers: lists of images with identity and camera, and a known layout."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from reid.errors import DataError

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def is_image(path: Path, root: Path) -> bool:
    """True if a name below `root` ends like an image's and no part of it is hidden (`.cache`)."""
    return path.suffix.lower() in IMAGES and not is_hidden(path, root)


def is_hidden(path: Path, root: Path) -> bool:
    """True if a part of the path below `root` begins with a dot: caches, a Mac's `._1.jpg`."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on disk: identity (0 in Market-1501: distractor) and camera as the set says."""

    path: Path
    identity: int
    camera: int


class Dataset(ABC):
    """An unpacked data set. Its docstring states the protocol; a split is listed when asked for.

    Attributes:
        name: how it is called on the command line and in the registry.
        title: how the literature calls it.
        belongs: what lies below the root when it is unpacked, for error messages.
        root: folder it was unpacked to.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    belongs: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    @abstractmethod
    def recognises(root: Path) -> bool:
        """True if the folder looks like this set, complete or not."""

    @cached_property
    def train(self) -> list[Sample]:
        """Training images.

        Raises:
            DataError: if the set is missing, half unpacked, or has none (test only).
        """
        raise DataError(f"{self.root}: {self.title} is test only, it has no training images")

    @property
    @abstractmethod
    def query(self) -> list[Sample]:
        """Probe images; raises DataError if they are missing or not all there."""

    @property
    @abstractmethod
    def gallery(self) -> list[Sample]:
        """Gallery images; raises DataError if they are missing or not all there."""

    @cached_property
    def everybody(self) -> list[Sample]:
        """Training images and, where the set is only ever trained on, those of its test people."""
        return self.train

    @property
    def queries(self) -> dict[str, list[Sample]]:
        """Kinds of probes by name, each a row of its own in a table; mostly one, named ''."""
        return {"": self.query}

    def listing(
        self, folder: str, pattern: re.Pattern[str], expected: int | None, glob: str = "*"
    ) -> list[tuple[Path, re.Match[str]]]:
        """Images of a folder with their parsed names, sorted; names that start with -1 are junk.

        Args:
            folder: below the root.
            pattern: of the file names.
            expected: how many there are in the published set; None: the caller counts.
            glob: which files of the folder.

        Raises:
            DataError: if the folder is missing, a name is foreign, or the count is not `expected`.
        """
        place = self.root / folder
        if not place.is_dir():
            raise DataError(
                f"{self.root}: no folder {folder!r}; {self.title} needs {self.belongs} there"
            )
        found = []
        for path in sorted(p for p in place.glob(glob) if is_image(p, place)):
            match = pattern.match(path.name)
            if match is None:
                raise DataError(f"{path}: not a {self.title} file name")
            if not path.name.startswith("-1"):
                found.append((path, match))
        if expected is not None:
            self.check_count(place, len(found), expected)
        return found

    def check_count(self, place: Path, found: int, expected: int) -> None:
        """Raise `DataError` unless as many images were found as the published set has."""
        if found != expected:
            raise DataError(
                f"{place}: {found} usable images, {expected} belong there; unpack {self.title} "
                f"again ({self.belongs})"
            )


def first_name(folder: Path) -> str:
    """Name of some image in a folder, '' if there is none: enough to tell layouts apart."""
    if not folder.is_dir():
        return ""
    return next((p.name for p in folder.iterdir() if is_image(p, folder)), "")


def first_matches(root: Path, folders: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """True if the first image found in any of the folders is named like `pattern`."""
    name = next((n for n in (first_name(root / f) for f in folders) if n), "")
    return pattern.match(name) is not None
