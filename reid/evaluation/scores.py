"""Figures of a ranking: CMC, mAP and mINP, single query (Sec. IV-A).

No gallery is sorted for them. They depend only on the places of a query's
true matches, and a place is the number of gallery items that are nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.datasets.base import Sample
from reid.errors import DataError
from reid.evaluation.ranking import Ranking, ranked_blocks, two_stage_order
from reid.records import PartEmbeddings

__all__ = ["Accuracy", "accuracy", "distance_accuracy", "evaluate", "two_stage_order"]

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Figures over all queries that have a true match.

    Attributes:
        cmc: (R,) float64, share of queries with a true match among the first r + 1.
        mean_ap: mean average precision.
        mean_inp: mean inverse negative penalty (Ye et al. 2021): number of true matches over the
            place of the last one, from 1.
        queries: number of queries that count.
    """

    cmc: NDArray[np.float64]
    mean_ap: float
    mean_inp: float
    queries: int


def evaluate(
    query: PartEmbeddings,
    gallery: PartEmbeddings,
    query_samples: Sequence[Sample],
    gallery_samples: Sequence[Sample],
    *,
    gamma: float,
    top_n: int,
    ranking: Ranking = "two_stage",
    ranks: int = 10,
) -> Accuracy:
    """Rank the gallery for each query and count; same identity *and* camera does not count.

    The first n are taken on the raw gallery, before the images that do not
    count are left out: a deployment does not know who somebody is.

    Args:
        query: embeddings of the queries.
        gallery: embeddings of the gallery.
        query_samples: their identities and cameras.
        gallery_samples: the same of the gallery.
        gamma: share of the part distance in Eq. 15.
        top_n: how many candidates Eq. 15 re-scores.
        ranking: `two_stage` (Eq. 2, then Eq. 15 on the first n), or `exhaustive` (Eq. 15 on all).
        ranks: length of the CMC curve.

    Raises:
        DataError: if no query has a true match.
        FingerprintMismatch: if the embeddings come from two models.
        ValueError: if samples and embeddings differ in number, or a distance is not a number.
    """
    for embedded, samples in ((query, query_samples), (gallery, gallery_samples)):
        if len(embedded) != len(samples):
            raise ValueError(f"{len(embedded)} embeddings, but {len(samples)} samples")
    people = _People(*_labels(gallery_samples))
    identities, cameras = _labels(query_samples)
    tally = _Tally()
    for block in ranked_blocks(query, gallery, gamma, top_n, ranking):
        for i, (values, ordered, head) in enumerate(
            zip(block.distance, block.ordered, block.head, strict=True)
        ):
            rows, same_camera = people.rows(identities[block.first + i], cameras[block.first + i])
            places = stable_places(values, ordered, rows)
            inside = places < len(head)
            places[inside] = np.nonzero(rows[inside, None] == head)[1]
            tally.add(places[~same_camera], places[same_camera])
    return tally.result(ranks)


def distance_accuracy(
    distance: NDArray[np.floating],
    probe_ids: Labels,
    gallery_ids: Labels,
    probe_cameras: Labels,
    gallery_cameras: Labels,
    ranks: int = 10,
) -> Accuracy:
    """Figures of a distance matrix (P, G), ranked as a stable sort of its rows would.

    Args:
        distance: (P, G), no NaN.
        probe_ids: (P,) identities.
        gallery_ids: (G,) identities.
        probe_cameras: (P,) cameras.
        gallery_cameras: (G,) cameras.
        ranks: length of the CMC curve.

    Raises:
        DataError: if no query has a true match.
    """
    people, tally = _People(gallery_ids, gallery_cameras), _Tally()
    for values, identity, camera in zip(distance, probe_ids, probe_cameras, strict=True):
        rows, same_camera = people.rows(identity, camera)
        places = stable_places(values, np.sort(values), rows)
        tally.add(places[~same_camera], places[same_camera])
    return tally.result(ranks)


def accuracy(
    order: Labels,
    probe_ids: Labels,
    gallery_ids: Labels,
    probe_cameras: Labels,
    gallery_cameras: Labels,
    ranks: int = 10,
) -> Accuracy:
    """Figures of a finished order (P, G), as `two_stage_order` gives it.

    Raises:
        DataError: if no query has a true match.
    """
    tally = _Tally()
    for row, identity, camera in zip(order, probe_ids, probe_cameras, strict=True):
        places = np.flatnonzero(gallery_ids[row] == identity)
        same_camera = gallery_cameras[row[places]] == camera
        tally.add(places[~same_camera], places[same_camera])
    return tally.result(ranks)


def stable_places(
    values: NDArray[np.floating], ordered: NDArray[np.floating], rows: Labels
) -> Labels:
    """Places (from 0) that some items would have if all were stably sorted.

    Args:
        values: (G,) distances.
        ordered: (G,) the same, sorted.
        rows: (M,) the items asked for.

    Returns:
        (M,) int64.
    """
    wanted = values[rows]
    places = ordered.searchsorted(wanted, "left")
    for i in np.flatnonzero(ordered.searchsorted(wanted, "right") - places > 1):
        places[i] += np.count_nonzero(values[: rows[i]] == wanted[i])  # equal, but listed before
    return np.asarray(places, dtype=np.int64)


class _People:
    """Gallery rows by identity."""

    def __init__(self, identities: Labels, cameras: Labels) -> None:
        order = identities.argsort(kind="stable")
        names, starts = np.unique(identities[order], return_index=True)
        self._rows = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
        self._cameras = cameras
        self._nobody = order[:0]

    def rows(self, identity: int, camera: int) -> tuple[Labels, NDArray[np.bool_]]:
        """Rows of an identity (M,), and which of them come from the given camera (M,)."""
        rows = self._rows.get(int(identity), self._nobody)
        return rows, self._cameras[rows] == camera


class _Tally:
    """Adds up the queries."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._precision: list[float] = []
        self._inverse_penalty: list[float] = []

    def add(self, places: Labels, left_out: Labels) -> None:
        """Count a query by the places (from 0) of its true matches and of what does not count."""
        if not len(places):
            return
        found = np.sort(places)
        found -= np.sort(left_out).searchsorted(found)
        self._first.append(int(found[0]))
        self._precision.append(float((np.arange(1, len(found) + 1) / (found + 1)).mean()))
        self._inverse_penalty.append(len(found) / (int(found[-1]) + 1))

    def result(self, ranks: int) -> Accuracy:
        """The means; DataError if there is nothing to count."""
        if not self._first:
            raise DataError("no query has a true match in the gallery: same person, other camera")
        first = np.array(self._first)
        cmc = (first[:, None] <= np.arange(ranks)).mean(axis=0)
        return Accuracy(
            cmc, float(np.mean(self._precision)), float(np.mean(self._inverse_penalty)), len(first)
        )


def _labels(samples: Sequence[Sample]) -> tuple[Labels, Labels]:
    pairs = np.array([(s.identity, s.camera) for s in samples], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
