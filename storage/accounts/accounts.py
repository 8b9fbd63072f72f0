"""Who may sign in, what they may do (roles) and which cameras they may see (groups).

Every change is one transaction with its row of the audit trail. Sessions, links and tokens stand
in `storage/accounts/keys.py` and `storage/accounts/tokens.py`.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from reid.errors import AccountError
from storage import audit
from storage.desk_models import (
    CameraGroup,
    CameraGroupMember,
    Session,
    User,
    UserGroup,
)
from storage.models import to_microsecond
from storage.queries import StoreReader
from storage.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_RESERVED = {"crosscam", "cli"}  # they stand for ourselves in the audit trail
LONGEST_GROUP = 64


class Role(enum.IntEnum):
    """What somebody may do; each role may do all that the one below may."""

    VIEWER = 1
    INVESTIGATOR = 2
    ADMINISTRATOR = 3

    @property
    def word(self) -> str:
        """As stored and shown: `viewer`."""
        return self.name.lower()

    @classmethod
    def named(cls, word: str) -> Role:
        """The role of a word.

        Raises:
            AccountError: if there is none.
        """
        for role in cls:
            if role.word == word:
                return role
        allowed = ", ".join(role.word for role in cls)
        raise AccountError(f"role {word!r} is none of {allowed}")


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change: the actor of its audit row, and where the request came from."""

    actor: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class UserRow:
    """Somebody who may sign in.

    Attributes:
        has_password: False until the one-time link was used.
        groups: ids of camera groups; they do not matter while `all_cameras` is set.
        created: UTC seconds.
    """

    id: int
    name: str
    role: Role
    all_cameras: bool
    disabled: bool
    has_password: bool
    created: float
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A camera group; its cameras need not have run yet."""

    id: int
    name: str
    cameras: tuple[str, ...]


def user_name(text: str) -> str:
    """A user's name as it is kept: lower case.

    Raises:
        AccountError: if it cannot be one.
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise AccountError(
            f"user name {text[:80]!r}: allowed are 2 to 64 of a-z, 0-9, '.', '_' and '-', "
            f"beginning with a letter or digit, and not {' or '.join(sorted(_RESERVED))}"
        )
    return name


def users(reader: StoreReader) -> list[UserRow]:
    """All users, by name."""
    with reader.connection() as connection:
        return _users(connection)


def groups(reader: StoreReader) -> list[GroupRow]:
    """All camera groups, by name."""
    members = select(CameraGroupMember.group, CameraGroupMember.camera).order_by(
        CameraGroupMember.camera
    )
    with reader.connection() as connection:
        found = connection.execute(
            select(CameraGroup.id, CameraGroup.name).order_by(CameraGroup.name)
        ).all()
        cameras: dict[int, list[str]] = {}
        for group, camera in connection.execute(members):
            cameras.setdefault(group, []).append(camera)
    return [GroupRow(row.id, row.name, tuple(cameras.get(row.id, ()))) for row in found]


def find_user(reader: StoreReader, wanted: int | str) -> UserRow:
    """A user by id or name.

    Raises:
        AccountError: if there is none.
    """
    with reader.connection() as connection:
        return one_user(connection, wanted)


def one_user(connection: Connection, wanted: int | str) -> UserRow:
    """`find_user`, on a connection."""
    chosen = User.id == wanted if isinstance(wanted, int) else User.name == wanted.strip().lower()
    found = _users(connection, chosen)
    if not found:
        raise AccountError(f"there is no user {wanted!r}")
    return found[0]


def visible_cameras(connection: Connection, user: UserRow) -> frozenset[str] | None:
    """The cameras that a user may see; None means all, those to come included."""
    if user.all_cameras:
        return None
    found = (
        select(CameraGroupMember.camera)
        .join(UserGroup, UserGroup.group == CameraGroupMember.group)
        .where(UserGroup.user == user.id)
    )
    return frozenset(connection.execute(found).scalars())


