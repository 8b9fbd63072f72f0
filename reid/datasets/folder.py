"""A customer's own people: a folder per identity and, below it, one per camera."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample, is_hidden, is_image
from reid.datasets.splits import split_queries
from reid.errors import DataError

log = logging.getLogger(__name__)


def labelled_folder(root: Path) -> list[Sample]:
    """List `root/identity/camera/*.jpg` (or another of `IMAGES`), numbered in the order of names.

    Hidden files and folders are nobody; what is left out is logged.

    Raises:
        DataError: if there is no such image.
    """
    files = [p for p in root.rglob("*") if p.is_file()]
    paths = sorted(p for p in files if is_image(p, root) and len(p.relative_to(root).parts) == 3)
    if len(files) > len(paths):
        hidden = sum(is_hidden(p, root) for p in files)
        log.warning(
            "%s: %d of %d files left out: %d hidden, %d no image or not at identity/camera/*.jpg",
            root, len(files) - len(paths), len(files), hidden, len(files) - len(paths) - hidden,
        )  # fmt: skip
    if not paths:
        raise DataError(f"{root}: no image at identity/camera/*.jpg")
    names = {n: i for i, n in enumerate(sorted({p.parts[-3] for p in paths}))}
    cameras = {n: i for i, n in enumerate(sorted({p.parts[-2] for p in paths}))}
    return [Sample(p, names[p.parts[-3]], cameras[p.parts[-2]]) for p in paths]


class LabelledFolder(Dataset):
    """`identity/camera/*.jpg`, any number of either.

    All images train. All of them test, too: the first image of each identity
    and camera is a query (`split_queries`); so test on other people than you
    trained on, in a folder of their own.
    """

    name = "folder"
    title = "labelled folder"
    belongs = "identity/camera/*.jpg"

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if there is an image two folders below the root."""
        return any(is_image(p, root) for p in root.glob("*/*/*"))

    @cached_property
    def train(self) -> list[Sample]:
        """Every image."""
        return labelled_folder(self.root)

    @cached_property
    def query(self) -> list[Sample]:
        """The first image of each identity and camera."""
        return split_queries(self.train)[0]

    @cached_property
    def gallery(self) -> list[Sample]:
        """The other images."""
        return split_queries(self.train)[1]
