"""Holds: footage that retention must keep, until somebody lets it go."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Select, insert, select, update

from reid.errors import ConfigError
from storage.audit import Audit, record
from storage.desk_models import Case, Hold
from storage.models import Camera, iso_text, to_microsecond
from storage.queries import StoreReader
from storage.rows import LAST_MOMENT
from storage.selects import AnyRow
from storage.store import Store

_COLUMNS = select(*Hold.__table__.columns)


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold.

    Attributes:
        id: of the row.
        camera: whose footage; None is every camera's.
        start: UTC seconds.
        end: UTC seconds.
        reason: why it is kept.
        case: the case it was made for, if any.
        created: when it was placed, UTC seconds.
        actor: who placed it.
        released: when it was let go, UTC seconds; None while it holds.
    """

    id: int
    camera: str | None
    start: float
    end: float
    reason: str
    case: int | None
    created: float
    actor: str
    released: float | None


def add_hold(
    store: Store,
    camera: str | None,
    start: float,
    end: float,
    actor: str,
    reason: str,
    *,
    case: int | None = None,
    address: str | None = None,
) -> HoldRow:
    """Keep footage from now on, with an audit row.

    Args:
        store: where to.
        camera: whose; None is every camera's.
        start: UTC seconds.
        end: UTC seconds, after `start`.
        actor: who asks for it, as in `storage.audit`.
        reason: why; must say something.
        case: the case it is for.
        address: where the request came from, for the audit row.

    Raises:
        ConfigError: if the times run backwards or are none, the reason is empty, or there is no
            such camera or case.
        StoreError: if the store cannot be written.
    """
    _check_times(start, end)
    _check_reason(reason)
    row = {
        "camera": camera,
        "start": to_microsecond(start),
        "end": to_microsecond(end),
        "reason": reason.strip(),
        "case": case,
        "created": to_microsecond(time.time()),
        "actor": actor,
        "released": None,
    }

    def add(connection: Connection) -> HoldRow:
        if camera is not None:
            known = list(connection.execute(select(Camera.id).order_by(Camera.id)).scalars())
            if camera not in known:
                there = ", ".join(known[:40]) or "none"
                raise ConfigError(f"store {store.url} has no camera {camera!r}; it has: {there}")
        if case is not None:
            found = connection.execute(select(Case.id).where(Case.id == case)).first()
            if found is None:
                raise ConfigError(f"store {store.url} has no case {case}")
        new = connection.execute(insert(Hold).values(row).returning(Hold.id)).scalar_one()
        hold = HoldRow(id=new, **row)  # type: ignore[arg-type]
        details = {"action": "add", "from": iso_text(hold.start), "to": iso_text(hold.end)}
        record(connection, Audit(actor, "hold", _subject(hold), reason, details, address))
        return hold

    return store.write(add)


def release_hold(
    store: Store, hold: int, actor: str, reason: str, *, address: str | None = None
) -> HoldRow:
    """Let footage go again, with an audit row; retention may delete it within a minute.

    Raises:
        ConfigError: if there is no such hold, it was released already, or the reason is empty.
        StoreError: if the store cannot be written.
    """
    _check_reason(reason)
    now = to_microsecond(time.time())

    def release(connection: Connection) -> HoldRow:
        found = connection.execute(_COLUMNS.where(Hold.id == hold)).first()
        if found is None:
            raise ConfigError(f"store {store.url} has no hold {hold}")
        row = _row(found)
        if row.released is not None:
            raise ConfigError(f"hold {hold} was released already, at {iso_text(row.released)}")
        connection.execute(update(Hold).where(Hold.id == hold).values(released=now))
        details = {"action": "release"}
        record(connection, Audit(actor, "hold", _subject(row), reason, details, address))
        return _row(connection.execute(_COLUMNS.where(Hold.id == hold)).one())

    return store.write(release)


def holds(reader: StoreReader, *, released: bool = False) -> list[HoldRow]:
    """The holds that hold, by id; with `released` also those that were let go.

    Raises:
        StoreError: if the store cannot be read.
    """
    found: Select[tuple[object, ...]] = _COLUMNS.order_by(Hold.id)
    if not released:
        found = found.where(Hold.released.is_(None))
    with reader.connection() as connection:
        return [_row(row) for row in connection.execute(found)]


def _row(row: AnyRow) -> HoldRow:
    return HoldRow(**row._mapping)


def _subject(hold: HoldRow) -> str:
    return f"hold {hold.id}: " + ("all cameras" if hold.camera is None else f"camera {hold.camera}")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("a hold needs a reason: say why the footage is kept or let go")


def _check_times(start: float, end: float) -> None:
    for name, value in (("start", start), ("end", end)):
        if not math.isfinite(value) or not 0 <= value <= LAST_MOMENT:
            raise ConfigError(f"hold: {name} is {value}; allowed: the years 1970 to 9999")
    if start >= end:
        raise ConfigError(f"hold runs backwards: from {iso_text(start)} to {iso_text(end)}")
