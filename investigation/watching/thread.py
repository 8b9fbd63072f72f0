"""The watch list at work in the background of another program: `crosscam serve`, `watch run`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from investigation.search.yardstick import Yardstick
from investigation.watching.courier import Courier
from investigation.watching.watcher import CheckReport, Watcher
from reid.errors import CrosscamError, StoreError
from storage.engine import check_file, parse_url, show_url, sqlite_path
from storage.store import Store

log = logging.getLogger(__name__)

INTERVAL = 2.0
RETRY_SECONDS = 5.0


class WatchThread:
    """Checks every watch and delivers its alerts, until it is stopped.

    Two threads, so that a slow mail server does not keep new tracklets waiting. A store that goes
    away is opened again once it is back; meanwhile `error` says so.

    Args:
        url: of the store, which must exist.
        media: folder of its pictures, for PostgreSQL.
        weights: the model of the queries: `default` or a file.
        base_url: address of the pages, for links in what is sent.
        interval: seconds between two looks.
        report: called after each check, in the thread.
    """

    def __init__(
        self,
        url: str,
        media: Path | None = None,
        *,
        weights: str = "default",
        base_url: str | None = None,
        interval: float = INTERVAL,
        report: Callable[[CheckReport], None] | None = None,
    ) -> None:
        self._url, self._media, self._weights = url, media, weights
        self._base_url, self._interval, self._report = base_url, interval, report
        self._stop = threading.Event()
        self._errors: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._loop, args=(name, work), name=name, daemon=True)
            for name, work in (("watch", self._watch), ("watch-courier", self._deliver))
        ]

    @property
    def error(self) -> str | None:
        """What keeps it from working right now, in words; None: nothing."""
        return "; ".join(sorted(set(self._errors.values()))) or None

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return not self._stop.is_set() and all(t.is_alive() for t in self._threads)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """End after the check or the message in work; what is not sent yet waits in the store.

        Args:
            timeout: seconds to wait for each thread. One that is still held up by a server ends
                with the program; its message is sent again later.
        """
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout)

    def _loop(self, name: str, begin: Callable[[Store], Callable[[], None]]) -> None:
        while not self._stop.is_set():
            try:
                with Store.open(self._url, self._media, create=False) as store:
                    work = begin(store)
                    same = _identity(self._url)
                    while not self._stop.is_set():
                        if _identity(self._url) != same:
                            raise StoreError(f"store {store.url} is another file now")
                        work()
                        self._errors.pop(name, None)
                        self._stop.wait(self._interval)
            except CrosscamError as error:
                if self._errors.get(name) != str(error):
                    log.warning("%s: %s; trying again", name, error)
                self._errors[name] = str(error)
            except Exception as error:
                # A thread that ends without a word would be a watch list that watches nothing.
                log.exception("%s: unexpected error; trying again", name)
                self._errors[name] = f"{type(error).__name__}: {error}"
            if not self._stop.is_set():
                self._stop.wait(RETRY_SECONDS)

    def _watch(self, store: Store) -> Callable[[], None]:
        watcher = Watcher(store, Yardstick.from_weights(self._weights))

        def check() -> None:
            report = watcher.check(self._stop.is_set)
            if self._report is not None:
                self._report(report)

        return check

    def _deliver(self, store: Store) -> Callable[[], None]:
        courier = Courier(store, self._base_url)

        def deliver() -> None:
            courier.deliver(self._stop.is_set)

        return deliver


def _identity(url: str) -> tuple[int, int] | None:
    """Which file a SQLite store is: one that was moved away would still take our rows.

    Raises:
        StoreError: if it is gone.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is None:
        return None
    check_file(path, show_url(parsed), must_exist=True)
    status = path.stat()
    return status.st_dev, status.st_ino
