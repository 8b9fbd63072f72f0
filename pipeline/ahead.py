"""Work one step ahead: run an iterator in a thread behind a bounded queue.

Detection of the next batch runs while the last one is tracked and embedded.
Policy: the producer waits while the queue is full; nothing is dropped; order
is kept; an error of the producer is raised where the items are taken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 0.2  # seconds between looks at whether the other side is still there


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int, name: str) -> Iterator[T]:
    """Yield the items of `items`, taken by a thread up to `depth` before they are asked for."""
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    gone = threading.Event()

    def put(item: T | _End) -> bool:
        while not gone.is_set():
            try:
                waiting.put(item, timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as problem:  # noqa: BLE001 - raised again by the consumer
            error = problem
        finally:
            put(_End(error))

    thread = threading.Thread(target=produce, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        gone.set()
        thread.join(timeout=10)
