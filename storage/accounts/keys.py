"""Signing in with a name and a password; the sessions of browsers.

A session's cookie is 256 random bits; the store keeps only its SHA-256, so that who reads the
database cannot sign in with it. A plain hash will do: nobody guesses 256 bits. Tokens and one-time
links are kept in the same way (`storage/accounts/tokens.py`).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from reid.errors import AccountError
from storage import audit
from storage.accounts.accounts import By, UserRow, one_user, visible_cameras
from storage.accounts.passwords import Passwords, check_password
from storage.desk_models import Session, User
from storage.models import to_microsecond
from storage.store import Store

SEEN_STEP = 60.0  # seconds; a session's last use is written no more often


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who stands behind a cookie or a token.

    Attributes:
        cameras: those that may be seen; None for all.
        csrf: what a form has to send back; empty for a program.
        key: digest of the session's cookie; empty for a program.
        through: `session`, or `token NAME`.
    """

    user: UserRow
    cameras: frozenset[str] | None
    csrf: str
    key: str
    through: str


def digest(secret: str) -> str:
    """What the store keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """Signs people in and out. Safe to share by threads."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        *,
        idle: float = 3600.0,
        longest: float = 43200.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make one.

        Args:
            store: to be written.
            passwords: how they are hashed.
            idle: seconds after which an unused session is over.
            longest: seconds after which any session is over.
            clock: UTC seconds.
        """
        self._store = store
        self._reader = store.reader()
        self._passwords = passwords
        self._idle = idle
        self._longest = longest
        self._clock = clock

    # ---- people ------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str | None) -> str | None:
        """Check a password; returns the cookie of a new session, or None.

        Unknown, disabled and wrong are one answer, after the same work.
        """
        wanted = name.strip().lower()
        with self._reader.connection() as connection:
            row = connection.execute(
                select(User.id, User.name, User.password, User.disabled).where(User.name == wanted)
            ).first()
        stored = None if row is None else row.password
        right = self._passwords.matches(stored, password)
        if row is None or stored is None or not right or row.disabled:
            # An unknown name is not written down: people type passwords into the wrong field.
            subject = "an unknown name" if row is None else f"user {row.name}"
            why = "disabled" if row is not None and right else ""
            self._failed(subject, why, address)
            return None
        outdated = self._passwords.outdated(stored)
        renewed = self._passwords.hash(password) if outdated else None
        return self._open_session(row.id, stored, renewed, address)

    def sign_out(self, who: SignedIn, by: By) -> None:
        """End one session."""

        def end(connection: Connection) -> None:
            connection.execute(delete(Session).where(Session.token == who.key))
            note(connection, by, "sign-out", f"user {who.user.name}")

        self._store.write(end)

    def session(self, cookie: str, *, used: bool = True) -> SignedIn | None:
        """Who a cookie belongs to; None if it is unknown, over, or its user disabled.

        Without `used` nobody did anything: a page asked by itself, and the idle time goes on.
        """
        now = self._clock()
        key = digest(cookie)
        with self._reader.connection() as connection:
            found = connection.execute(select(Session).where(Session.token == key)).first()
            if found is None or now >= found.expires or now >= found.seen + self._idle:
                return None
            user = one_user(connection, found.user)
            if user.disabled:
                return None
            cameras = visible_cameras(connection, user)
        if used and now - found.seen >= min(SEEN_STEP, self._idle / 4):
            seen = update(Session).where(Session.token == key).values(seen=to_microsecond(now))
            self._store.write(lambda connection: connection.execute(seen) and None)
        return SignedIn(user, cameras, found.csrf, key, "session")

    def set_password(self, who: SignedIn, old: str, new: str, by: By) -> None:
        """Change one's own password; the user's other sessions end.

        Raises:
            AccountError: if the old one is wrong or the new one not allowed.
        """
        with self._reader.connection() as connection:
            stored = connection.execute(
                select(User.password).where(User.id == who.user.id)
            ).scalar_one()
        if not self._passwords.matches(stored, old):
            raise AccountError("the present password is not right")
        check_password(new, who.user.name)
        hashed = self._passwords.hash(new)

        def change(connection: Connection) -> None:
            connection.execute(update(User).where(User.id == who.user.id).values(password=hashed))
            others = (Session.user == who.user.id) & (Session.token != who.key)
            connection.execute(delete(Session).where(others))
            note(connection, by, "user", f"user {who.user.name}", {"changed": "password"})

        self._store.write(change)

    def end_other_sessions(self, who: SignedIn, by: By) -> None:
        """Sign a user out everywhere but here."""

        def end(connection: Connection) -> None:
            others = (Session.user == who.user.id) & (Session.token != who.key)
            connection.execute(delete(Session).where(others))
            note(connection, by, "user", f"user {who.user.name}", {"sessions": "ended"})

        self._store.write(end)

    # ---- plumbing ----------------------------------------------------------------------------

    def _open_session(
        self, user: int, stored: str, renewed: str | None, address: str | None
    ) -> str | None:
        cookie = secrets.token_urlsafe(32)
        now = self._clock()

        def begin(connection: Connection) -> str | None:
            row = connection.execute(
                select(User.name, User.password, User.disabled).where(User.id == user)
            ).first()
            if row is None or row.disabled or row.password != stored:
                return None  # changed while we were hashing
            if renewed is not None:
                connection.execute(update(User).where(User.id == user).values(password=renewed))
            over = (Session.expires <= now) | (Session.seen <= now - self._idle)
            connection.execute(delete(Session).where(over))
            values = {
                "token": digest(cookie),
                "user": user,
                "csrf": secrets.token_urlsafe(32),
                "created": to_microsecond(now),
                "expires": to_microsecond(now + self._longest),
                "seen": to_microsecond(now),
            }
            connection.execute(insert(Session).values(values))
            note(connection, By(row.name, address), "sign-in", f"user {row.name}")
            return cookie

        return self._store.write(begin)

    def _failed(self, subject: str, why: str, address: str | None) -> None:
        details = {"why": why} if why else {}
        entry = audit.Audit("crosscam", "sign-in-failed", subject, "", details, address)
        audit.write(self._store, entry)


def note(
    connection: Connection,
    by: By,
    action: str,
    subject: str,
    details: Mapping[str, object] | None = None,
) -> None:
    """Write down a change of accounts, in its own transaction."""
    entry = audit.Audit(by.actor, action, subject, "", details or {}, by.address)
    audit.record(connection, entry)
