from __future__ import annotations

import pytest

from trackers.gaps import GapFiller
from trackers.records import Box, TrackedBox, TrackPoint


def tracked(left: float, track: int = 1, confidence: float = 0.8) -> TrackedBox:
    return TrackedBox(track, Box(left, 0, left + 10, 20), confidence)


def test_a_short_gap_is_filled_on_the_straight_line() -> None:
    filler = GapFiller(longest=1.0)
    filler.update(0, 100.0, [tracked(0)])
    for frame in (1, 2, 3):
        assert filler.update(frame, 100 + frame / 10, []) == []
    points = filler.update(4, 100.4, [tracked(8, confidence=0.5)])
    assert [(t, p.frame) for t, p in points] == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert [p.box.left for _, p in points] == pytest.approx([2, 4, 6, 8])
    assert [p.time for _, p in points] == pytest.approx([100.1, 100.2, 100.3, 100.4])
    assert {p.confidence for _, p in points} == {0.5}


def test_a_long_gap_stays_open() -> None:
    filler = GapFiller(longest=0.2)
    filler.update(0, 0.0, [tracked(0)])
    for frame in (1, 2):
        filler.update(frame, frame / 10, [])
    point = TrackPoint(3, 0.3, tracked(8).box, 0.8)
    assert filler.update(3, 0.3, [tracked(8)]) == [(1, point)]


def test_frames_that_a_rate_cap_skipped_stay_empty() -> None:
    filler = GapFiller(longest=1.0)
    filler.update(0, 0.0, [tracked(0)])
    filler.update(3, 0.3, [])
    points = filler.update(6, 0.6, [tracked(6)])
    assert [p.frame for _, p in points] == [3, 6]


def test_tracks_do_not_mix_and_zero_fills_nothing() -> None:
    filler = GapFiller(longest=1.0)
    filler.update(0, 0.0, [tracked(0, track=1), tracked(50, track=2)])
    filler.update(1, 0.1, [tracked(52, track=2)])
    points = filler.update(2, 0.2, [tracked(4, track=1), tracked(54, track=2)])
    assert [(t, p.frame, p.box.left) for t, p in points] == [(1, 1, 2), (1, 2, 4), (2, 2, 54)]

    filler = GapFiller(longest=0)
    filler.update(0, 0.0, [tracked(0)])
    filler.update(1, 0.1, [])
    assert [p.frame for _, p in filler.update(2, 0.2, [tracked(4)])] == [2]


def test_nothing_is_filled_over_a_clock_that_was_set_back() -> None:
    """Symptom: until the clock was where it had been, every frame was kept and gone through."""
    filler = GapFiller(longest=1.0)
    for frame in range(5):
        filler.update(frame, 100 + frame / 10, [tracked(0)] if frame < 3 else [])
    points = filler.update(5, 50.0, [tracked(4)])
    assert [p.frame for _, p in points] == [5]
    filler.update(6, 50.1, [])
    points = filler.update(7, 50.2, [tracked(4)])
    assert [(p.frame, p.time) for _, p in points] == [(6, pytest.approx(50.1)), (7, 50.2)]


def test_a_forgotten_track_is_not_filled() -> None:
    filler = GapFiller(longest=1.0)
    filler.update(0, 0.0, [tracked(0)])
    filler.forget([1])
    filler.update(1, 0.1, [])
    assert [p.frame for _, p in filler.update(2, 0.2, [tracked(4)])] == [2]
