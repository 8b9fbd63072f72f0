from __future__ import annotations

import math

import numpy as np
import pytest

from reid.errors import ConfigError
from trackers.allocator import CountingAllocator
from trackers.records import Box, Detection
from trackers.settings import TrackerSettings
from trackers.single import UltralyticsTracker, build_tracker

KINDS = ("tracktrack", "bytetrack", "botsort", "ocsort")


def person(left: float, confidence: float = 0.9) -> Detection:
    return Detection(Box(left, 100, left + 40, 220), confidence)


def tracker(
    kind: str = "tracktrack", allocator: CountingAllocator | None = None, **changed: object
) -> UltralyticsTracker:
    settings = TrackerSettings.model_validate({"kind": kind, **changed})
    return build_tracker(settings, allocator or CountingAllocator(), frame_rate=10)


@pytest.mark.parametrize("kind", KINDS)
def test_two_people_who_walk_keep_their_ids(kind: str) -> None:
    one = tracker(kind)
    seen: dict[int, list[float]] = {}
    for frame in range(30):
        for item in one.update([person(100 + 4 * frame), person(600 - 4 * frame)]):
            seen.setdefault(item.track, []).append(item.box.left)
    assert sorted(seen) == [1, 2]
    assert all(len(lefts) >= 28 for lefts in seen.values())
    assert seen[1][-1] == pytest.approx(100 + 4 * 29, abs=3)
    assert seen[2][-1] == pytest.approx(600 - 4 * 29, abs=3)
    assert one.finished() == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_trackers_reset_never_disturbs_another(kind: str) -> None:
    """Symptom of counting ids on the class: after one camera's reset two cameras share an id."""
    allocator = CountingAllocator()
    first, second = tracker(kind, allocator), tracker(kind, allocator)
    ids: list[set[int]] = [set(), set(), set()]
    for frame in range(20):
        if frame == 10:
            first.reset()
            assert first.finished() == sorted(ids[0])
        ids[0 if frame < 10 else 1] |= {t.track for t in first.update([person(100 + frame)])}
        ids[2] |= {t.track for t in second.update([person(300 + frame)])}
    assert [len(group) for group in ids] == [1, 1, 1]
    assert len(set.union(*ids)) == 3
    assert second.finished() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_who_leaves_is_finished_once_and_after_the_buffer(kind: str) -> None:
    one = tracker(kind, buffer=1.0)
    for frame in range(10):
        one.update([person(100 + frame)])
    when = [frame for frame in range(40) if one.update([]) or one.finished()]
    assert len(when) == 1, "finished exactly once"
    assert 8 <= when[0] <= 12, "one second of 10 frames"


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_hidden_for_less_than_the_buffer_keeps_the_id(kind: str) -> None:
    one = tracker(kind)
    for frame in range(20):
        one.update([person(100 + frame)])
    for _ in range(5):
        assert one.update([]) == []
    found = [t.track for frame in range(25, 30) for t in one.update([person(100 + frame)])]
    assert found == [1] * 5
    assert one.finished() == []


@pytest.mark.parametrize("kind", KINDS)
def test_unsure_boxes_continue_a_track_but_never_begin_one(kind: str) -> None:
    settings = TrackerSettings()
    unsure = (settings.low + settings.high) / 2
    one = tracker(kind)
    assert not any(one.update([person(100, unsure)]) for _ in range(20))
    for _ in range(10):
        one.update([person(300)])
    followed = [t.track for _ in range(5) for t in one.update([person(300, unsure)])]
    if kind != "ocsort":  # OC-SORT, as published, does not look at them
        assert followed == [1] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_that_are_none_do_no_harm(kind: str) -> None:
    """Symptom: one NaN box turned every later Kalman state of the camera to NaN."""
    bad = [
        Detection(Box(math.nan, 0, 10, 10), 0.9),
        Detection(Box(50, 50, 50, 90), 0.9),  # no width
        Detection(Box(50, 90, 90, 50), 0.9),  # inverted
        Detection(Box(0, 0, math.inf, 10), 0.9),
        Detection(Box(0, 0, 10, 10), math.nan),
    ]
    one = tracker(kind)
    for frame in range(15):
        found = one.update([*bad, person(100 + frame)])
    assert [t.track for t in found] == [1]
    assert found[0].box.is_valid()


@pytest.mark.parametrize("kind", KINDS)
def test_the_buffer_is_in_seconds_at_any_frame_rate(kind: str) -> None:
    for rate in (5, 30):
        one = build_tracker(TrackerSettings(kind=kind, buffer=2), CountingAllocator(), rate)
        for _ in range(10):
            one.update([person(100)])
        lasted = next(i for i in range(1000) if one.update([]) or one.finished())
        assert lasted == pytest.approx(2 * rate, abs=2)


@pytest.mark.parametrize("kind", ["botsort", "tracktrack"])
def test_a_moving_camera_is_followed_with_the_picture(kind: str) -> None:
    """The camera jumps 60 pixels to the side: without its motion the person is another one."""
    wall = np.random.default_rng(1).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    wall = np.kron(wall, np.ones((8, 8, 1), np.uint8))
    ids: dict[bool, set[int]] = {True: set(), False: set()}
    for moving, seen in ids.items():
        one = tracker(kind, moving_camera=moving)
        for frame in range(12):
            shift = 0 if frame < 8 else 60
            image = np.ascontiguousarray(wall[:, shift : shift + 800])
            seen |= {t.track for t in one.update([person(300 - shift)], image)}
    assert len(ids[True]) == 1
    assert len(ids[False]) == 2


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_frame_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="frame_rate"):
        build_tracker(TrackerSettings(), CountingAllocator(), rate)


def test_thresholds_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="low"):
        TrackerSettings(low=0.7, high=0.5)
