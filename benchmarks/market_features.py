"""Embeddings of Market-1501's images, kept on disk: QPM's, and OSNet's for comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.datasets import read_image
from reid.embedding import Embedder, embed_files
from reid.network.config import MEAN, STD
from reid.records import PartEmbeddings

OSNET_SIZE = (128, 256)  # width, height
BATCH = 32

Embed = Callable[[Sequence[Path]], PartEmbeddings]


def cached(folder: Path, name: str, paths: Sequence[Path], embed: Embed) -> PartEmbeddings:
    """Embeddings of `paths` in their order; those not yet in the cache are computed and added.

    Args:
        folder: where the caches lie; made if missing.
        name: of this model; with its fingerprint, so that another model's are never mixed in.
        paths: images; the cache knows them by folder and file name.
        embed: computes what is missing.
    """
    file = folder / f"{name}.npz"
    keys = [f"{p.parent.name}/{p.name}" for p in paths]
    known: dict[str, int] = {}
    have: PartEmbeddings | None = None
    if file.exists():
        with np.load(file) as data:
            known = {str(k): i for i, k in enumerate(data["keys"])}
            have = PartEmbeddings(
                data["parts"], data["global_parts"], data["quality"], str(data["fingerprint"])
            )
    missing = {k: p for k, p in zip(keys, paths, strict=True) if k not in known}
    if missing:
        new = embed(list(missing.values()))
        have = new if have is None else PartEmbeddings.concatenate([have, new])
        known |= {k: len(known) + i for i, k in enumerate(missing)}
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}.partial.npz"
        np.savez(
            partial,
            keys=np.array(list(known)),
            parts=have.parts,
            global_parts=have.global_parts,
            quality=have.quality,
            fingerprint=np.array(have.fingerprint),
        )
        partial.replace(file)
    if have is None:
        raise ValueError("no image to embed")
    return have[[known[k] for k in keys]]


def qpm(embedder: Embedder) -> Embed:
    """QPM's part embeddings."""
    return lambda paths: PartEmbeddings.concatenate(list(embed_files(embedder, paths)))


def osnet(file: Path) -> Embed:
    """OSNet's (N, 512) features as part embeddings with one part, K = 1, of quality 1."""

    def embed(paths: Sequence[Path]) -> PartEmbeddings:
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        found = []
        for first in range(0, len(paths), BATCH):
            batch = np.stack([_osnet_input(p) for p in paths[first : first + BATCH]])
            found.append(np.asarray(session.run(None, {name: batch})[0], np.float32))
        parts = np.concatenate(found)[:, None]
        return PartEmbeddings(parts, parts, np.ones(parts.shape[:2], np.float32), file.stem)

    return embed


def _osnet_input(path: Path) -> NDArray[np.float32]:
    """(3, 256, 128) float32 RGB, ImageNet mean and standard deviation."""
    image = cv2.resize(read_image(path), OSNET_SIZE, interpolation=cv2.INTER_LINEAR)
    scaled = (image.astype(np.float32) / 255 - np.array(MEAN)) / np.array(STD)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def one_quality(embeddings: PartEmbeddings) -> PartEmbeddings:
    """The same embeddings with quality 1 everywhere: no quality in pooling nor in distances."""
    return replace(embeddings, quality=np.ones_like(embeddings.quality))


def mean_quality(embeddings: PartEmbeddings, rows: Sequence[NDArray[np.int64]]) -> PartEmbeddings:
    """Each image gets its track's mean quality: plain means in pooling, quality in distances.

    Args:
        embeddings: of the images.
        rows: per track, its images.
    """
    quality = embeddings.quality.copy()
    for own in rows:
        quality[own] = embeddings.quality[own].mean(0)
    return replace(embeddings, quality=quality)
