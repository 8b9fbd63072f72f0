"""Ids that are unique over every process that shares a store."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, text

from storage.writer import Writer

BLOCK = 64


def next_revision(connection: Connection) -> int:
    """The next revision of the store's embeddings, within a write transaction.

    The counter's row stays locked until the commit, so revisions become visible in their order.
    """
    changed = connection.execute(
        text("UPDATE counters SET next = next + 1 WHERE kind = 'revision' RETURNING next")
    )
    return int(changed.scalar_one()) - 1


def take_id(connection: Connection, kind: str) -> int:
    """One id of a kind (`track`, `identity`), within a write transaction: no failure loses it."""
    changed = connection.execute(
        text("UPDATE counters SET next = next + 1 WHERE kind = :kind RETURNING next"),
        {"kind": kind},
    )
    return int(changed.scalar_one()) - 1


class StoreAllocator:
    """Reserves blocks of ids in the store; gives back what it did not use.

    One process in a fresh store counts 1, 2, 3, ... A process that was killed leaves a gap of
    less than a block.
    """

    def __init__(self, writer: Writer, kind: str, block: int = BLOCK) -> None:
        self._writer = writer
        self._kind = kind
        self._block = block
        self._next = 0
        self._end = 0
        self._lock = threading.Lock()

    def next_id(self) -> int:
        """Return the next free id, 1 or more.

        Raises:
            StoreError: if the store cannot be written.
        """
        with self._lock:
            if self._next >= self._end:
                self._end = self._writer.call(self._reserve)
                self._next = self._end - self._block
            self._next += 1
            return self._next - 1

    def give_back(self) -> None:
        """Return the unused end of the block, if nobody reserved beyond it."""
        with self._lock:
            if self._next < self._end:
                self._writer.call(self._release)
                self._next = self._end = 0

    def _reserve(self, connection: Connection) -> int:
        changed = connection.execute(
            text("UPDATE counters SET next = next + :block WHERE kind = :kind RETURNING next"),
            {"block": self._block, "kind": self._kind},
        )
        return int(changed.scalar_one())

    def _release(self, connection: Connection) -> None:
        connection.execute(
            text("UPDATE counters SET next = :first WHERE kind = :kind AND next = :end"),
            {"first": self._next, "kind": self._kind, "end": self._end},
        )
