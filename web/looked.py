"""What somebody looked at of late, so that the audit trail gets one row and not one a picture.

A page that shows forty crops is one row; the forty pictures that its browser then asks for are that
row's. A picture that no such page showed has a row of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

KEPT = 3600.0  # seconds after which the same counts as looked at anew
MOST = 50_000  # of all users; what was looked at first makes room


class Looked:
    """What stands in the audit trail already. Safe to share by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was looked at yet; a new process begins anew."""
        self._clock = clock
        self._at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, who: str, things: Iterable[str]) -> None:
        """A row was written that covers these."""
        now = self._clock()
        with self._lock:
            for thing in things:
                self._at[who, thing] = now
                self._at.move_to_end((who, thing))
            while len(self._at) > MOST:
                self._at.popitem(last=False)

    def covers(self, who: str, things: Iterable[str]) -> bool:
        """Whether a row covers one of these."""
        oldest = self._clock() - KEPT
        with self._lock:
            return any(self._at.get((who, thing), float("-inf")) > oldest for thing in things)
