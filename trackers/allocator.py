"""Where ids come from: a counter that is handed in, never one that lives on a class."""

from __future__ import annotations

import itertools
from typing import Protocol


class IdAllocator(Protocol):
    """Gives ids that nobody else gets."""

    def next_id(self) -> int:
        """Return the next free id, 1 or more."""
        ...


class CountingAllocator:
    """Counts up from `first`; one process, nothing persistent."""

    def __init__(self, first: int = 1) -> None:
        self._counter = itertools.count(first)

    def next_id(self) -> int:
        """Return the next free id."""
        return next(self._counter)
