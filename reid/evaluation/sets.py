"""A model on whole data sets: decode, embed, rank, count. A row of figures per kind of query."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.datasets import Dataset, Sample, fingerprint, read_image
from reid.embedding import Embedder
from reid.errors import ConfigError
from reid.evaluation.ranking import Ranking
from reid.evaluation.scores import Accuracy, evaluate
from reid.records import PartEmbeddings

CHUNK = 256  # images that are decoded while as many are embedded


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How a set is ranked.

    Attributes:
        gamma: share of the part distance in Eq. 15.
        top_n: candidates that Eq. 15 re-scores.
        ranking: `two_stage` or `exhaustive`.
        flip: average each embedding with that of the mirrored image.
    """

    gamma: float
    top_n: int
    ranking: Ranking = "two_stage"
    flip: bool = False

    @staticmethod
    def of(
        embedder: Embedder,
        gamma: float | None = None,
        top_n: int | None = None,
        ranking: Ranking = "two_stage",
        *,
        flip: bool = False,
    ) -> EvaluationSettings:
        """The model's own gamma and n where none are given.

        Raises:
            ConfigError: if gamma or n is out of range, or gamma asks for a missing global branch.
        """
        config = embedder.config
        gamma = config.gamma if gamma is None else gamma
        top_n = config.top_n if top_n is None else top_n
        if not 0 <= gamma <= 1:
            raise ConfigError(f"gamma is {gamma:g}, it must be 0 to 1")
        if gamma != 1 and not config.has_global:
            raise ConfigError(
                f"gamma is {gamma:g}, but the model has no global branch: only 1 fits"
            )
        if top_n < 1:
            raise ConfigError(f"top-n is {top_n}, it must be at least 1")
        return EvaluationSettings(gamma, top_n, ranking, flip)


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One row: the figures of one kind of query of one set.

    Attributes:
        title: the set, and the kind of query if it has several.
        queries: how many there are; `accuracy.queries` of them have a true match.
        gallery: how many images.
        accuracy: the figures.
        data: fingerprint of the list of queries and gallery images, folders included.
    """

    title: str
    queries: int
    gallery: int
    accuracy: Accuracy
    data: str


def evaluate_set(
    embedder: Embedder, dataset: Dataset, settings: EvaluationSettings
) -> list[SetFigures]:
    """Figures of each kind of query of a data set; the gallery is embedded once.

    Raises:
        DataError: if images are missing or no query has a true match.
    """
    kinds, gallery = dataset.queries, dataset.gallery  # all listed before the first is embedded
    known = embed_samples(embedder, gallery, flip=settings.flip)
    rows = []
    for kind, queries in kinds.items():
        found = evaluate(
            embed_samples(embedder, queries, flip=settings.flip),
            known,
            queries,
            gallery,
            gamma=settings.gamma,
            top_n=settings.top_n,
            ranking=settings.ranking,
        )
        title = f"{dataset.title}, {kind}" if kind else dataset.title
        data = fingerprint([*queries, *gallery], folders=True)
        rows.append(SetFigures(title, len(queries), len(gallery), found, data))
    return rows


def embed_samples(
    embedder: Embedder, samples: Sequence[Sample], *, flip: bool = False
) -> PartEmbeddings:
    """Decode on all cores and embed, in order, with a progress bar.

    Raises:
        DataError: naming the file that cannot be decoded.
    """
    from rich.progress import track

    chunks = track(decoded_chunks(samples), "embedding", -(-len(samples) // CHUNK), transient=True)
    embed = embed_both_ways if flip else Embedder.embed
    return PartEmbeddings.concatenate([embed(embedder, crops) for crops in chunks])


def decoded_chunks(samples: Sequence[Sample]) -> Iterator[list[NDArray[np.uint8]]]:
    """Images in their order, (h, w, 3) uint8 BGR; the next chunk is decoded meanwhile."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        return np.ascontiguousarray(read_image(sample.path)[:, :, ::-1])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead = pool.map(read, samples[:CHUNK])
        for first in range(CHUNK, len(samples) + CHUNK, CHUNK):
            now, ahead = ahead, pool.map(read, samples[first : first + CHUNK])
            yield list(now)


def embed_both_ways(embedder: Embedder, crops: Sequence[NDArray[np.uint8]]) -> PartEmbeddings:
    """Flip averaging: the mean of an image's embedding and its mirror image's.

    Stripes lie across the image, so part k of the mirror image is part k:
    f_k, g~_k and q_k are each the plain mean of the two.
    """
    one = embedder.embed(crops)
    half = np.float32(0.5)
    other = embedder.embed([np.ascontiguousarray(c[:, ::-1]) for c in crops])
    return PartEmbeddings(
        half * (one.parts + other.parts),
        half * (one.global_parts + other.global_parts),
        half * (one.quality + other.quality),
        one.fingerprint,
    )
