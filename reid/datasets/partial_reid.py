"""Partial-REID (Zheng et al. 2015)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample

NAME = re.compile(r"^(\d+)_(\d+)\.jpg$")
OCCLUDED, PARTIAL, WHOLE = "occluded_body_images", "partial_body_images", "whole_body_images"


class PartialREID(Dataset):
    """Partial-REID: 60 identities with 5 occluded, 5 partial and 5 whole images. Test only.

    The set has no cameras: queries are camera 0, the gallery of all 300
    whole images is camera 1. Queries are the 300 *original occluded* images
    (QPM, Table III). The partial ones are the same images with the occluder
    cut away by hand: another kind of query, another row, never mixed.
    """

    name = "partial-reid"
    title = "Partial-REID"
    belongs = f"{OCCLUDED}/, {PARTIAL}/ and {WHOLE}/ with 300 images each"

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if the folder of occluded or of partial images is there."""
        return (root / OCCLUDED).is_dir() or (root / PARTIAL).is_dir()

    @cached_property
    def query(self) -> list[Sample]:
        """300 occluded images, camera 0."""
        return self._side(OCCLUDED, 0)

    @cached_property
    def partial(self) -> list[Sample]:
        """300 images cut to what is visible, camera 0."""
        return self._side(PARTIAL, 0)

    @cached_property
    def gallery(self) -> list[Sample]:
        """300 whole images, camera 1."""
        return self._side(WHOLE, 1)

    @property
    def queries(self) -> dict[str, list[Sample]]:
        """The occluded queries, and the cropped ones as a row of their own."""
        return {"occluded": self.query, "cropped": self.partial}

    def _side(self, folder: str, camera: int) -> list[Sample]:
        found = self.listing(folder, NAME, 300)
        return [Sample(path, int(match[1]), camera) for path, match in found]
