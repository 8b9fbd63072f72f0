"""Tokens of programs and one-time links: the store keeps their SHA-256 alone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Update, delete, insert, select, update

from reid.errors import AccountError
from storage.accounts.accounts import By, UserRow, one_user, visible_cameras
from storage.accounts.keys import SEEN_STEP, SignedIn, digest, note
from storage.accounts.passwords import Passwords, check_password
from storage.desk_models import ApiToken, Session, User
from storage.models import to_microsecond
from storage.queries import StoreReader
from storage.store import Store

TOKEN_PREFIX = "crosscam_"  # so that a leaked one is found by searching for it
MOST_TOKENS = 50  # of one user
DEAD_LINK = "this link was used, has expired or never was one; ask an administrator for a new one"
_LONGEST_NAME = 100


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


class Tokens:
    """Tokens for programs. Safe to share by threads."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        """Take the store to be written, and a clock of UTC seconds."""
        self._store = store
        self._reader = store.reader()
        self._clock = clock

    def issue(self, user: int, name: str, by: By, days: float | None) -> str:
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

        def insert_it(connection: Connection) -> None:
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
            note(connection, by, "token", f"token {name}", details)

        self._store.write(insert_it)
        return secret

    def find(self, secret: str) -> SignedIn | None:
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
        if found.used is None or now - found.used >= SEEN_STEP:
            used = update(ApiToken).where(ApiToken.id == found.id)
            values = used.values(used=to_microsecond(now))
            self._store.write(lambda connection: connection.execute(values) and None)
        return SignedIn(user, cameras, "", "", f"token {found.name}")

    def revoke(self, token: int, by: By, owner: int | None = None) -> None:
        """End a token; `owner`: only if it is this user's.

        Raises:
            AccountError: if there is no such token.
        """
        now = to_microsecond(self._clock())

        def end(connection: Connection) -> None:
            chosen = (ApiToken.id == token) & (ApiToken.purpose == "api")
            if owner is not None:
                chosen &= ApiToken.user == owner
            name = connection.execute(select(ApiToken.name).where(chosen)).scalar_one_or_none()
            if name is None:
                raise AccountError(f"there is no token {token}")
            still = chosen & ApiToken.revoked.is_(None)
            connection.execute(update(ApiToken).where(still).values(revoked=now))
            note(connection, by, "token", f"token {name}", {"revoked": True})

        self._store.write(end)


class Links:
    """One-time links, with which a user sets a password. Safe to share by threads."""

    def __init__(
        self, store: Store, passwords: Passwords, clock: Callable[[], float] = time.time
    ) -> None:
        """Take the store to be written, how passwords are hashed, and a clock of UTC seconds."""
        self._store = store
        self._reader = store.reader()
        self._passwords = passwords
        self._clock = clock

    def issue(self, user: int, by: By, hours: float = 24.0) -> str:
        """The secret of a link with which a user sets a password, once; older links end.

        Raises:
            AccountError: if there is no such user.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()

        def insert_it(connection: Connection) -> None:
            owner = one_user(connection, user)
            connection.execute(_end(user, "invite", now))
            row = _row(owner.id, "invite", "", secret, now, now + hours * 3600)
            connection.execute(insert(ApiToken).values(row))
            note(connection, by, "token", f"user {owner.name}", {"link": f"valid {hours:g} h"})

        self._store.write(insert_it)
        return secret

    def find(self, secret: str) -> UserRow | None:
        """Whose link it is; None if it is unknown, used or over. Looking does not use it."""
        with self._reader.connection() as connection:
            return self._find(connection, secret)

    def use(self, secret: str, password: str, address: str | None) -> UserRow:
        """Set the password by a link, which is then used; the user's sessions and tokens end.

        A link is made where a password is lost or known to somebody else, who may have made
        tokens with it.

        Raises:
            AccountError: if the link cannot be used or the password is not allowed.
        """
        user = self.find(secret)
        if user is None:
            raise AccountError(DEAD_LINK)
        check_password(password, user.name)
        hashed = self._passwords.hash(password)
        now = self._clock()

        def use_up(connection: Connection) -> UserRow:
            # Once more, under the write lock: of two at the same time one comes too late.
            found = self._find(connection, secret)
            if found is None:
                raise AccountError(DEAD_LINK)
            values = {"used": to_microsecond(now), "revoked": to_microsecond(now)}
            unused = (ApiToken.token == digest(secret)) & ApiToken.used.is_(None)
            if connection.execute(update(ApiToken).where(unused).values(values)).rowcount != 1:
                raise AccountError(DEAD_LINK)
            connection.execute(update(User).where(User.id == found.id).values(password=hashed))
            connection.execute(delete(Session).where(Session.user == found.id))
            ended = connection.execute(_end(found.id, "api", now)).rowcount
            by = By(found.name, address)
            details = {"changed": "password", "by": "one-time link", "tokens revoked": ended}
            note(connection, by, "user", f"user {found.name}", details)
            return found

        return self._store.write(use_up)

    def _find(self, connection: Connection, secret: str) -> UserRow | None:
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


def _end(user: int, purpose: str, now: float) -> Update:
    """End the links (`invite`) or the tokens (`api`) of a user that still hold."""
    chosen = (ApiToken.user == user) & (ApiToken.purpose == purpose) & ApiToken.revoked.is_(None)
    return update(ApiToken).where(chosen).values(revoked=to_microsecond(now))
