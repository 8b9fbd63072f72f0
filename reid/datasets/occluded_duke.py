"""Occluded-Duke (Miao et al. 2019)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample, first_matches

DUKE_NAME = re.compile(r"^(\d+)_c(\d)_f(\d+)\.jpg$")
SPLITS = {
    "train": ("bounding_box_train", 15618),
    "query": ("query", 2210),
    "gallery": ("bounding_box_test", 17661),
}


class OccludedDuke(Dataset):
    """Occluded-DukeMTMC: DukeMTMC-reID split anew, 8 cameras.

    15,618 training images of 702 identities; 2,210 occluded queries of 519;
    17,661 gallery images of 1,110. Gallery images of the query's identity and
    camera do not count. The folders are named as DukeMTMC-reID's own, whose
    counts differ (16,522 / 2,228 / 17,661): that one is refused.
    """

    name = "occluded-duke"
    title = "Occluded-Duke"
    belongs = (
        "bounding_box_train/, query/ and bounding_box_test/ as the authors' conversion "
        "of DukeMTMC-reID makes them"
    )

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if a split's folder holds an image named 0001_c2_f0046182.jpg or the like."""
        return first_matches(root, [folder for folder, _ in SPLITS.values()], DUKE_NAME)

    @cached_property
    def train(self) -> list[Sample]:
        """15,618 images of 702 identities."""
        return self._split("train")

    @cached_property
    def query(self) -> list[Sample]:
        """2,210 images of 519 identities, all occluded."""
        return self._split("query")

    @cached_property
    def gallery(self) -> list[Sample]:
        """17,661 images of 1,110 identities."""
        return self._split("gallery")

    def _split(self, split: str) -> list[Sample]:
        folder, expected = SPLITS[split]
        found = self.listing(folder, DUKE_NAME, expected)
        return [Sample(path, int(match[1]), int(match[2])) for path, match in found]
