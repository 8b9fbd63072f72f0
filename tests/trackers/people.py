"""Made-up people for the tests of tracklets and matcher."""

from __future__ import annotations

import numpy as np

from reid.records import PartEmbeddings
from trackers.records import Box, Tracklet, TrackPoint

K, D = 6, 16


def embedding(person: int, noise: float = 0.1, seed: int = 0, quality=None) -> PartEmbeddings:
    """Embeddings of one person lie close together; of two people they are nearly orthogonal."""
    base = np.random.default_rng(person)
    rng = np.random.default_rng((person, seed))
    parts = base.normal(size=(1, K, D)) + noise * rng.normal(size=(1, K, D))
    overall = base.normal(size=(1, K, D)) + noise * rng.normal(size=(1, K, D))
    q = np.full((1, K), 0.8) if quality is None else np.asarray(quality, float)[None]
    return PartEmbeddings(
        parts.astype(np.float32), overall.astype(np.float32), q.astype(np.float32), "made-up"
    )


def tracklet(
    track: int,
    camera: str,
    start: float,
    end: float,
    of: PartEmbeddings | None,
    *,
    at: tuple[float, float] = (100, 100),
) -> Tracklet:
    box = Box(at[0], at[1], at[0] + 40, at[1] + 100)
    first = TrackPoint(int(start * 10), start, box, 0.9)
    last = TrackPoint(int(end * 10), end, box, 0.9)
    return Tracklet(track, camera, start, end, first, last, int((end - start) * 10) + 1, of)
