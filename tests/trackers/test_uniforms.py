"""Where everybody looks alike the matcher abstains, and does not ask everybody every time."""

from __future__ import annotations

import dataclasses

import pytest

import trackers.matcher
from tests.trackers.people import embedding, tracklet
from tests.trackers.test_clusters import PLACES, stream
from trackers.allocator import CountingAllocator
from trackers.clusters import PATIENCE
from trackers.matcher import CrossCameraMatcher
from trackers.settings import MatchingSettings

SETTINGS = MatchingSettings(threshold=0.4, possible=0.5, gamma=0.5)


@pytest.fixture
def judged(monkeypatch) -> list[tuple[int, int]]:
    """The pairs that were judged."""
    pairs: list[tuple[int, int]] = []

    class Counting(trackers.matcher.Clusters):
        def forbid(self, a, b):
            pairs.append((a, b))
            super().forbid(a, b)

    monkeypatch.setattr(trackers.matcher, "Clusters", Counting)
    return pairs


def crowd(count: int, first: int, camera: str, start: float):
    """People in one uniform, side by side before one camera."""
    return [
        tracklet(i, camera, start, start + 10, embedding(1, seed=i), at=(60.0 * i, 100))
        for i in range(first, first + count)
    ]


def test_a_crowd_in_uniform_is_not_judged_pair_by_pair(judged):
    """600 tracks alike took 18 s at every decision."""
    matcher = CrossCameraMatcher(SETTINGS, CountingAllocator(), {})
    everybody = [t for i, c in enumerate("abcd") for t in crowd(25, 25 * i + 1, c, 0)]
    for item in everybody:
        matcher.add(item)
    decisions = matcher.decide()
    assert len(decisions) == len({d.identity for d in decisions}) == 100
    assert 0 < len(judged) <= PATIENCE * 100
    abstained = [d for d in decisions if d.action == "abstain"]
    assert len(abstained) == 51, "as many as when every pair was judged"
    assert all(d.candidate is not None and "alike" in d.reason for d in abstained)
    judged.clear()
    for item in crowd(4, 200, "e", 20):
        matcher.add(item)
    later = matcher.decide()
    assert [d.action for d in later] == ["abstain"] * 4
    assert 0 < len(judged) <= PATIENCE * 4, "those left in doubt earlier are not asked again"


def test_who_is_in_doubt_is_looked_at_again_when_the_rival_has_left():
    """1 and 2 stood side by side and 3 is like both; then 2 is forgotten."""
    settings = SETTINGS.model_copy(update={"window": 100.0, "margin": 0.2})
    matcher = CrossCameraMatcher(settings, CountingAllocator(), {})

    def at(track, camera, start, person=1):
        return tracklet(track, camera, start, start + 5, embedding(person, seed=track))

    for item in (at(2, "a", 0), at(1, "a", 3), at(3, "b", 20)):
        matcher.add(item)
    assert len({d.identity for d in matcher.decide()}) == 3
    matcher.add(at(8, "c", 98, person=8))
    assert {d.track for d in matcher.decide()} == {8}, "all are there still"
    matcher.add(at(9, "c", 101.5, person=9))
    matcher.decide()  # 2 leaves behind this decision
    matcher.add(at(10, "c", 102, person=10))
    assert [d.action for d in matcher.decide() if d.track == 3] == ["move"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.6, "margin": 0.1, "possible": 0.7},
        {"threshold": 0.5, "same_camera": True, "recency": 0.0},
        {"threshold": 0.5, "gallery": 20, "margin": 0.05},
    ],
)
def test_to_let_those_in_doubt_sleep_changes_no_decision(seed, changes, monkeypatch):
    settings = MatchingSettings(threshold=0.4, gamma=0.6).model_copy(update=changes)
    news = CrossCameraMatcher._news

    def awake(matcher):
        matcher._unsettled |= matcher._doubtful
        return news(matcher)

    results = []
    for take_in in (news, awake):
        monkeypatch.setattr(CrossCameraMatcher, "_news", take_in)
        matcher = CrossCameraMatcher(settings, CountingAllocator(), PLACES)
        decisions = []
        for batch in stream(seed, 100):
            for item in batch:
                matcher.add(item)
            decisions += [dataclasses.astuple(d) for d in matcher.decide()]
        results.append(decisions)
    assert results[0] == results[1]
