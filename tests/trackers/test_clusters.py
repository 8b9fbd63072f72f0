from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import trackers.matcher
from tests.trackers.naive import NaiveClusters
from tests.trackers.people import K, embedding, tracklet
from trackers.allocator import CountingAllocator
from trackers.constraints import conflict
from trackers.gallery import Gallery
from trackers.matcher import CrossCameraMatcher
from trackers.settings import MatchingSettings

PLACES = {"a": (0.0, 0.0), "b": (30.0, 40.0), "c": None}


def stream(seed: int, count: int = 36):
    """Batches of tracklets of a few people who look somewhat alike, some in two states."""
    rng = np.random.default_rng(seed)
    batches, start = [], 0.0
    for i in range(count):
        if i % 3 == 0:
            batches.append([])
        person, camera = int(rng.integers(1, 7)), "abc"[rng.integers(3)]
        start += rng.exponential(4)
        quality = rng.uniform(0.2, 1, K)
        looks = embedding(person, noise=0.9, seed=i, quality=quality)
        looks.parts[:] += 0.8 * embedding(person % 2).parts  # two kinds of clothes
        at = tuple(rng.uniform(0, 2000, 2))
        item = tracklet(i + 1, camera, start, start + rng.uniform(1, 9), looks, at=at)
        batches[-1].append(
            item if rng.random() > 0.1 else dataclasses.replace(item, embedding=None)
        )
        if rng.random() < 0.3:
            later = dataclasses.replace(item, end=item.end + 5)
            batches.append([later])
    return batches


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"threshold": 0.6, "margin": 0.1, "possible": 0.7},
        {"threshold": 0.5, "same_camera": True, "recency": 0.0},
        {"threshold": 0.5, "gallery": 20, "margin": 0.05},
        {"threshold": 0.5, "window": 60.0, "min_support": 0.9},
    ],
)
def test_decisions_are_those_of_all_pairs_anew(seed, changes, monkeypatch):
    """Only clusters with news are compared, yet no decision differs from comparing all."""
    settings = MatchingSettings(threshold=0.4, gamma=0.6).model_copy(update=changes)
    results = []
    for kind in (trackers.matcher.Clusters, NaiveClusters):
        monkeypatch.setattr(trackers.matcher, "Clusters", kind)
        matcher = CrossCameraMatcher(settings, CountingAllocator(), PLACES)
        decisions = []
        for batch in stream(seed):
            for item in batch:
                matcher.add(item)
            decisions += matcher.decide()
        results.append(decisions)
    ours, theirs = results
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for field in dataclasses.fields(one):
            if field.name == "reason":  # holds the numbers, rounded
                continue
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert a == (pytest.approx(b, abs=1e-9) if isinstance(b, float) else b), field.name
    if not changes:
        assert {d.action for d in ours} >= {"create", "link"}, "the stream must put it to the test"


@pytest.mark.parametrize("seed", range(4))
def test_conflicts_and_gaps_are_those_of_each_pair(seed):
    settings = MatchingSettings(threshold=0.4, gamma=0.6, max_image_speed=1.0, view_reach=5.0)
    gallery = Gallery(settings, PLACES)
    for batch in stream(seed, 60):
        gallery.take_in(batch)
    kept = list(range(5, len(gallery)))
    gallery.keep(kept)
    tracks = [e.tracklet for e in gallery.entries]
    gaps = gallery.gaps(range(len(tracks)), same_camera=False)
    reasons = set()
    for i, a in enumerate(tracks):
        for j, b in enumerate(tracks):
            reason = conflict(a, b, PLACES, settings) if i != j else None
            assert gallery.conflicts[i, j] == (reason is not None), (a, b, reason)
            reasons.add(reason and reason.split()[-1])
            gap = max(0.0, max(a.start, b.start) - min(a.end, b.end))
            assert gaps[i, j] == (np.inf if a.camera == b.camera else pytest.approx(gap))
    assert reasons == {None, "camera", "between"}
