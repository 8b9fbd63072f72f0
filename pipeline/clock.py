"""From a stream's own clock (pts) to capture time in UTC, for files and for live cameras."""

from __future__ import annotations

import math
from fractions import Fraction

HIGHEST_RATE = 240.0  # frames per second; what says more is a time base, not a camera


def nominal_rate(*said: Fraction | float | None) -> float | None:
    """The first rate that a camera may have, of those that a stream says (frames per second).

    A Matroska file with uneven times says 1000, an RTSP stream 90000: the ticks of their clocks.
    """
    return next((float(rate) for rate in said if rate and 0 < rate <= HIGHEST_RATE), None)


class FileClock:
    """Capture times of a file: its start time plus pts. The same file gives the same times.

    Times always rise: where pts is missing or steps back (a joined file), the
    frame follows its predecessor by one nominal frame and the rest is moved along.
    """

    def __init__(self, start: float, first_pts: float | None, step: float) -> None:
        """Begin at `start` (UTC seconds), which belongs to `first_pts` (seconds).

        Args:
            start: capture time of the file's first moment, UTC seconds.
            first_pts: the pts of that moment in seconds; None takes the first frame's.
            step: seconds between two frames, for frames without a usable pts.
        """
        self._start = start
        self._zero = first_pts
        self._step = step
        self._last: float | None = None

    def time(self, pts: float | None) -> float:
        """Return the capture time, UTC seconds, of the next frame, given its pts in seconds."""
        if pts is None:
            result = self._start if self._last is None else self._last + self._step
        else:
            if self._zero is None:
                self._zero = pts
            result = self._start + pts - self._zero
            if self._last is not None and result <= self._last:
                self._zero -= self._last + self._step - result
                result = self._last + self._step
        self._last = result
        return result

    def at(self, pts: float) -> float:
        """Capture time of a pts (seconds) as the clock stands now; nothing is noted."""
        return self._start + pts - (pts if self._zero is None else self._zero)


class PacketClock:
    """Capture times of a file's packets, which come in the order of decoding.

    They agree with `FileClock`'s times of the pictures that are decoded from them, also where
    time stamps step back in a joined file.
    """

    def __init__(self, start: float, first_pts: float | None, step: float) -> None:
        """As `FileClock`."""
        self._start, self._step = start, step
        self._clock = None if first_pts is None else FileClock(start, first_pts, step)

    def time(self, pts: float | None, dts: float | None) -> float:
        """Return the capture time, UTC seconds, of the next packet, given its times in seconds."""
        if self._clock is None:
            self._clock = FileClock(self._start, pts, self._step)
        if dts is None and pts is not None:
            return self._clock.at(pts)
        decoded = self._clock.time(dts)
        return decoded if pts is None or dts is None else decoded + pts - dts


class LiveClock:
    """Capture times of a live stream, from pts and the wall clock.

    A packet cannot arrive before its picture was taken, so the smallest arrival
    minus pts is the best known offset: network jitter and the burst of old
    pictures at the start of a stream do not shift the times. The smallest of
    the last one to two windows is taken, which follows a camera clock that
    drifts. The anchor is dropped where pts and wall clock part by more than `jump`.
    """

    def __init__(
        self, after: float = -math.inf, *, window: float = 30.0, jump: float = 10.0
    ) -> None:
        """Start without an anchor; times stay above `after` (UTC seconds)."""
        self._last = after
        self._window = window
        self._jump = jump
        self._began = -math.inf
        self._current = self._previous = math.inf

    def observe(self, pts: float | None, now: float) -> None:
        """Note that a packet with this pts (seconds) arrived `now` (UTC seconds)."""
        if pts is None:
            return
        offset = now - pts
        known = min(self._current, self._previous)
        if math.isfinite(known) and abs(offset - known) > self._jump:
            self._current = self._previous = math.inf
            self._began = now
        elif abs(now - self._began) >= self._window:
            self._previous, self._current = self._current, math.inf
            self._began = now
        self._current = min(self._current, offset)

    def at(self, pts: float | None, now: float) -> float:
        """Capture time, UTC seconds, of a pts as the clock stands; nothing is noted."""
        known = min(self._current, self._previous)
        return now if pts is None or not math.isfinite(known) else min(pts + known, now)

    def time(self, pts: float | None, now: float) -> float:
        """Return the capture time, UTC seconds, of a frame decoded `now`."""
        result = self.at(pts, now)
        if result <= self._last and self._last - result < self._jump:
            result = self._last + 1e-3  # never two pictures at one time, never backwards
        self._last = result
        return result


class RateCap:
    """Chooses frames by time so that at most `fps` a second pass; None passes all."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._first: float | None = None
        self._last = -math.inf
        self._slot = -1

    def takes(self, time: float) -> bool:
        """True if the frame taken at `time` (UTC seconds) is one to look at.

        Times rise. Where they step back by more than a slot the clock was set, and the choice
        starts afresh.
        """
        if self._fps is None:
            return True
        if self._first is None or time < self._last - 1 / self._fps:
            self._first, self._slot = time, -1
        # Some tolerance: the 33 ms time stamps of a 30 fps stream are not "too early" for 30.
        tolerance = min(0.25, 0.005 * self._fps)
        slot = math.floor((time - self._first) * self._fps + tolerance)
        if slot <= self._slot:
            return False
        self._slot, self._last = slot, time
        return True
