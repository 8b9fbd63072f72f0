"""What opens the door: sessions of browsers, tokens of programs, one-time links.

Each is 256 random bits; the store keeps only its SHA-256, so that who reads the database cannot
sign in with it. A plain hash will do: nobody guesses 256 bits, so it need not be slow.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Update, delete, insert, select, update

from reid.errors import AccountError
from storage import audit
from storage.accounts import By, UserRow, one_user, visible_cameras
from storage.desk_models import ApiToken, Session, User
from storage.models import to_microsecond
from storage.passwords import Passwords, check_password
from storage.queries import StoreReader
from storage.store import Store

TOKEN_PREFIX = "crosscam_"  # so that a leaked one is found by searching for it
_SEEN_STEP = 60.0  # seconds; a session's last use is written no more often
_LONGEST_NAME = 100
MOST_TOKENS = 50  # of one user
DEAD_LINK = "this link was used, has expired or never was one; ask an administrator for a new one"


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


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A program's token, without its secret; times are UTC seconds."""

    id: int
    user: int
    owner: str
    name: str
    created: float
    expires: float | None
    used: float | None
    revoked: float | None


def digest(secret: str) -> str:
    """What the store keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def tokens(reader: StoreReader, user: int | None = None) -> list[TokenRow]:
    """The programs' tokens (of one user), newest first."""
    found = (
        select(
            ApiToken.id,
            ApiToken.user,
            User.name.label("owner"),
            ApiToken.name,
            ApiToken.created,
            ApiToken.expires,
            ApiToken.used,
            ApiToken.revoked,
        )
        .join(User, User.id == ApiToken.user)
        .where(ApiToken.purpose == "api")
        .order_by(ApiToken.id.desc())
    )
    if user is not None:
        found = found.where(ApiToken.user == user)
    with reader.connection() as connection:
        return [TokenRow(*row) for row in connection.execute(found)]


