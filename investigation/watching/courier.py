"""Takes alerts to their targets, one after the other, at a pace that nobody calls a flood."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable

from investigation.watching.crops import crop_of
from investigation.watching.notify import Notice, send
from reid.errors import StoreError
from storage.accounts.accounts import visible_now
from storage.store import Store
from storage.watches.alerts import AlertRow, one_alert
from storage.watches.rows import NotifyTarget, one_watch
from storage.watches.sending import Job, claim, settle

log = logging.getLogger(__name__)

PER_MINUTE = 30  # messages to one target; more wait their turn


class Courier:
    """Sends what waits; one thread calls `deliver`, again and again.

    What is sent and what failed lies in the store (`storage/watches/sending.py`): at least once
    each.

    Args:
        store: where alerts are.
        base_url: address of the pages for links, where the watch names none.
        per_minute: messages to one target, at most.
    """

    def __init__(
        self, store: Store, base_url: str | None = None, *, per_minute: int = PER_MINUTE
    ) -> None:
        self._store, self._base_url, self._per_minute = store, base_url, per_minute
        self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=per_minute))

    def deliver(self, stop: Callable[[], bool] = lambda: False) -> tuple[int, int]:
        """Send what is due; returns how much was sent and how much failed.

        Args:
            stop: asked before each message.

        Raises:
            StoreError: if the store cannot be read or written.
        """
        sent = failed = 0
        while not stop():
            job = claim(self._store, time.time(), self._full())
            if job is None:
                break
            forbidden = self._forbidden(job)
            error = forbidden or self._send(job)
            settle(self._store, job, time.time(), error, for_good=forbidden is not None)
            sent += error is None
            failed += error is not None
            if error is not None:
                log.warning(
                    "alert %d (watch %d) did not reach %s: %s",
                    job.alert, job.watch, job.shown, error,
                )  # fmt: skip
        return sent, failed

    def _full(self) -> list[str]:
        """Targets that had enough for this minute."""
        now = time.monotonic()
        return [
            url
            for url, times in self._times.items()
            if len(times) == self._per_minute and now - times[0] < 60
        ]

    def _forbidden(self, job: Job) -> str | None:
        """Why whoever asked for the watch may not be told any more; None if they may."""
        reader = self._store.reader()
        try:
            alert = one_alert(reader, job.alert)
        except StoreError:
            return None  # erased meanwhile: `_send` says so, and sends nothing
        actor = one_watch(reader, job.watch).actor
        cameras = visible_now(reader, {actor}).get(actor)
        if cameras is None or alert.camera in cameras:
            return None
        return f"{actor}, who asked for it, may not see camera {alert.camera} any more"

    def _send(self, job: Job) -> str | None:
        try:
            alert = one_alert(self._store.reader(), job.alert)
        except StoreError as error:
            return str(error)
        picture = self._picture(alert) if job.attach_picture else None
        notice = Notice(alert, job.base_url or self._base_url, picture)
        self._times[job.url].append(time.monotonic())
        return send(NotifyTarget(job.url, job.shown), notice)

    def _picture(self, alert: AlertRow) -> bytes | None:
        """The crop whose time and box the message tells; None if it is gone."""
        crop = crop_of(self._store.reader(), alert)
        try:
            return None if crop is None else crop.path.read_bytes()
        except OSError:
            return None
