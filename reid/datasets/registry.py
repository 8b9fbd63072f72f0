"""Which data sets there are, which one lies in a folder, and several of them joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from reid.datasets.base import Dataset, Sample
from reid.datasets.cuhk01 import CUHK01
from reid.datasets.cuhk03 import CUHK03
from reid.datasets.folder import LabelledFolder
from reid.datasets.market import Market1501
from reid.datasets.occluded_duke import OccludedDuke
from reid.datasets.p_dukemtmc import PDukeMTMC
from reid.datasets.partial_ilids import PartialILIDS
from reid.datasets.partial_reid import PartialREID
from reid.errors import DataError

# A set's place here numbers its identities and cameras in a joined list: only append.
KINDS: tuple[type[Dataset], ...] = (
    Market1501,
    OccludedDuke,
    PDukeMTMC,
    PartialREID,
    PartialILIDS,
    CUHK01,
    CUHK03,
    LabelledFolder,  # last: it would take others' folders for people
)
IDENTITIES_APART = 1_000_000
CAMERAS_APART = 10_000


def open_dataset(root: Path, name: str | None = None) -> Dataset:
    """Recognise the data set that was unpacked to `root`; its images are listed when asked for.

    Args:
        root: the folder.
        name: the set's name, for a folder that is too incomplete to be recognised.

    Raises:
        DataError: if the folder is missing, holds none of the known sets, or `name` is unknown.
    """
    known = "; ".join(f"{k.name}: {k.belongs.rstrip(',')}" for k in KINDS)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    if name is not None:
        for kind in KINDS:
            if kind.name == name:
                return kind(root)
        raise DataError(f"no data set is called {name!r}. Known: {known}")
    for kind in KINDS[:-1]:
        if kind.recognises(root):
            return kind(root)
    for child in islice((c for c in sorted(root.iterdir()) if c.is_dir()), 100):
        for kind in KINDS[:-1]:
            if kind.recognises(child):  # else its splits would pass for people
                raise DataError(f"{root}: {kind.title} lies in {child.name}/, name that folder")
    if LabelledFolder.recognises(root):
        return LabelledFolder(root)
    raise DataError(
        f"{root}: no image at identity/camera/*.jpg, nor another known layout. Known: {known}"
    )


def training_samples(root: Path) -> list[Sample]:
    """Recognise the layout under `root` and list its training images, numbered as the set does."""
    return open_dataset(root).train


def load_training(paths: Sequence[Path], *, everybody: bool = False) -> list[Sample]:
    """Join the training images of several sets; their identities and cameras never collide.

    The numbers do not depend on the order of `paths`, except among several
    labelled folders. Market-1501's stay as they are.

    Args:
        paths: unpacked sets, each recognised by its layout.
        everybody: take the test identities of CUHK01 and CUHK03 as well, for a model that will
            not be tested there.

    Raises:
        DataError: if a set cannot be used, is test only, or is named twice.
    """
    if not paths:
        raise DataError("no training data was named")
    samples: list[Sample] = []
    taken: dict[int, Path] = {}
    for path in paths:
        dataset = open_dataset(path)
        place = KINDS.index(type(dataset))
        while isinstance(dataset, LabelledFolder) and place in taken:
            place += 1
        if place in taken or path.resolve() in {p.resolve() for p in taken.values()}:
            raise DataError(f"{path}: {dataset.title} was named already ({taken.get(place, path)})")
        taken[place] = path
        samples += _apart(dataset.everybody if everybody else dataset.train, place)
    return samples


def _apart(samples: Sequence[Sample], place: int) -> list[Sample]:
    """Number a set's identities and cameras in a range of its own."""
    for s in samples:
        if not (0 <= s.identity < IDENTITIES_APART and 0 <= s.camera < CAMERAS_APART):
            raise DataError(f"{s.path}: identity {s.identity} or camera {s.camera} is out of range")
    return [
        replace(
            s,
            identity=s.identity + place * IDENTITIES_APART,
            camera=s.camera + place * CAMERAS_APART,
        )
        for s in samples
    ]
