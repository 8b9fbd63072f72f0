from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.errors import ConfigError
from trackers.allocator import CountingAllocator
from trackers.records import Box, Detection, TrackedBox
from trackers.settings import TrackerSettings
from trackers.single import UltralyticsTracker, build_tracker

START = 1_700_000_000.0
KINDS = ("tracktrack", "bytetrack", "botsort", "ocsort")


def person(left: float, confidence: float = 0.9) -> Detection:
    return Detection(Box(left, 100, left + 40, 220), confidence)


class Steady:
    """A tracker whose frames come at the rate that the stream promises, unless `time` is set."""

    def __init__(self, inner: UltralyticsTracker, rate: float) -> None:
        self.inner, self.step, self.time = inner, 1 / rate, START
        self.finished, self.reset = inner.finished, inner.reset

    def update(
        self, detections: Sequence[Detection], image: NDArray[np.uint8] | None = None
    ) -> list[TrackedBox]:
        self.time += self.step
        return self.inner.update(detections, self.time, image)


def tracker(
    kind: str = "tracktrack",
    allocator: CountingAllocator | None = None,
    rate: float = 10,
    **changed: object,
) -> Steady:
    settings = TrackerSettings.model_validate({"kind": kind, **changed})
    return Steady(build_tracker(settings, allocator or CountingAllocator(), rate), rate)


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
        one = tracker(kind, rate=rate, buffer=2)
        for _ in range(10):
            one.update([person(100)])
        lasted = next(i for i in range(1000) if one.update([]) or one.finished())
        assert lasted == pytest.approx(2 * rate, abs=2)


def follow(one: Steady, person: Detection, frames: int = 20) -> int:
    """The person's track, after some frames."""
    return [one.update([person]) for _ in range(frames)][-1][0].track


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [1.3, 3600, -0.5])
def test_after_an_outage_whoever_stands_there_is_another_track(kind: str, seconds: float) -> None:
    """Symptom: a camera came back after an hour, and the one at the counter was who had stood
    there before: no frame had passed. Where the clock was set back nobody knows how long it was.
    """
    one = tracker(kind)
    assert follow(one, person(100)) == 1
    one.time += seconds
    assert follow(one, person(101)) == 2
    assert one.finished() == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_outage_ends_no_track(kind: str) -> None:
    one = tracker(kind)
    assert follow(one, person(100)) == 1
    one.time += 0.8
    assert follow(one, person(101)) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("promised", "real"), [(25, 2.75), (240, 25), (5, 25)])
def test_the_buffer_is_in_seconds_whatever_rate_the_stream_promises(
    kind: str, promised: float, real: float
) -> None:
    """Symptom: on a slow machine a lost track ended after 10 s where the buffer is 1 s, and
    someone else at the same spot 8 s later was the same track.
    """
    one = tracker(kind, rate=promised)
    one.step = 1 / real
    follow(one, person(100))
    lasted = next(i for i in itertools.count(1) if one.update([]) or one.finished()) / real
    assert 1 < lasted < 1 + 2 / promised + 2 / real

    for absent, track in ((0.7, 1), (1.5, 2)):
        one = tracker(kind, rate=promised)
        one.step = 1 / real
        follow(one, person(100))
        for _ in range(round(absent * real)):
            one.update([])
        assert follow(one, person(101)) == track


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("real", [0.2, 0.8])
def test_a_very_slow_machine_still_follows_who_stands(kind: str, real: float) -> None:
    """Frames further apart than the buffer are no outage where all of them are."""
    one = tracker(kind, rate=25)
    one.step = 1 / real
    follow(one, person(100))
    one.finished()
    track = follow(one, person(100), 1)
    assert follow(one, person(100)) == track
    assert one.finished() == []


class Plain:
    """The peer as it is: its buffer a fixed number of frames."""

    def __init__(self, kind: str, frames: int) -> None:
        from trackers.single import _build

        self._peer = _build(TrackerSettings.model_validate({"kind": kind}), frames)

    def update(self, detections: Sequence[Detection]) -> list[list[float]]:
        from ultralytics.engine.results import Boxes

        rows = [
            (d.box.left, d.box.top, d.box.right, d.box.bottom, d.confidence, 0) for d in detections
        ]
        table = Boxes(np.array(rows, np.float32).reshape(-1, 6), (1, 1))
        output = np.asarray(self._peer.update(table, None), np.float64).reshape(-1, 8)
        return sorted(output[:, [4, 0, 1, 2, 3, 5]].tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "buffer"), [(7, 1.0), (7.5, 1.0), (10, 0.3), (29.97, 0.0)])
def test_where_frames_come_as_promised_the_peer_is_not_disturbed(
    kind: str, rate: float, buffer: float
) -> None:
    """People who hide for many lengths of time, in millisecond time stamps: box for box."""
    rng = random.Random(rate)
    plain = Plain(kind, max(1, round(buffer * rate)))
    one = build_tracker(
        TrackerSettings.model_validate({"kind": kind, "buffer": buffer}), CountingAllocator(), rate
    )
    names: dict[float, int] = {}  # ours and the peer's ids are given in one order
    hidden = [0.0] * 6
    for frame in range(400):
        found = []
        for number in range(6):
            hidden[number] -= 1 / rate
            if hidden[number] < -1:
                hidden[number] = rng.choice([0, 0, rng.uniform(0, 2.5 * max(buffer, 0.4))])
            if hidden[number] <= 0:
                left = 150 * number + rng.gauss(0, 2) + 0.3 * frame
                found.append(person(left, rng.choice([0.3, 0.6, 0.9])))
        expected = plain.update(found)
        got = one.update(found, START + round(frame / rate, 3))
        for row, item in zip(expected, got, strict=True):
            assert names.setdefault(row[0], item.track) == item.track
            b = item.box
            assert row[1:] == [b.left, b.top, b.right, b.bottom, item.confidence]
    assert len(names) > 12, "many tracks ended and began"


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
