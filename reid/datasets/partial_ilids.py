"""Partial-iLIDS (He et al. 2018)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from reid.datasets.base import Dataset, Sample
from reid.errors import DataError

NAME = re.compile(r"^(\d+)(?:_.*)?\.\w+$")
IDENTITIES = 119
GALLERY = ("Gallery", "gallery", "whole_body_images")
# Which images a folder holds is told by its name alone; see the class.
OCCLUDED = (
    "partial_iLIDS_Probe_nocrop",
    "Probe_nocrop",
    "query",
    "occluded_body_images",
)
CROPPED = ("Probe", "probe")


class PartialILIDS(Dataset):
    """Partial-iLIDS: 119 identities with one occluded and one whole image each. Test only.

    The set has no cameras: queries are camera 0, the gallery camera 1. Two
    versions of the probes go round. The release of He et al. has `Probe/`
    and `Gallery/`; its probes are cut to what is visible. The *original
    occluded* images, which QPM reports, come as `Probe_nocrop` beside them,
    or as `query/` and `gallery/`. They are two rows, never mixed.
    """

    name = "partial-ilids"
    title = "Partial-iLIDS"
    belongs = (
        "Gallery/ with Probe/ (cropped) or Probe_nocrop/ (occluded), or query/ and gallery/, "
        f"{IDENTITIES} images each, named by identity,"
    )

    @staticmethod
    def recognises(root: Path) -> bool:
        """True if there is a gallery and a probe folder by any of their names."""
        probes = OCCLUDED[:3] + CROPPED
        return any((root / f).is_dir() for f in GALLERY[:2]) and any(
            (root / f).is_dir() for f in probes
        )

    @cached_property
    def query(self) -> list[Sample]:
        """119 occluded images, camera 0."""
        return self._side(OCCLUDED, 0)

    @cached_property
    def gallery(self) -> list[Sample]:
        """119 whole images, camera 1."""
        return self._side(GALLERY, 1)

    @property
    def queries(self) -> dict[str, list[Sample]]:
        """The kinds of probes that were unpacked."""
        kinds = {}
        if self._folder(OCCLUDED):
            kinds["occluded"] = self.query
        if self._folder(CROPPED):
            kinds["cropped"] = self._side(CROPPED, 0)
        return kinds or {"occluded": self.query}  # the latter says what is missing

    def _folder(self, names: tuple[str, ...]) -> str | None:
        return next((n for n in names if (self.root / n).is_dir()), None)

    def _side(self, names: tuple[str, ...], camera: int) -> list[Sample]:
        folder = self._folder(names) or names[0]
        found = self.listing(folder, NAME, IDENTITIES)
        samples = [Sample(path, int(match[1]), camera) for path, match in found]
        if len({s.identity for s in samples}) != IDENTITIES:
            raise DataError(
                f"{self.root / folder}: {len({s.identity for s in samples})} identities, "
                f"{IDENTITIES} with one image each belong there"
            )
        return samples
