"""Tracklets in time order through the cross-camera matcher, and through the plain baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.market_clock import File, begins
from reid.evaluation.market_tracks import FPS, Track
from reid.pooling import pool
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings
from trackers.allocator import CountingAllocator
from trackers.bodies import WholeBody
from trackers.matcher import CrossCameraMatcher
from trackers.records import Box, LinkDecision, TrackPoint
from trackers.settings import MatchingSettings, TrackerSettings
from trackers.tracklets import CropRequest, TrackletBuilder

WHERE = Box(0, 0, 64, 128)  # file names do not tell where in the frame a person stood
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """N tracklets of one scene in time.

    Attributes:
        identity: (N,) person, 0 for a distractor.
        camera: (N,) number of the camera.
        times: per tracklet, seconds of its images on one clock, ascending.
        rows: per tracklet, the rows of its images among the embeddings, as `times`.
    """

    identity: Ints
    camera: Ints
    times: list[NDArray[np.float64]]
    rows: list[Ints]

    @property
    def start(self) -> NDArray[np.float64]:
        """(N,) second of the first image."""
        return np.array([t[0] for t in self.times])

    @property
    def end(self) -> NDArray[np.float64]:
        """(N,) second of the last image."""
        return np.array([t[-1] for t in self.times])

    @property
    def images(self) -> Ints:
        """(N,) number of images."""
        return np.array([len(r) for r in self.rows])

    def gap(self) -> NDArray[np.float64]:
        """(N, N) seconds between two tracklets; negative: they overlap for so long."""
        start, end = self.start, self.end
        return np.asarray(
            np.maximum(start[:, None], start[None]) - np.minimum(end[:, None], end[None])
        )


def build_stream(tracks: Sequence[Track], clock: Mapping[File, float]) -> Stream:
    """Put tracks on one clock; rows count the images of all tracks in their order."""
    ends = np.cumsum([len(t.paths) for t in tracks])
    return Stream(
        np.array([t.identity for t in tracks]),
        np.array([t.camera for t in tracks]),
        [np.array(t.times) + begins(clock, t) for t in tracks],
        [np.arange(e - len(t.paths), e) for e, t in zip(ends, tracks, strict=True)],
    )


def pooled(stream: Stream, embeddings: PartEmbeddings) -> PartEmbeddings:
    """One embedding per tracklet from all its images."""
    return PartEmbeddings.concatenate([pool(embeddings[r]) for r in stream.rows])


def vectors(stream: Stream, embeddings: PartEmbeddings) -> NDArray[np.float64]:
    """The baseline's features: all parts in one vector, unit length, their mean, unit length."""
    flat = embeddings.parts.reshape(len(embeddings), -1).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    mean = np.stack([flat[r].mean(0) for r in stream.rows])
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))


@dataclass(frozen=True, eq=False)
class Matched:
    """(N,) identity per tracklet, and the last decision about each."""

    identity: Ints
    decisions: list[LinkDecision]


def run_matcher(stream: Stream, embeddings: PartEmbeddings, settings: MatchingSettings) -> Matched:
    """Stream through `CrossCameraMatcher` as `pipeline.runner` does.

    A tracklet is handed in once it lasts `early` seconds and again when it ended (the tracker's
    buffer later); decisions fall every `interval` seconds. `TrackletBuilder` pools; its choice of
    crops and the padding to whole bodies need frames and stay out.

    Args:
        stream: the tracklets.
        embeddings: of the images.
        settings: with threshold and gamma.
    """
    matcher = CrossCameraMatcher(settings, CountingAllocator(), {})
    feeds = [_Feed(stream, i, embeddings) for i in range(len(stream.rows))]
    buffer = TrackerSettings().buffer
    zero = float(stream.start.min())
    agenda: dict[int, list[int]] = {}
    for i, (start, end) in enumerate(zip(stream.start, stream.end, strict=True)):
        last = _tick(end + buffer - zero, settings.interval)
        first = _tick(start + settings.early - zero, settings.interval)
        for tick in {last} | ({first} if first < last else set()):
            agenda.setdefault(tick, []).append(i)
    decisions: dict[int, LinkDecision] = {}
    for tick in sorted(agenda):
        now = zero + tick * settings.interval
        for i in agenda[tick]:
            matcher.add(feeds[i].until(now).tracklet())
        for decision in matcher.decide():
            decisions[decision.track] = decision
    last_words = [decisions[i + 1] for i in range(len(feeds))]
    return Matched(np.array([d.identity for d in last_words]), last_words)


def _tick(seconds: float, interval: float) -> int:
    return max(1, math.ceil(seconds / interval))


class _Feed:
    """Hands one track's images to its `TrackletBuilder`, as time goes on."""

    def __init__(self, stream: Stream, index: int, embeddings: PartEmbeddings) -> None:
        parts = embeddings.quality.shape[1]
        self._builder = TrackletBuilder(
            index + 1, f"c{stream.camera[index]}", parts, EmbeddingSettings()
        )
        self._times, self._rows = stream.times[index], stream.rows[index]
        self._embeddings = embeddings
        self._body = WholeBody(WHERE, (1.0,) * parts)
        self._next = 0

    def until(self, now: float) -> TrackletBuilder:
        """The builder with all images up to this second."""
        builder = self._builder
        while self._next < len(self._times) and self._times[self._next] <= now:
            time, row = float(self._times[self._next]), int(self._rows[self._next])
            point = TrackPoint(round(time * FPS), time, WHERE, 1.0)
            builder.first = builder.first or point
            builder.last = point
            builder.boxes += 1
            request = CropRequest(builder.track, point, self._body, NO_PICTURE, 1.0)
            builder.receive(request, self._embeddings[row])
            self._next += 1
        return builder


def run_greedy(
    stream: Stream, distance: NDArray[np.float64], threshold: float, *, exclusive: bool = False
) -> Ints:
    """Each tracklet, when it ends, takes the identity of the nearest one before, or a new one.

    Args:
        stream: the tracklets.
        distance: (N, N) between them.
        threshold: largest distance that links, not reached.
        exclusive: nobody is in two places of one camera: identities with a tracklet at the same
            moment on the same camera are left out (the matcher's constraint).
    """
    found = np.zeros(len(distance), np.int64)
    overlap = -stream.gap() > MatchingSettings().overlap_tolerance
    overlap &= stream.camera[:, None] == stream.camera[None]
    before: list[int] = []
    for i in np.argsort(stream.end, kind="stable"):
        earlier = np.array(before, np.int64)
        before.append(int(i))
        if exclusive and len(earlier):
            taken = found[earlier[overlap[i, earlier]]]
            earlier = earlier[~np.isin(found[earlier], taken)]
        near = earlier[distance[i, earlier].argmin()] if len(earlier) else None
        if near is not None and distance[i, near] < threshold:
            found[i] = found[near]
        else:
            found[i] = found.max() + 1
    return found


def with_threshold(
    settings: MatchingSettings, threshold: float, possible: float
) -> MatchingSettings:
    """The same settings with another threshold and band of abstention."""
    return MatchingSettings.model_validate(
        {**settings.model_dump(), "threshold": threshold, "possible": max(threshold, possible)}
    )