def visible_now(reader: StoreReader, names: Collection[str]) -> dict[str, frozenset[str] | None]:
    """What those names that are users may be told of; others (`cli:ann`) are left out.

    `visible_cameras`; none of who is disabled or no longer an investigator.
    """
    with reader.connection() as connection:
        chosen = _users(connection, User.name.in_(names)) if names else []
        return {
            user.name: frozenset()
            if user.disabled or user.role < Role.INVESTIGATOR
            else visible_cameras(connection, user)
            for user in chosen
        }


class Accounts:
    """Changes of users and groups."""

    def __init__(self, store: Store) -> None:
        """Take the store to be written."""
        self._store = store

    def add_user(
        self,
        name: str,
        role: Role,
        by: By,
        *,
        all_cameras: bool = False,
        groups: Collection[int] = (),
        reason: str = "",
    ) -> UserRow:
        """Make a user, who cannot sign in before a one-time link was used.

        Raises:
            AccountError: if the name cannot be used or is taken, or a group is unknown.
        """
        name = user_name(name)

        def add(connection: Connection) -> UserRow:
            if _users(connection, User.name == name):
                raise AccountError(f"there is a user {name!r} already")
            row = {
                "name": name,
                "role": role.word,
                "password": None,
                "all_cameras": all_cameras,
                "disabled": False,
                "created": to_microsecond(time.time()),
            }
            made = connection.execute(insert(User).values(row).returning(User.id)).scalar_one()
            _set_groups(connection, made, groups)
            details = {"created": True, "role": role.word, "all_cameras": all_cameras}
            _note(connection, by, f"user {name}", reason, {**details, "groups": sorted(groups)})
            return one_user(connection, made)

        return self._store.write(add)

    def change_user(
        self,
        user: int,
        by: By,
        *,
        role: Role | None = None,
        all_cameras: bool | None = None,
        groups: Collection[int] | None = None,
        disabled: bool | None = None,
        reason: str = "",
    ) -> UserRow:
        """Change what is not None; who is disabled is signed out everywhere at once.

        Raises:
            AccountError: if there is no such user or group, or no administrator would be left.
        """

        def change(connection: Connection) -> UserRow:
            before = one_user(connection, user)
            values: dict[str, object] = {}
            if role is not None and role != before.role:
                values["role"] = role.word
            if all_cameras is not None and all_cameras != before.all_cameras:
                values["all_cameras"] = all_cameras
            if disabled is not None and disabled != before.disabled:
                values["disabled"] = disabled
            if values:
                connection.execute(update(User).where(User.id == user).values(values))
            details = dict(values)
            if groups is not None and sorted(groups) != list(before.groups):
                _set_groups(connection, user, groups)
                details["groups"] = sorted(groups)
            if disabled:
                connection.execute(delete(Session).where(Session.user == user))
            if before.role is Role.ADMINISTRATOR and not before.disabled:
                _keep_an_administrator(connection, before)
            if details:
                _note(connection, by, f"user {before.name}", reason, details)
            return one_user(connection, user)

        return self._store.write(change)

    def add_group(self, name: str, by: By, cameras: Collection[str] = ()) -> int:
        """Make a camera group; returns its id.

        Raises:
            AccountError: if the name is empty, too long or taken.
        """
        name = _group_name(name)

        def add(connection: Connection) -> int:
            _check_group_name(connection, name)
            group: int = connection.execute(
                insert(CameraGroup).values(name=name).returning(CameraGroup.id)
            ).scalar_one()
            _set_cameras(connection, group, cameras)
            details = {"created": True, "cameras": sorted(cameras)}
            _note(connection, by, f"camera group {name}", "", details)
            return group

        return self._store.write(add)

    def change_group(
        self, group: int, by: By, *, name: str | None = None, cameras: Collection[str] | None = None
    ) -> None:
        """Rename a group or choose its cameras.

        Raises:
            AccountError: if there is no such group, or the name cannot be used.
        """
        new = None if name is None else _group_name(name)

        def change(connection: Connection) -> None:
            old = _one_group(connection, group)
            details: dict[str, object] = {}
            if new is not None and new != old:
                _check_group_name(connection, new)
                connection.execute(
                    update(CameraGroup).where(CameraGroup.id == group).values(name=new)
                )
                details["name"] = new
            if cameras is not None:
                _set_cameras(connection, group, cameras)
                details["cameras"] = sorted(cameras)
            _note(connection, by, f"camera group {old}", "", details)

        self._store.write(change)

    def remove_group(self, group: int, by: By) -> None:
        """Remove a group; its users no longer see its cameras by it.

        Raises:
            AccountError: if there is no such group.
        """

        def remove(connection: Connection) -> None:
            name = _one_group(connection, group)
            connection.execute(delete(UserGroup).where(UserGroup.group == group))
            connection.execute(delete(CameraGroupMember).where(CameraGroupMember.group == group))
            connection.execute(delete(CameraGroup).where(CameraGroup.id == group))
            _note(connection, by, f"camera group {name}", "", {"removed": True})

        self._store.write(remove)


