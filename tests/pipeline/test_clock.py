import math
import random

import pytest

from pipeline.clock import FileClock, LiveClock, RateCap, nominal_rate


def test_a_file_starts_at_its_start_time_whatever_its_first_pts():
    clock = FileClock(1000.0, 1.4, 0.1)
    assert [clock.time(p) for p in (1.4, 1.5, 1.6)] == pytest.approx([1000.0, 1000.1, 1000.2])


def test_a_file_keeps_gaps_and_never_steps_back():
    clock = FileClock(0.0, 0.0, 0.1)
    times = [clock.time(p) for p in (0.0, 0.1, 5.0, None, 0.0, 0.1, 0.1)]
    #        a gap is real -------------^    ^     ^ pts starts anew: goes on from before
    assert times == pytest.approx([0.0, 0.1, 5.0, 5.1, 5.2, 5.3, 5.4])


def test_live_times_ignore_network_jitter():
    clock = LiveClock()
    rng = random.Random(1)
    errors = []
    for n in range(500):
        capture = 1000.0 + n * 0.04
        now = capture + 0.02 + (0 if n % 10 == 0 else rng.uniform(0, 0.3))
        clock.observe(n * 0.04, now)
        errors.append(clock.time(n * 0.04, now) - capture)
    assert errors[0] == pytest.approx(0.02)
    # 20 ms is the smallest delay: all times settle there although packets come up to 320 ms late
    assert max(errors[20:]) == pytest.approx(0.02)


def test_live_burst_of_old_pictures_does_not_lead_into_the_future():
    """A server sends its last two seconds at once: no picture may be from the future."""
    clock = LiveClock()
    last = -math.inf
    for n in range(100):
        now = 1000.0 + (n * 0.001 if n < 50 else 0.05 + (n - 50) * 0.04)
        clock.observe(n * 0.04, now)
        time = clock.time(n * 0.04, now)
        # time must rise, so each of the burst may be 1 ms ahead of its arrival at most
        assert last < time <= now + 0.051
        last = time
    assert last == pytest.approx(now, abs=0.06)


def test_live_reanchors_when_the_stream_clock_jumps():
    clock = LiveClock()
    for n in range(10):
        clock.observe(n * 0.1, 1000 + n * 0.1)
        clock.time(n * 0.1, 1000 + n * 0.1)
    clock.observe(90_000.0, 1001.0)
    assert clock.time(90_000.0, 1001.0) == pytest.approx(1001.0)
    clock.observe(0.0, 1001.1)
    assert clock.time(0.0, 1001.1) == pytest.approx(1001.1)


def test_live_follows_a_clock_that_drifts():
    """A camera clock that loses 1 % would be 6 s late after ten minutes."""
    clock = LiveClock()
    for n in range(6000):
        now = 1000 + n * 0.1
        clock.observe(n * 0.099, now)
        time = clock.time(n * 0.099, now)
    assert 0 <= now - time < 0.7


def test_live_stays_above_what_was_before_a_reconnection():
    clock = LiveClock(after=1000.0)
    clock.observe(5.0, 999.9)
    assert clock.time(5.0, 999.9) > 1000.0


@pytest.mark.parametrize(
    ("rate", "cap", "seconds", "expected"),
    [
        (30, 10, 10, 100),
        (25, 10, 10, 100),
        (10, 10, 10, 100),  # the same: nothing is left out
        (10, 30, 10, 100),  # a cap above: nothing is left out
        (60, 7, 10, 70),
        (30, 0.5, 10, 5),
    ],
)
def test_rate_cap(rate, cap, seconds, expected):
    chooser = RateCap(cap)
    # millisecond time stamps, as Matroska writes them
    taken = [n for n in range(rate * seconds) if chooser.takes(round(n / rate, 3))]
    assert abs(len(taken) - expected) <= 1
    assert taken[0] == 0


@pytest.mark.parametrize("step", [-3600, -60, -1, 3600])
def test_a_clock_that_is_set_blinds_no_camera(step):
    """Symptom: the wall clock went back an hour, and a camera with a cap gave no picture for it."""
    chooser = RateCap(12.5)
    times = [1000 + n / 25 for n in range(500)]
    assert sum(map(chooser.takes, times)) == 250
    taken = [n for n in range(500) if chooser.takes(1020 + step + n / 25)]
    assert taken[0] <= 1 and len(taken) == 250


def test_a_cap_is_kept_where_times_waver():
    """Two pictures in the wrong order are no clock that was set."""
    chooser = RateCap(10)
    order = [n + (1 if n % 2 == 0 else -1) for n in range(100)]
    assert sum(chooser.takes(n / 25) for n in order) == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((25, 30), 25.0),
        ((1000, None), None),  # Matroska's milliseconds
        ((90_000, 12.5), 12.5),  # RTP's clock
        ((0, 240), 240.0),
        ((None, math.nan, math.inf, -5), None),
    ],
)
def test_a_rate_that_no_camera_has_is_none(said, expected):
    assert nominal_rate(*said) == expected


def test_no_cap_takes_all():
    chooser = RateCap(None)
    assert all(chooser.takes(0.0) for _ in range(5))
