"""Rows that were replaced stay until every search that began before is over.

A search looks at the rows that were there when it began. Were the old row of a tracklet removed
as soon as the new one is added, a search that began in between would find neither.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Grace:
    """Which searches are under way, and which rows wait for them. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moment = 0  # rises with each replacement
        self._active: Counter[int] = Counter()  # searches by the moment they began at
        self._waiting: list[tuple[int, Sequence[int]]] = []

    @contextmanager
    def search(self) -> Iterator[None]:
        """A search is under way."""
        with self._lock:
            moment = self._moment
            self._active[moment] += 1
        try:
            yield
        finally:
            with self._lock:
                self._active[moment] -= 1
                if not self._active[moment]:
                    del self._active[moment]

    def leave(self, rows: Sequence[int]) -> None:
        """These rows have been replaced: a search that begins from now on does without them."""
        with self._lock:
            self._moment += 1
            self._waiting.append((self._moment, rows))

    def free(self) -> list[int]:
        """Rows that nobody needs any more; each is told once."""
        with self._lock:
            oldest = min(self._active, default=self._moment)
            rows = [row for moment, some in self._waiting if moment <= oldest for row in some]
            self._waiting = [(m, some) for m, some in self._waiting if m > oldest]
            return rows
