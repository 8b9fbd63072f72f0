"""CUHK03, labelled boxes (Li et al. 2014): the part of it that is at hand."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample, first_matches

NAME = re.compile(r"^(\d+)_(\d{2})\.(?:jpg|png)$")
SPLITS = {"train": ("labeled_train", 7239), "test": ("val", 938)}


class CUHK03(Dataset):
    """A part of CUHK03 labelled: 743 + 100 identities of the first pair of cameras, 160x60.

    A name is ID_NN: identity, then image 00-04 of camera A, 05-09 of camera
    B. `labeled_train` trains; of the 100 identities in `val` each camera A
    image is a single query (451) against all their camera B images (487).
    The published protocols (1,367/100 over 20 splits; 767/700) need all five
    pairs of cameras: figures on this part compare with neither.
    """

    name = "cuhk03"
    title = "CUHK03 (part)"
    belongs = "labeled_train/ (7239 images) and val/ (938 images) named ID_NN.jpg"

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if `labeled_train` is there, or a `val` with such names."""
        return (root / "labeled_train").is_dir() or first_matches(root, ["val"], NAME)

    @cached_property
    def train(self) -> list[Sample]:
        """7,239 images of 743 identities."""
        return self._split("train")

    @cached_property
    def query(self) -> list[Sample]:
        """Camera A's images of 100 identities."""
        return [s for s in self._test if s.camera == 0]

    @cached_property
    def gallery(self) -> list[Sample]:
        """Camera B's images of the same 100 identities."""
        return [s for s in self._test if s.camera == 1]

    @cached_property
    def everybody(self) -> list[Sample]:
        """All 843 identities: whoever trains on them cannot test here any more."""
        return self.train + self._test

    @cached_property
    def _test(self) -> list[Sample]:
        return self._split("test")

    def _split(self, split: str) -> list[Sample]:
        folder, expected = SPLITS[split]
        found = self.listing(folder, NAME, expected)
        return [Sample(p, int(m[1]), 0 if int(m[2]) < 5 else 1) for p, m in found]
