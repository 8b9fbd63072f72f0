"""How often somebody may try to sign in.

Counted in memory, so a restart forgets; what was tried stands in the audit trail all the same.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW = 900.0  # seconds
# Few for one name from one address; more for an address (an office behind one) and for a name
# (so that a stranger cannot lock somebody out from a single address).
PER_PAIR, PER_ADDRESS, PER_NAME = 5, 30, 100
_MOST_KEYS = 20_000


class Attempts:
    """Counts failed attempts. Safe to share by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none; `clock` in seconds."""
        self._clock = clock
        self._failed: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, address: str) -> float:
        """Count an attempt as failed before it is made, so that many at once cannot slip by.

        Returns:
            0, or the seconds to wait; then nothing is counted.
        """
        now = self._clock()
        with self._lock:
            waits = [self._wait(key, most, now) for key, most in _keys(name, address)]
            if max(waits) > 0:
                return max(waits)
            if len(self._failed) > _MOST_KEYS:
                self._forget(now)
            for key, _ in _keys(name, address):
                self._failed.setdefault(key, deque()).append(now)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """It was right: take back what `begin` counted, and forget the pair's failures."""
        with self._lock:
            for number, (key, _) in enumerate(_keys(name, address)):
                times = self._failed.get(key)
                if times and number:
                    times.pop()
                if not times or not number:
                    self._failed.pop(key, None)

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        times = self._failed.get(key)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        return times[-most] + WINDOW - now if times and len(times) >= most else 0.0

    def _forget(self, now: float) -> None:
        """Drop what is over; if that is not enough (a flood of names), the oldest."""
        old = [key for key, times in self._failed.items() if not times or times[-1] <= now - WINDOW]
        for key in old:
            del self._failed[key]
        while len(self._failed) > _MOST_KEYS // 2:
            del self._failed[next(iter(self._failed))]


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    name = name.strip().lower()[:64]
    return (
        ((name, address), PER_PAIR),
        (("", address), PER_ADDRESS),
        ((name, ""), PER_NAME),
    )
