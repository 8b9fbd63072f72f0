"""What every page and every call of the API works with: the store, accounts, the audit trail.

A store may go away while we serve: a file is moved, a database server restarts. Requests then
fail with 503; the desk looks again at each and goes on as soon as the store is back.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from reid.errors import StoreError
from storage import audit
from storage.accounts.accounts import Accounts
from storage.accounts.keys import Keys
from storage.accounts.passwords import Passwords
from storage.accounts.tokens import Links, Tokens
from storage.engine import check_file, parse_url, show_url, sqlite_path
from storage.models import Run
from storage.queries import StoreReader
from storage.store import Store
from web.limits import Attempts
from web.looked import Looked
from web.settings import WebSettings

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Desk:
    """The open store and what belongs to it. Safe to share by threads.

    Ask for `store`, `reader`, `accounts` and `keys` anew in each request and keep none of them:
    they are others after the store was away.
    """

    def __init__(self, settings: WebSettings, url: str, media: Path | None) -> None:
        """Open the store, making it or bringing it up to date where needed.

        Raises:
            StoreError: naming what is wrong with it.
        """
        self.settings = settings
        self.passwords = Passwords(settings.password_time, settings.password_memory)
        self.attempts = Attempts()
        self.looked = Looked()
        self.media_argument = media
        self._url = url
        self._shown = show_url(parse_url(url))
        self._path = sqlite_path(parse_url(url))
        self._lock = threading.Lock()
        self._next_try = 0.0
        self._dropped = float("-inf")
        self._reported: str | None = None
        self._store: Store | None = Store.open(url, media)
        self._file = self._identity()
        self.media = self._store.media

    @property
    def store(self) -> Store:
        """The store, for writing.

        Raises:
            StoreError: while it is away.
        """
        with self._lock:
            if self._store is not None and self._identity() == self._file:
                return self._store
            self._drop()
            if self._path is not None:
                check_file(self._path, self._shown, must_exist=True)  # never make a new one
                if self._identity() != self._file:
                    # SQLite would read the old file's `-wal` into the new one and damage it.
                    raise StoreError(
                        f"store {self._shown}: another file lies at {self._path} than was served; "
                        f"end crosscam serve, see to {self._path}-wal, and start again"
                    )
            if time.monotonic() < self._next_try:
                raise StoreError(f"store {self._shown} cannot be reached; trying again shortly")
            self._next_try = time.monotonic() + _RETRY_SECONDS
            self._store = Store.open(self._url, self.media_argument)
            self._next_try = 0.0
            self._reported = None
            log.warning("store %s is back", self._shown)
            return self._store

    @property
    def reader(self) -> StoreReader:
        """The store, for reading; raises as `store` does."""
        return self.store.reader()

    @property
    def accounts(self) -> Accounts:
        """Users and groups; raises as `store` does."""
        return Accounts(self.store)

    @property
    def keys(self) -> Keys:
        """Sign-in and sessions; raises as `store` does."""
        return Keys(
            self.store,
            self.passwords,
            idle=self.settings.session_idle,
            longest=self.settings.session_longest,
        )

    @property
    def tokens(self) -> Tokens:
        """Tokens of programs; raises as `store` does."""
        return Tokens(self.store)

    @property
    def links(self) -> Links:
        """One-time links; raises as `store` does."""
        return Links(self.store, self.passwords)

    def healthy(self) -> bool:
        """True if the store can be read and written now; lets go of one that cannot.

        This tells a wrong request (a run that does not exist) from a store that is gone, both of
        which are a `StoreError`.
        """
        try:
            store = self.store
        except StoreError:
            return False
        try:
            store.flush()
            with store.reader().connection() as connection:
                connection.execute(select(Run.id).limit(1)).first()
        except StoreError as error:
            self.report(str(error))
            with self._lock:
                if self._store is store:
                    self._drop()
            return False
        return True

    def plain(self, message: str) -> str:
        """A message without where the store lies: that is for the log and the terminal."""
        for known, said in (
            (f"store {self._shown}", "the store"),
            (self._shown, "the store"),
            (str(self._path or ""), "the store's file"),
        ):
            message = message.replace(known, said) if known else message
        return message

    def report(self, problem: str) -> None:
        """Log why the store is away; once, not at every request."""
        with self._lock:
            if problem != self._reported:
                self._reported = problem
                log.error("%s", problem)

    def was_away(self) -> bool:
        """True just after the store was let go: somebody may still hold the old one."""
        return time.monotonic() - self._dropped < _RETRY_SECONDS * 2

    def audit(
        self,
        actor: str,
        action: str,
        subject: str,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        address: str | None = None,
    ) -> None:
        """Append one entry to the audit trail (see `Visitor.note`, which knows who asks)."""
        audit.write(self.store, audit.Audit(actor, action, subject, reason, details or {}, address))

    def close(self) -> None:
        """Commit and let go of the store."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            self._dropped = time.monotonic()
            with contextlib.suppress(StoreError):  # it was told where it happened
                store.close()

    def _identity(self) -> tuple[int, int] | None:
        """Tells a file from another of the same name: one that was moved away is still open."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_dev, found.st_ino)
