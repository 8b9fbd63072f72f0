"""P-DukeMTMC-reID (Zhuo et al. 2018)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample

OCCLUDED, WHOLE = 0, 1  # the "cameras"
FOLDERS = {OCCLUDED: "occluded_body_images", WHOLE: "whole_body_images"}
NAME = re.compile(r"^(\d+)_.*\.jpg$")
TRAIN_IMAGES = 12927


class PDukeMTMC(Dataset):
    """P-DukeMTMC-reID: the pedestrians of DukeMTMC-reID that are seen whole and occluded.

    12,927 training images of 665 identities; 2,163 occluded queries of 634
    against 9,053 whole gallery images. Images lie in a folder per identity
    and their names begin with the identity. As in the public code around
    this set (PVPM, FastReID), the camera in the name is not used: occluded
    images are camera 0, whole ones camera 1, so nothing is removed from a
    query's ranking.
    """

    name = "p-dukemtmc"
    title = "P-DukeMTMC-reID"
    belongs = (
        "train/ and test/ with occluded_body_images/IDENTITY/*.jpg and "
        "whole_body_images/IDENTITY/*.jpg each"
    )

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if train/ or test/ holds one of the two folders."""
        return any((root / s / f).is_dir() for s in ("train", "test") for f in FOLDERS.values())

    @cached_property
    def train(self) -> list[Sample]:
        """12,927 images of 665 identities, occluded and whole."""
        samples = self._side("train", OCCLUDED) + self._side("train", WHOLE)
        self.check_count(self.root / "train", len(samples), TRAIN_IMAGES)
        return samples

    @cached_property
    def query(self) -> list[Sample]:
        """2,163 occluded images of 634 identities."""
        return self._side("test", OCCLUDED, 2163)

    @cached_property
    def gallery(self) -> list[Sample]:
        """9,053 whole images."""
        return self._side("test", WHOLE, 9053)

    def _side(self, split: str, side: int, expected: int | None = None) -> list[Sample]:
        folder = f"{split}/{FOLDERS[side]}"
        found = self.listing(folder, NAME, expected, "**/*")
        return [Sample(path, int(match[1]), side) for path, match in found]
