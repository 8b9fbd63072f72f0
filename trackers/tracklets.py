"""Tracklets: which crops of a track are worth embedding, and one pooled embedding for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings
from trackers.bodies import BodyHistory, WholeBody, crop
from trackers.records import Box, Exemplar, Tracklet, TrackPoint

CROP_MARGIN = 0.04  # training crops show a little around the person
MAX_COVERED = 0.7  # a person hidden more than this is not worth a crop
BETTER = 1.15  # a crop replaces a stored one only if its score is better by this factor
EXEMPLARS = 4  # pictures kept as evidence per tracklet
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True, eq=False)
class CropRequest:
    """A crop chosen for embedding; goes to the embedder and comes back to its builder."""

    track: int
    point: TrackPoint
    body: WholeBody
    image: NDArray[np.uint8]
    score: float


@dataclass(slots=True, eq=False)
class _Embedded:
    request: CropRequest
    embedding: PartEmbeddings


@dataclass(slots=True, eq=False)
class TrackletBuilder:
    """Collects one track: its boxes' ends, its chosen crops and their embeddings."""

    track: int
    camera: str
    num_parts: int
    settings: EmbeddingSettings
    first: TrackPoint | None = None
    last: TrackPoint | None = None
    boxes: int = 0
    _body: BodyHistory = field(default_factory=BodyHistory)
    _kept: list[_Embedded] = field(default_factory=list)
    _asked: float | None = None
    _scores: list[float] = field(default_factory=list)

    def add(
        self, point: TrackPoint, image: NDArray[np.uint8], others: Sequence[Box]
    ) -> CropRequest | None:
        """Take in the next box; return a crop to embed if this one is worth it.

        Args:
            point: the box and its capture time.
            image: (H, W, 3) uint8 BGR, the whole frame.
            others: boxes of the other people in this frame.
        """
        self.first = self.first or point
        self.last = point
        self.boxes += 1
        body = self._body.observe(point.box, image.shape[0], self.num_parts)
        covered = covered_share(point.box, others)
        score = picture_score(point, body, covered)
        if covered > MAX_COVERED or not self._worth(point.time, score):
            return None
        picture = crop(image, body.box, CROP_MARGIN)
        if picture is None:
            return None
        self._asked = point.time
        self._scores.append(score)
        return CropRequest(self.track, point, body, picture, score)

    def _worth(self, time: float, score: float) -> bool:
        if self._asked is None:
            return True
        if 0 <= time - self._asked < self.settings.interval:  # below: the clock was set back
            return False
        if len(self._scores) < self.settings.crops_per_track:
            return True
        worst = min(self._scores)
        if score <= BETTER * worst:
            return False
        self._scores.remove(worst)
        return True

    def receive(self, request: CropRequest, embedding: PartEmbeddings) -> bool:
        """Take back an embedded crop (N = 1); rows the detector did not see count for less.

        Returns:
            False if its numbers cannot be kept, NaN or beyond half precision: then it is dropped,
            and a later crop may take its place.
        """
        if not fits_half(embedding):
            if request.score in self._scores:
                self._scores.remove(request.score)
            return False
        visible = np.asarray(request.body.visible, np.float32)
        weighted = PartEmbeddings(
            embedding.parts,
            embedding.global_parts,
            embedding.quality * visible[None],
            embedding.fingerprint,
        )
        self._kept.append(_Embedded(request, weighted))
        if len(self._kept) > self.settings.crops_per_track:
            self._kept.remove(min(self._kept, key=lambda k: k.request.score))
        return True

    @property
    def embedded(self) -> int:
        """Number of crops that the tracklet stands on."""
        return len(self._kept)

    def tracklet(self) -> Tracklet:
        """Pool what there is. Raises ValueError before the first box."""
        if self.first is None or self.last is None:
            raise ValueError(f"track {self.track} has no box yet")
        pooled = None
        if self._kept:
            pooled = pool(PartEmbeddings.concatenate([k.embedding for k in self._kept]))
        best = sorted(self._kept, key=lambda k: -k.request.score)[:EXEMPLARS]
        return Tracklet(
            track=self.track,
            camera=self.camera,
            start=self.first.time,
            end=self.last.time,
            first=self.first,
            last=self.last,
            boxes=self.boxes,
            embedding=pooled,
            exemplars=tuple(exemplar(k.request, k.embedding) for k in best),
        )


def fits_half(embedding: PartEmbeddings) -> bool:
    """Whether all numbers are finite in half precision, as the store keeps them."""
    arrays = (embedding.parts, embedding.global_parts, embedding.quality)
    with np.errstate(over="ignore"):
        return all(bool(np.isfinite(a.astype(np.float16)).all()) for a in arrays)


def covered_share(box: Box, others: Sequence[Box]) -> float:
    """Largest share of `box` that one nearer person (lower feet) covers, 0..1."""
    nearer = (o for o in others if o.bottom > box.bottom)
    return max((box.intersection(o) for o in nearer), default=0.0) / max(box.area, 1e-9)


def picture_score(point: TrackPoint, body: WholeBody, covered: float) -> float:
    """How good a picture is: large, confident, uncovered, whole. Units: pixels of height."""
    seen = sum(body.visible) / len(body.visible)
    return point.box.height * point.confidence * (1 - covered) * seen


def exemplar(request: CropRequest, embedding: PartEmbeddings) -> Exemplar:
    """Keep a crop as evidence, as JPEG."""
    _, data = cv2.imencode(".jpg", request.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return Exemplar(
        frame=request.point.frame,
        time=request.point.time,
        box=request.point.box,
        jpeg=data.tobytes(),
        quality=tuple(float(q) for q in embedding.quality[0]),
        visible=request.body.visible,
        score=request.score,
    )
