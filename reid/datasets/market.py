"""Market-1501 (Zheng et al. 2015)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample, first_matches

MARKET_NAME = re.compile(r"^(-?\d+)_c(\d)s(\d)_(\d+)_\d+(?:\.jpg)+$")  # query has one .jpg.jpg
SPLITS = {  # folder, images that count
    "train": ("bounding_box_train", 12936),
    "query": ("query", 3368),
    "gallery": ("bounding_box_test", 15913),
}


class Market1501(Dataset):
    """Market-1501-v15.09.15: 6 cameras, 64x128 pixels, research only.

    12,936 training images of 751 identities; 3,368 single queries of 750;
    19,732 test images, of which 3,819 junk ones (identity -1) are left out
    and 2,798 distractors (identity 0) stay in the gallery. Gallery images of
    the query's identity and camera do not count.
    """

    name = "market1501"
    title = "Market-1501"
    belongs = "bounding_box_train/, query/ and bounding_box_test/ of Market-1501-v15.09.15"

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if a split's folder holds an image named 0002_c1s1_000451_03.jpg or the like."""
        return first_matches(root, [folder for folder, _ in SPLITS.values()], MARKET_NAME)

    @cached_property
    def train(self) -> list[Sample]:
        """12,936 images of 751 identities."""
        return self._split("train")

    @cached_property
    def query(self) -> list[Sample]:
        """3,368 images of 750 identities."""
        return self._split("query")

    @cached_property
    def gallery(self) -> list[Sample]:
        """15,913 images: 750 identities and the distractors."""
        return self._split("gallery")

    def _split(self, split: str) -> list[Sample]:
        folder, expected = SPLITS[split]
        found = self.listing(folder, MARKET_NAME, expected)
        return [Sample(path, int(match[1]), int(match[2])) for path, match in found]


def market1501(root: Path, split: str) -> list[Sample]:
    """List a split (`train`, `query` or `gallery`) of an unpacked Market-1501.

    Raises:
        DataError: if the folder is missing or half unpacked.
    """
    samples: list[Sample] = getattr(Market1501(root), split)
    return samples
