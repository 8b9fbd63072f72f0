"""What is searched for: one embedding, made from photos, crops, a stored track or an identity.

Several pictures are pooled part by part, by quality (`reid.pooling`), as the pipeline pools a
track. A masked query says which parts to trust: its weights multiply the probe's part qualities,
and through them the weights of Eqs. 2 and 11.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from investigation.search.photos import Person
from reid.errors import ConfigError, DataError, FingerprintMismatch, StoreError
from reid.pooling import pool
from reid.records import PartEmbeddings
from storage.decisions.standing import successor
from storage.queries import StoreReader
from storage.records import ExemplarRow, StoredEmbeddings
from storage.sightings import tracks_by_id

MOST_PICTURES = 4  # of a track or identity, to be shown beside a hit


class Embeds(Protocol):
    """Turns crops into embeddings; `reid.embedding.Embedder` does, and so does `SearchDesk`."""

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        ...

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> PartEmbeddings:
        """Crops, each (h, w, 3) uint8 BGR -> as many embeddings."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class QueryPicture:
    """A picture of whom is searched for; `image` is a crop, (h, w, 3) uint8 BGR."""

    name: str
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Whom to search for.

    Attributes:
        subject: what was asked with, in words: `photo a.jpg`, `track 12`, `identity 3`.
        embedding: of the person (N = 1), before `weights`.
        weights: how far each part is trusted, 0..1, from the top; None: each fully.
        pictures: the best first; empty if the stored pictures are gone.
        tracks: the query's own tracks, which are no hits.
        identities: whose they were when the query was made.
    """

    subject: str
    embedding: PartEmbeddings
    weights: tuple[float, ...] | None = None
    pictures: tuple[QueryPicture, ...] = ()
    tracks: frozenset[int] = frozenset()
    identities: frozenset[int] = frozenset()

    def probe(self) -> PartEmbeddings:
        """The embedding that is compared: each part's quality times its weight.

        Raises:
            DataError: if no trusted part shows anything.
        """
        quality = self.embedding.quality
        if self.weights is not None:
            quality = quality * np.asarray(self.weights, np.float32)
        if not quality.any():
            raise DataError(f"{self.subject}: the parts to be trusted show nothing of the person")
        return replace(self.embedding, quality=quality)

    def masked(self, weights: Sequence[float] | None) -> Query:
        """The same person, with other weights.

        Raises:
            ConfigError: if they do not fit the model or are all 0.
        """
        if weights is None:
            return replace(self, weights=None)
        return replace(self, weights=check_weights(weights, self.embedding.quality.shape[1]))


def from_people(people: Sequence[Person], model: Embeds) -> Query:
    """A query from one or several photos or crops of one person.

    What lies outside of a photo counts for as little as in the pipeline: a part's quality is
    multiplied by the share of its rows that the photo shows.

    Args:
        people: the person, once for each photo.
        model: embeds them.

    Raises:
        ValueError: if there is none.
    """
    crops = model.embed([p.crop for p in people])
    visible = np.array([p.visible(crops.quality.shape[1]) for p in people], np.float32)
    crops = replace(crops, quality=crops.quality * visible)
    best = np.argsort(-crops.quality.sum(1), kind="stable")
    names = ", ".join(dict.fromkeys(p.name for p in people))
    return Query(
        subject=f"photo {names}" if len(people) == 1 else f"{len(people)} photos: {names}",
        embedding=pool(crops),
        pictures=tuple(QueryPicture(people[i].name, people[i].crop) for i in best),
    )


def from_track(reader: StoreReader, track: int, fingerprint: str) -> Query:
    """A query from a stored track, which itself is no hit.

    Args:
        reader: the store.
        track: its id.
        fingerprint: of the model that the search uses.

    Raises:
        StoreError: if there is no such track.
        DataError: if no picture of it was good enough to be embedded.
        FingerprintMismatch: if another model embedded it.
    """
    rows = tracks_by_id(reader, [track])
    if not rows:
        raise StoreError(f"store {reader.url} has no track {track}")
    subject = f"track {track}"
    found = _stored(reader, [track], fingerprint, subject)
    identity = rows[0].identity
    return Query(
        subject=subject,
        embedding=found.embeddings,
        pictures=_pictures(reader, [track]),
        tracks=frozenset([track]),
        identities=frozenset() if identity is None else frozenset([identity]),
    )


def from_identity(
    reader: StoreReader,
    identity: int,
    fingerprint: str,
    cameras: Collection[str] | None = None,
) -> Query:
    """A query from all tracks that an identity has now; they are no hits.

    Args:
        reader: the store.
        identity: its id.
        fingerprint: of the model that the search uses.
        cameras: only from what these saw; None is all.

    Raises:
        StoreError: if no track (of these cameras) has this identity; says which one it went into.
        DataError: if no picture of its tracks was good enough to be embedded.
        FingerprintMismatch: if another model embedded them.
    """
    rows = reader.tracks(identity=identity)
    tracks = [row.id for row in rows if cameras is None or row.camera in cameras]
    if not tracks:
        raise StoreError(_no_identity(reader, identity, cameras))
    subject = f"identity {identity}"
    found = _stored(reader, tracks, fingerprint, subject)
    return Query(
        subject=subject,
        embedding=pool(found.embeddings),
        pictures=_pictures(reader, tracks),
        tracks=frozenset(tracks),
        identities=frozenset([identity]),
    )


def _no_identity(reader: StoreReader, identity: int, cameras: Collection[str] | None) -> str:
    """What to say of an identity without tracks: where a merge took them, as far as it is seen."""
    missing = f"store {reader.url} has no identity {identity}"
    now = successor(reader, identity)
    if now is None or now == identity:
        return missing
    if not any(cameras is None or row.camera in cameras for row in reader.tracks(identity=now)):
        return missing
    return f"{missing} any more: its tracks are identity {now} now"


def parse_parts(text: str, parts: int) -> tuple[float, ...]:
    """Which parts to trust, as people write it, as K weights.

    Args:
        text: `upper`, `lower`, or numbers from the top: `1,2,3`; a weight may follow: `1,2,3=0.5`.
        parts: K.

    Raises:
        ConfigError: naming what cannot be read.
    """
    half = math.ceil(parts / 2)
    named = {"upper": range(half), "lower": range(parts - half, parts)}
    weights = [0.0] * parts
    if text.strip().lower() in named:
        for part in named[text.strip().lower()]:
            weights[part] = 1.0
        return tuple(weights)
    for item in text.split(","):
        number, _, weight = item.partition("=")
        try:
            part, value = int(number), float(weight) if weight else 1.0
        except ValueError:
            raise ConfigError(
                f"parts '{text}': '{item.strip()}' is no part; write upper, lower or numbers from "
                f"the top such as 1,2,3 (1 to {parts}), with =WEIGHT behind them where needed"
            ) from None
        if not 1 <= part <= parts:
            raise ConfigError(f"parts '{text}': there is no part {part}; the model has {parts}")
        weights[part - 1] = value
    return check_weights(weights, parts)


def check_weights(weights: Sequence[float], parts: int) -> tuple[float, ...]:
    """K weights, checked.

    Raises:
        ConfigError: if there are not K of them, one is not within 0..1, or all are 0.
    """
    values = tuple(float(w) for w in weights)
    if len(values) != parts:
        raise ConfigError(f"{len(values)} part weights; the model has {parts} parts")
    for number, value in enumerate(values, 1):
        if not 0 <= value <= 1:  # NaN too
            raise ConfigError(f"the weight of part {number} is {value}; allowed: 0 to 1")
    if not any(values):
        raise ConfigError("all part weights are 0: nothing is left to compare")
    return values


def read_picture(row: ExemplarRow) -> NDArray[np.uint8] | None:
    """A stored crop, (h, w, 3) uint8 BGR; None if its file is gone or damaged."""
    try:
        data = np.fromfile(row.path, np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else np.asarray(image, np.uint8)


def _stored(
    reader: StoreReader, tracks: Sequence[int], fingerprint: str, subject: str
) -> StoredEmbeddings:
    """The embeddings that there are of these tracks, by the model of the search."""
    found = reader.embeddings(fingerprint=fingerprint, tracks=tracks)
    if found is not None:
        return found
    other = reader.embeddings(tracks=tracks)
    if other is not None:
        raise FingerprintMismatch(
            f"{subject} was embedded by model {other.embeddings.fingerprint}, the search uses "
            f"model {fingerprint}: embeddings of different models cannot be compared"
        )
    raise DataError(f"{subject}: no picture of it was good enough to be compared")


def _pictures(reader: StoreReader, tracks: Sequence[int]) -> tuple[QueryPicture, ...]:
    """The best picture of each track, best first, as far as the files are there."""
    best = sorted(reader.best_exemplars(tracks).values(), key=lambda e: (-e.score, e.id))
    found = ((f"track {row.track}", read_picture(row)) for row in best[:MOST_PICTURES])
    return tuple(QueryPicture(name, image) for name, image in found if image is not None)
