"""What somebody is playing, so that the audit trail gets one row for it and not one a piece."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from investigation.replay.footage import Span

KEPT = 4 * 3600.0  # seconds after which the same footage counts as played anew
MOST = 50  # stretches of one user and camera


class Played:
    """The stretches of footage whose playing is in the audit trail already. Safe to share."""

    def __init__(self) -> None:
        """Nothing is played yet; a new process begins anew."""
        self._spans: dict[tuple[str, str], list[tuple[float, Span]]] = {}
        self._lock = threading.Lock()

    def add(self, user: str, cameras: Iterable[str], span: Span) -> None:
        """A row was written for this."""
        now = time.monotonic()
        with self._lock:
            for camera in cameras:
                held = self._spans.setdefault((user, camera), [])
                held[:] = [(at, s) for at, s in held if now - at < KEPT][1 - MOST :]
                held.append((now, span))

    def covers(self, user: str, camera: str, span: Span) -> bool:
        """Whether a row says that this user played all of it."""
        now = time.monotonic()
        with self._lock:
            held = self._spans.get((user, camera), ())
            return any(
                now - at < KEPT and s.start <= span.start and span.end <= s.end for at, s in held
            )
