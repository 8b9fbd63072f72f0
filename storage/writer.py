"""The one thread that writes: a bounded queue in, short transactions out."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.sql import Executable

from reid.errors import StoreError
from storage.engine import LockHeldError, describe, write_transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
HEARTBEAT_SECONDS = 5.0
_BACKLOG_SECONDS = 0.2  # what waits must be written in about this time
_FEWEST = 200


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for many rows. In one batch lower `order` goes first (foreign keys)."""

    order: int
    clause: Executable


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for one statement."""

    statement: Statement
    rows: Sequence[dict[str, Any]]


@dataclass(slots=True)
class Task:
    """Work inside the write transaction, in its turn.

    The function gets the connection and a list of files to remove once the commit stands.
    `wanted` means that a caller waits; `weight` is the work in rows.
    """

    function: Callable[[Connection, list[Path]], Any]
    wanted: bool = False
    weight: int = 1
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Commits what is put into it, at least every `interval` seconds, in the order given."""

    def __init__(
        self,
        engine: Engine,
        shown: str,
        interval: float,
        rows: int,
        heartbeat: Callable[[Connection], None],
        patience: float = 0.0,
    ) -> None:
        """Start the thread.

        Args:
            engine: where to write.
            shown: the store's name in errors.
            interval: seconds that an operation waits for its commit, at most.
            rows: rows that may wait, at most. Fewer where the disk or the server is slow:
                `put` makes its caller wait rather than a row for its commit.
            heartbeat: called in a transaction every few seconds, however idle the store is.
            patience: seconds that a lock of another process is waited for, beyond the usual.
        """
        self._engine = engine
        self._shown = shown
        self._interval = interval
        self._rows = rows
        self._heartbeat = heartbeat
        self._patience = patience
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        self._queue: queue.SimpleQueue[Sequence[Rows | Task]] = queue.SimpleQueue()
        self._waiting = 0
        self._limit = float(_FEWEST)
        self._error: StoreError | None = None
        self._closed = False
        self._stop = Task(lambda connection, stale: None)
        self._room = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, *operations: Rows | Task) -> None:
        """Queue operations that belong into one transaction; waits while the queue is full.

        Raises:
            StoreError: if the store is closed or an earlier write failed.
        """
        with self._room:
            self._room.wait_for(lambda: self._waiting < self._limit or self._over())
            self.check()
            self._waiting += _weight(operations)
            self._queue.put(operations)

    def call(self, function: Callable[[Connection], T]) -> T:
        """Run a function in the write transaction, in its turn; returns once committed."""
        task = Task(lambda connection, stale: function(connection), wanted=True)
        self.put(task)
        result: T = task.future.result()
        return result

    def ask(self, function: Callable[[Connection], T]) -> T:
        """As `call`, but what the function raises is its caller's alone.

        Its changes are undone (a savepoint), the batch around it and the writer go on. An error of
        the database itself still fails the writer, as in `call`.
        """

        def guarded(connection: Connection) -> tuple[T | None, Exception | None]:
            savepoint = connection.begin_nested()
            try:
                result = function(connection)
            except IntegrityError as error:
                savepoint.rollback()
                return None, StoreError(f"store {self._shown}: {describe(error)}")
            except SQLAlchemyError:
                raise  # the database may have ended the transaction, and the savepoint with it
            except Exception as error:  # noqa: BLE001 - handed to the caller below
                savepoint.rollback()
                return None, error
            savepoint.commit()
            return result, None

        result, error = self.call(guarded)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def check(self) -> None:
        """Raise the error of a failed write, if there was one."""
        if self._error is not None:
            raise StoreError(str(self._error)) from self._error
        if self._closed:
            raise StoreError(f"store {self._shown} is closed")

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    def close(self) -> None:
        """Commit what waits and end the thread; raises the error of a failed write."""
        with self._room:
            if self._closed:
                return
            self._closed = True
            self._queue.put([self._stop])  # nothing can slip in behind it
            self._room.notify_all()
        self._thread.join()
        if self._error is not None:
            raise StoreError(str(self._error)) from self._error

    def _over(self) -> bool:
        return self._closed or self._error is not None

    def _work(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._collect()
            if self._error is not None:
                _refuse(batch, self._error)
                self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
                continue
            began = time.monotonic()
            self._write(batch)
            weight = _weight(batch)
            rate = weight / max(time.monotonic() - began, 1e-6)
            with self._room:
                self._waiting -= weight
                if weight >= _FEWEST // 2:  # a small batch measures the commit, not the rows
                    self._limit = min(max(_FEWEST, rate * _BACKLOG_SECONDS), self._rows)
                self._room.notify_all()

    def _write(self, batch: Sequence[Rows | Task]) -> None:
        try:
            self._commit_patiently(batch)
        except StoreError as error:
            self._fail(batch, error)
        except SQLAlchemyError as error:
            text = f"cannot write to store {self._shown}: {describe(error)}"
            self._fail(batch, StoreError(text), error)
        except Exception as error:  # noqa: BLE001 - the thread must not leave its callers waiting
            text = f"cannot write to store {self._shown}: {type(error).__name__}: {error}"
            self._fail(batch, StoreError(text), error)

    def _collect(self) -> tuple[list[Rows | Task], bool]:
        """Wait for work; gather until the interval is over, enough rows wait, or a caller does."""
        batch: list[Rows | Task] = []
        rows = 0
        deadline = self._next_heartbeat
        while True:
            try:
                operations = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, False
            if not batch:
                deadline = time.monotonic() + self._interval
            batch.extend(operations)
            if operations[-1] is self._stop:
                return batch, True
            waited_for = any(isinstance(o, Task) and o.wanted for o in operations)
            rows += _weight(operations)
            if waited_for or 2 * rows >= self._limit or time.monotonic() >= deadline:
                return batch, False

    def _commit_patiently(self, batch: Sequence[Rows | Task]) -> None:
        began = time.monotonic()
        while True:
            try:
                self._commit(batch)
                return
            except LockHeldError:  # before anything of the batch was done
                waited = time.monotonic() - began
                if waited >= self._patience:
                    raise
                log.warning(
                    "store %s has been locked by another program for %.0f s; trying again "
                    "(%.0f s at most)",
                    self._shown,
                    waited,
                    self._patience,
                )

    def _commit(self, batch: Sequence[Rows | Task]) -> None:
        stale: list[Path] = []
        results: list[tuple[Future[Any], Any]] = []
        with write_transaction(self._engine) as connection:
            waiting: dict[int, tuple[Statement, list[dict[str, Any]]]] = {}
            for operation in batch:
                if isinstance(operation, Rows):
                    key = id(operation.statement)
                    waiting.setdefault(key, (operation.statement, []))[1].extend(operation.rows)
                else:
                    _execute(connection, waiting)
                    results.append((operation.future, operation.function(connection, stale)))
            _execute(connection, waiting)
            if time.monotonic() >= self._next_heartbeat:
                self._heartbeat(connection)
                self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        for path in stale:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove the outdated picture %s: %s", path, error)
        for future, result in results:
            future.set_result(result)

    def _fail(
        self, batch: Sequence[Rows | Task], error: StoreError, cause: Exception | None = None
    ) -> None:
        error.__cause__ = cause or error.__cause__
        self._error = error
        log.error("%s", error)
        with self._room:
            self._room.notify_all()
        _refuse(batch, error)


def _execute(
    connection: Connection, waiting: dict[int, tuple[Statement, list[dict[str, Any]]]]
) -> None:
    for statement, rows in sorted(waiting.values(), key=lambda entry: entry[0].order):
        connection.execute(statement.clause, rows)
    waiting.clear()


def _weight(operations: Sequence[Rows | Task]) -> int:
    return sum(len(o.rows) if isinstance(o, Rows) else o.weight for o in operations)


def _refuse(batch: Sequence[Rows | Task], error: StoreError) -> None:
    for operation in batch:
        if isinstance(operation, Task) and not operation.future.done():
            operation.future.set_exception(StoreError(str(error)))
