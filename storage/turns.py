"""One person's decision, or erasure, at a time: each is checked against what the last one left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, text

from reid.errors import StoreError

T = TypeVar("T")
Id = TypeVar("Id", int, str)
PATIENCE_SECONDS = 10.0
CHUNK = 500  # ids in one statement
_LOCK = 0x6465636964  # PostgreSQL advisory lock


class Writable(Protocol):
    """What this module and `storage/scrub.py` need of a `Store`, which knows them in turn."""

    url: str
    media: Path

    def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in one transaction."""
        ...

    def maintain(self, function: Callable[[Engine], T]) -> T:
        """Run a function on the database itself."""
        ...


class _BusyError(Exception):
    """Somebody else's turn."""


def in_turn(store: Writable, function: Callable[[Connection], T]) -> T:
    """`store.write`, while nobody else in any process is in here.

    Their ids then rise in the order of their commits. SQLite has one writer anyhow. PostgreSQL is
    asked for a lock without waiting inside the transaction, which may hold others already: two
    writers that wait for each other would both be lost.

    Raises:
        StoreError: if others kept it busy, or the store cannot be written.
    """

    def locked(connection: Connection) -> T:
        if connection.dialect.name == "postgresql":
            ask = text("SELECT pg_try_advisory_xact_lock(:lock)")
            if not connection.execute(ask, {"lock": _LOCK}).scalar_one():
                raise _BusyError
        return function(connection)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return store.write(locked)
        except _BusyError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"store {store.url}: others have been deciding or erasing for "
                    f"{PATIENCE_SECONDS:.0f} s; try again"
                ) from None
            time.sleep(0.02)


def chunks(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """Ids in portions that fit one statement."""
    for first in range(0, len(ids), CHUNK):
        yield ids[first : first + CHUNK]