def _users(connection: Connection, chosen: object = None) -> list[UserRow]:
    found = select(
        User.id,
        User.name,
        User.role,
        User.all_cameras,
        User.disabled,
        User.password.is_not(None).label("has_password"),
        User.created,
    ).order_by(User.name)
    if chosen is not None:
        found = found.where(chosen)  # type: ignore[arg-type]
    rows = connection.execute(found).all()
    member = select(UserGroup.user, UserGroup.group).order_by(UserGroup.group)
    if len(rows) == 1:
        member = member.where(UserGroup.user == rows[0].id)
    groups: dict[int, list[int]] = {}
    for user, group in connection.execute(member) if rows else ():
        groups.setdefault(user, []).append(group)
    return [
        UserRow(
            row.id,
            row.name,
            Role.named(row.role),
            row.all_cameras,
            row.disabled,
            bool(row.has_password),
            row.created,
            tuple(groups.get(row.id, ())),
        )
        for row in rows
    ]


def _keep_an_administrator(connection: Connection, before: UserRow) -> None:
    left = select(User.id).where(User.role == Role.ADMINISTRATOR.word, User.disabled.is_(False))
    if before.has_password:  # whoever has only a link may never use it
        left = left.where(User.password.is_not(None))
    if not connection.execute(left).all():
        raise AccountError(f"user {before.name!r} is the last administrator who may sign in")


def _set_groups(connection: Connection, user: int, groups: Collection[int]) -> None:
    for group in set(groups):
        _one_group(connection, group)
    connection.execute(delete(UserGroup).where(UserGroup.user == user))
    if groups:
        rows = [{"user": user, "group": group} for group in set(groups)]
        connection.execute(insert(UserGroup), rows)


def _set_cameras(connection: Connection, group: int, cameras: Collection[str]) -> None:
    connection.execute(delete(CameraGroupMember).where(CameraGroupMember.group == group))
    if cameras:
        rows = [{"group": group, "camera": camera} for camera in set(cameras)]
        connection.execute(insert(CameraGroupMember), rows)


def _one_group(connection: Connection, group: int) -> str:
    name = connection.execute(
        select(CameraGroup.name).where(CameraGroup.id == group)
    ).scalar_one_or_none()
    if name is None:
        raise AccountError(f"there is no camera group {group}")
    return name


def _check_group_name(connection: Connection, name: str) -> None:
    taken = select(CameraGroup.id).where(func.lower(CameraGroup.name) == name.lower())
    if connection.execute(taken).first() is not None:
        raise AccountError(f"there is a camera group {name!r} already")


def _group_name(text: str) -> str:
    name = " ".join(text.split())
    if not 1 <= len(name) <= LONGEST_GROUP:
        raise AccountError(
            f"camera group name {name[:80]!r} has {len(name)} characters; "
            f"allowed: 1 to {LONGEST_GROUP}"
        )
    return name


def _note(
    connection: Connection, by: By, subject: str, reason: str, details: dict[str, object]
) -> None:
    audit.record(connection, audit.Audit(by.actor, "user", subject, reason, details, by.address))