class Keys:
    """Signs people and programs in and out. Safe to share by threads."""

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
            _note(connection, by, "sign-out", f"user {who.user.name}")

        self._store.write(end)

    def session(self, cookie: str) -> SignedIn | None:
        """Who a cookie belongs to; None if it is unknown, over, or its user disabled."""
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
        if now - found.seen >= min(_SEEN_STEP, self._idle / 4):
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
            _note(connection, by, "user", f"user {who.user.name}", {"password": "changed"})

        self._store.write(change)

    def end_other_sessions(self, who: SignedIn, by: By) -> None:
        """Sign a user out everywhere but here."""

        def end(connection: Connection) -> None:
            others = (Session.user == who.user.id) & (Session.token != who.key)
            connection.execute(delete(Session).where(others))
            _note(connection, by, "user", f"user {who.user.name}", {"sessions": "ended"})

        self._store.write(end)

    # ---- one-time links ----------------------------------------------------------------------

    def issue_link(self, user: int, by: By, hours: float = 24.0) -> str:
        """The secret of a link with which a user sets a password, once; older links end.

        Raises:
            AccountError: if there is no such user.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()

        def issue(connection: Connection) -> None:
            owner = one_user(connection, user)
            connection.execute(_end_links(user, now))
            row = _row(owner.id, "invite", "", secret, now, now + hours * 3600)
            connection.execute(insert(ApiToken).values(row))
            _note(connection, by, "token", f"user {owner.name}", {"link": f"valid {hours:g} h"})

        self._store.write(issue)
        return secret

    def link(self, secret: str) -> UserRow | None:
        """Whose link it is; None if it is unknown, used or over. Looking does not use it."""
        with self._reader.connection() as connection:
            return self._link(connection, secret)

    def use_link(self, secret: str, password: str, address: str | None) -> UserRow:
        """Set the password by a link, which is then used; the user's sessions end.

        Raises:
            AccountError: if the link cannot be used or the password is not allowed.
        """
        user = self.link(secret)
        if user is None:
            raise AccountError(DEAD_LINK)
        check_password(password, user.name)
        hashed = self._passwords.hash(password)
        now = self._clock()

        def use(connection: Connection) -> UserRow:
            # Once more, under the write lock: of two at the same time one comes too late.
            found = self._link(connection, secret)
            if found is None:
                raise AccountError(DEAD_LINK)
            values = {"used": to_microsecond(now), "revoked": to_microsecond(now)}
            chosen = ApiToken.token == digest(secret)
            connection.execute(update(ApiToken).where(chosen).values(values))
            connection.execute(update(User).where(User.id == found.id).values(password=hashed))
            connection.execute(delete(Session).where(Session.user == found.id))
            by = By(found.name, address)
            _note(connection, by, "user", f"user {found.name}", {"password": "set by a link"})
            return found

        return self._store.write(use)

    def _link(self, connection: Connection, secret: str) -> UserRow | None:
        found = connection.execute(
            select(ApiToken.user).where(
                ApiToken.token == digest(secret),
                ApiToken.purpose == "invite",
                ApiToken.revoked.is_(None),
                ApiToken.used.is_(None),
                ApiToken.expires > self._clock(),
            )
        ).scalar_one_or_none()
        if found is None:
            return None
        user = one_user(connection, found)
        return None if user.disabled else user

    # ---- programs ----------------------------------------------------------------------------

    def issue_token(self, user: int, name: str, by: By, days: float | None) -> str:
        """The secret of a new token for a program; it may do what its user may.

        Args:
            user: whose.
            name: what it is for.
            by: who asked for it.
            days: until it ends; None for never.

        Raises:
            AccountError: if the name or the time cannot be used, or there are too many.
        """
        name = " ".join(name.split())
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise AccountError(
                f"token name {name[:40]!r} has {len(name)} characters; "
                f"allowed: 1 to {_LONGEST_NAME}"
            )
        if days is not None and not 0 < days <= 3650:
            raise AccountError(f"token {name!r}: {days:g} days; allowed: above 0, up to 3650")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        end = None if days is None else now + days * 86400

        def issue(connection: Connection) -> None:
            owner = one_user(connection, user)
            valid = select(ApiToken.id).where(
                ApiToken.user == user, ApiToken.purpose == "api", ApiToken.revoked.is_(None)
            )
            if len(connection.execute(valid).all()) >= MOST_TOKENS:
                raise AccountError(
                    f"user {owner.name!r} has {MOST_TOKENS} tokens; revoke one before"
                )
            connection.execute(insert(ApiToken).values(_row(user, "api", name, secret, now, end)))
            details = {"owner": owner.name, "days": days, "created": True}
            _note(connection, by, "token", f"token {name}", details)

        self._store.write(issue)
        return secret

    def token(self, secret: str) -> SignedIn | None:
        """Who a program's token belongs to; None if it is unknown, over, or its user disabled."""
        now = self._clock()
        with self._reader.connection() as connection:
            found = connection.execute(
                select(ApiToken).where(
                    ApiToken.token == digest(secret),
                    ApiToken.purpose == "api",
                    ApiToken.revoked.is_(None),
                )
            ).first()
            if found is None or (found.expires is not None and now >= found.expires):
                return None
            user = one_user(connection, found.user)
            if user.disabled:
                return None
            cameras = visible_cameras(connection, user)
        if found.used is None or now - found.used >= _SEEN_STEP:
            used = update(ApiToken).where(ApiToken.id == found.id)
            values = used.values(used=to_microsecond(now))
            self._store.write(lambda connection: connection.execute(values) and None)
        return SignedIn(user, cameras, "", "", f"token {found.name}")

    def revoke_token(self, token: int, by: By, owner: int | None = None) -> None:
        """End a token; `owner`: only if it is this user's.

        Raises:
            AccountError: if there is no such token.
        """
        now = to_microsecond(self._clock())

        def revoke(connection: Connection) -> None:
            chosen = (ApiToken.id == token) & (ApiToken.purpose == "api")
            if owner is not None:
                chosen &= ApiToken.user == owner
            name = connection.execute(select(ApiToken.name).where(chosen)).scalar_one_or_none()
            if name is None:
                raise AccountError(f"there is no token {token}")
            still = chosen & ApiToken.revoked.is_(None)
            connection.execute(update(ApiToken).where(still).values(revoked=now))
            _note(connection, by, "token", f"token {name}", {"revoked": True})

        self._store.write(revoke)

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
            _note(connection, By(row.name, address), "sign-in", f"user {row.name}")
            return cookie

        return self._store.write(begin)

    def _failed(self, subject: str, why: str, address: str | None) -> None:
        details = {"why": why} if why else {}
        entry = audit.Audit("crosscam", "sign-in-failed", subject, "", details, address)
        audit.write(self._store, entry)


def _row(
    user: int, purpose: str, name: str, secret: str, now: float, expires: float | None
) -> dict[str, object]:
    return {
        "user": user,
        "purpose": purpose,
        "name": name,
        "token": digest(secret),
        "created": to_microsecond(now),
        "expires": None if expires is None else to_microsecond(expires),
        "used": None,
        "revoked": None,
    }


def _end_links(user: int, now: float) -> Update:
    chosen = (ApiToken.user == user) & (ApiToken.purpose == "invite") & ApiToken.revoked.is_(None)
    return update(ApiToken).where(chosen).values(revoked=to_microsecond(now))


def _note(
    connection: Connection,
    by: By,
    action: str,
    subject: str,
    details: dict[str, object] | None = None,
) -> None:
    entry = audit.Audit(by.actor, action, subject, "", details or {}, by.address)
    audit.record(connection, entry)
