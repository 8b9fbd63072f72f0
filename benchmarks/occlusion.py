"""What occlusion costs: Market-1501's probes, clean and with an occluder over 20 to 50 % of each.

    python -m benchmarks.occlusion --data market1501/ --weights plain.safetensors --weights FILE

The occluders are the same on every machine: all that is drawn comes from a hash of the probe's file
name. Half of them are other people, half strips of background; they lie where real ones do (most at
the legs). Their pixels come from the training images: nobody in the gallery is pasted, so an
occluder cannot match itself. Nothing is written.

`--identities 100` is a quick look: the probes of the first people, and a gallery of these people
and the distractors.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import print_table
from reid.datasets import Sample, open_dataset, read_image
from reid.embedding import Embedder
from reid.evaluation.scores import evaluate
from reid.evaluation.sets import CHUNK, EvaluationSettings, embed_samples
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

LEAST, MOST = 0.2, 0.5  # share of the image that is covered
Image = NDArray[np.uint8]


class Donors(Protocol):
    """Images that lend their pixels, in a fixed order."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Image: ...


class Files:
    """Donors that are decoded when they are asked for, (H, W, 3) uint8 RGB."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._paths = sorted(s.path for s in samples)
        self._read = lru_cache(512)(read_image)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Image:
        return self._read(self._paths[index])


def occlude(image: Image, name: str, donors: Donors) -> Image:
    """Lay one occluder over 20 to 50 % of an image; the same for the same name, everywhere.

    Args:
        image: (H, W, 3) uint8, the channels in the donors' order.
        name: the image's file name: the seed.
        donors: where the occluder's pixels come from.

    Returns:
        (H, W, 3) uint8, a copy.
    """
    draws = uniform(name)
    height, width = image.shape[:2]
    top, left, rows, columns = region(height, width, *draws[:3])
    source = resize(donors[int(draws[3] * len(donors))], height, width)
    y = int(draws[5] * (height - rows + 1))
    if draws[4] < 0.5:  # somebody else: the donor's middle
        x = (width - columns) // 2 + np.arange(columns)
    else:  # a thing: the margin of a picture is background; mirrored on and on
        margin = max(1, width // 6)
        x = np.arange(columns) % (2 * margin)
        x = np.minimum(x, 2 * margin - 1 - x)
    patch = source[y : y + rows, x]
    out = image.copy()
    out[top : top + rows, left : left + columns] = patch[:, ::-1] if draws[6] < 0.5 else patch
    return out


def region(
    height: int, width: int, kind: float, size: float, reach: float
) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of an occluder from three draws in 0..1."""
    share = LEAST + (MOST - LEAST) * size
    if kind < 0.65:  # legs behind a car or a hedge (50 %), or the upper part (15 %)
        rows = round(share * height)
        return (height - rows if kind < 0.5 else 0), 0, rows, width
    rows = round((0.7 + 0.3 * reach) * height)  # somebody or something beside, on the ground
    columns = round(share * height * width / rows)
    return height - rows, (0 if kind < 0.825 else width - columns), rows, columns


def uniform(name: str) -> list[float]:
    """Eight numbers in 0..1 from a hash: no generator whose stream a new version might change."""
    digest = hashlib.sha256(f"crosscam occlusion 1 {name}".encode()).digest()
    return [int(v) / 2**32 for v in np.frombuffer(digest, ">u4")]


def resize(image: Image, height: int, width: int) -> Image:
    """Nearest neighbour by whole numbers: bit for bit the same everywhere."""
    y = np.arange(height) * image.shape[0] // height
    x = np.arange(width) * image.shape[1] // width
    return image[y[:, None], x]


def embed_occluded(embedder: Embedder, queries: Sequence[Sample], donors: Donors) -> PartEmbeddings:
    """Embeddings of the occluded probes."""
    batches = []
    for first in range(0, len(queries), CHUNK):
        images = [
            occlude(read_image(s.path), s.path.name, donors) for s in queries[first : first + CHUNK]
        ]
        batches.append(embedder.embed([np.ascontiguousarray(i[:, :, ::-1]) for i in images]))
    return PartEmbeddings.concatenate(batches)


def first_people(
    query: Sequence[Sample], gallery: Sequence[Sample], count: int | None
) -> tuple[list[Sample], list[Sample]]:
    """Cut to the first identities (the distractors stay); everybody without a count."""
    if count is None:
        return list(query), list(gallery)
    kept = set(sorted({s.identity for s in query})[:count])
    return (
        [s for s in query if s.identity in kept],
        [s for s in gallery if s.identity in kept or s.identity == 0],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="unpacked Market-1501")
    parser.add_argument(
        "--weights", action="append", help="model file or `default`; the first is the baseline"
    )
    parser.add_argument("--identities", type=int, help="only so many; a quick look")
    options = parser.parse_args()
    dataset = open_dataset(options.data, "market1501")
    query, gallery = first_people(dataset.query, dataset.gallery, options.identities)
    donors = Files(dataset.train)
    rows: list[tuple[object, ...]] = []
    first_loss = 0.0
    for weights in options.weights or ["default"]:
        embedder = Embedder.from_settings(EmbeddingSettings(weights=weights))
        settings = EvaluationSettings.of(embedder)
        known = embed_samples(embedder, gallery)
        clean, hidden = (
            evaluate(probes, known, query, gallery, gamma=settings.gamma, top_n=settings.top_n)
            for probes in (embed_samples(embedder, query), embed_occluded(embedder, query, donors))
        )
        loss = clean.mean_ap - hidden.mean_ap
        first_loss = first_loss or loss
        rows.append(
            (
                f"{Path(weights).parent.name}/{Path(weights).stem}".lstrip("/"),
                embedder.fingerprint,
                float(clean.cmc[0]),
                clean.mean_ap,
                float(hidden.cmc[0]),
                hidden.mean_ap,
                loss,
                loss / first_loss,
            )
        )
    title = f"Occluded probes: {len(query)} queries, {len(gallery)} gallery images"
    header = ("weights", "model", "clean R1", "clean mAP", "occluded R1", "occluded mAP")
    print_table(title, (*header, "loss of mAP", "of the first's"), rows)


if __name__ == "__main__":
    main()
