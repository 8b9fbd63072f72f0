"""Data sets for training: lists of images with identity and camera, decoded once into memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.errors import DataError

MARKET_NAME = re.compile(r"^(-?\d+)_c(\d)s(\d)_(\d+)_\d+(?:\.jpg)+$")  # query has one .jpg.jpg


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on disk: identity (-1: distractor) and camera as the data set numbers them."""

    path: Path
    identity: int
    camera: int


def market1501(root: Path, split: str) -> list[Sample]:
    """List a split (`train`, `query` or `gallery`) of an unpacked Market-1501.

    Junk images (identity -1) are left out, distractors (identity 0) stay in the gallery.

    Raises:
        DataError: if the folder is missing or half unpacked.
    """
    folder = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}[
        split
    ]
    expected = {"train": 12936, "query": 3368, "gallery": 15913}[split]
    if not (root / folder).is_dir():
        raise DataError(f"{root}: no folder {folder!r}; unpack Market-1501-v15.09.15 there")
    samples = []
    for path in sorted((root / folder).glob("*.jpg")):
        match = MARKET_NAME.match(path.name)
        if match is None:
            raise DataError(f"{path}: not a Market-1501 file name")
        if int(match[1]) >= 0:
            samples.append(Sample(path, int(match[1]), int(match[2])))
    if len(samples) != expected:
        raise DataError(
            f"{root / folder}: {len(samples)} usable images, {expected} belong there; unpack again"
        )
    return samples


def labelled_folder(root: Path) -> list[Sample]:
    """List `root/identity/camera/*.jpg|png`: a customer's own people.

    Raises:
        DataError: if there is no such image.
    """
    paths = sorted(p for p in root.glob("*/*/*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise DataError(f"{root}: no image at identity/camera/*.jpg")
    names = {n: i for i, n in enumerate(sorted({p.parts[-3] for p in paths}))}
    cameras = {n: i for i, n in enumerate(sorted({p.parts[-2] for p in paths}))}
    return [Sample(p, names[p.parts[-3]], cameras[p.parts[-2]]) for p in paths]


def training_samples(root: Path) -> list[Sample]:
    """Recognise the layout under `root` and list its training images."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    if (root / "bounding_box_train").is_dir():
        return market1501(root, "train")
    return labelled_folder(root)


def hold_out(samples: Sequence[Sample], count: int) -> tuple[list[Sample], list[Sample]]:
    """Split off `count` identities, chosen by a hash so that the choice never depends on order."""
    identities = sorted(
        {s.identity for s in samples},
        key=lambda i: hashlib.sha256(f"crosscam held out {i}".encode()).digest(),
    )
    if count >= len(identities):
        raise DataError(f"held_out_ids is {count}, but there are {len(identities)} identities")
    away = set(identities[:count])
    return (
        [s for s in samples if s.identity not in away],
        [s for s in samples if s.identity in away],
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB.

    Raises:
        DataError: if it cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise DataError(f"{path}: not an image that can be decoded")
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def load_images(samples: Iterable[Sample], height: int, width: int) -> NDArray[np.uint8]:
    """Decode and resize all images: (N, height, width, 3) uint8 RGB."""
    return np.stack(
        [
            cv2.resize(read_image(s.path), (width, height), interpolation=cv2.INTER_LINEAR)
            for s in samples
        ]
    )


def fingerprint(samples: Sequence[Sample]) -> str:
    """Name a list of samples by its file names and labels (not by pixels)."""
    digest = hashlib.sha256()
    for s in samples:
        digest.update(f"{s.path.name} {s.identity} {s.camera}\n".encode())
    return digest.hexdigest()[:16]


class IdentitySampler:
    """P x A batches as torchreid's RandomIdentitySampler draws them.

    Each identity's images are shuffled and cut into groups of A (an identity
    with fewer than A is drawn with replacement); P identities with groups
    left are taken at random until fewer than P remain. Deterministic given
    (seed, epoch), so that a resumed run draws what the unbroken one drew.
    """

    def __init__(self, labels: Sequence[int], p: int, a: int, seed: int) -> None:
        self._rows: dict[int, list[int]] = {}
        for row, label in enumerate(labels):
            self._rows.setdefault(label, []).append(row)
        if len(self._rows) < p:
            raise DataError(f"{len(self._rows)} identities cannot fill batches of P = {p}")
        self._p, self._a, self._seed = p, a, seed

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the batches of one epoch, each (P * A,) int64 rows grouped by identity."""
        rng = np.random.default_rng((self._seed, number))
        groups: dict[int, list[NDArray[np.int64]]] = {}
        for label, rows in self._rows.items():
            pool = np.asarray(rows)
            if len(pool) < self._a:
                pool = rng.choice(pool, self._a, replace=True)
            pool = rng.permutation(pool)
            usable = len(pool) // self._a * self._a
            groups[label] = list(pool[:usable].reshape(-1, self._a))
        batches = []
        while len(groups) >= self._p:
            chosen = rng.choice(sorted(groups), self._p, replace=False)
            batches.append(np.concatenate([groups[c].pop() for c in chosen]))
            groups = {label: left for label, left in groups.items() if left}
        return batches
