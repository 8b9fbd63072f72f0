"""Cases: folders of evidence. While one is open, retention keeps its footage.

A case holds items: a track, an identity (with all the tracks it has when it is looked at), or a
clip, which is a stretch of one camera's footage. A closed case is read only. Every change has an
audit row in the same transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from reid.errors import ConfigError
from storage.audit import Audit, record
from storage.desk_models import Case, CaseItem
from storage.models import Camera, Identity, Track, iso_text, to_microsecond
from storage.queries import StoreReader
from storage.rows import check_time
from storage.selects import AnyRow
from storage.store import Store

KINDS = ("track", "identity", "clip")
LONGEST_TEXT = 2000

_CASES = select(*Case.__table__.columns)
_ITEMS = select(*CaseItem.__table__.columns)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case. `created` and `closed` are UTC seconds; `closed` is None while it is open."""

    id: int
    name: str
    created: float
    actor: str
    reason: str
    closed: float | None
    items: int

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "id": self.id,
            "name": self.name,
            "created": iso_text(self.created),
            "by": self.actor,
            "reason": self.reason,
            "closed": None if self.closed is None else iso_text(self.closed),
            "items": self.items,
        }


@dataclass(frozen=True, slots=True)
class CaseItemRow:
    """One thing in a case.

    Attributes:
        id: of the row.
        case: the case.
        kind: one of `KINDS`.
        track: of a `track`.
        identity: of an `identity`.
        camera: of a `clip`.
        start: of a `clip`, UTC seconds.
        end: of a `clip`, UTC seconds.
        note: what the person who added it had to say.
        added: UTC seconds.
        actor: who added it.
    """

    id: int
    case: int
    kind: str
    track: int | None
    identity: int | None
    camera: str | None
    start: float | None
    end: float | None
    note: str
    added: float
    actor: str

    @property
    def subject(self) -> str:
        """What it is, in words."""
        if self.kind == "clip" and self.start is not None and self.end is not None:
            return f"camera {self.camera}, {iso_text(self.start)} to {iso_text(self.end)}"
        return f"{self.kind} {self.track if self.kind == 'track' else self.identity}"

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "id": self.id,
            "kind": self.kind,
            "track": self.track,
            "identity": self.identity,
            "camera": self.camera,
            "start": None if self.start is None else iso_text(self.start),
            "end": None if self.end is None else iso_text(self.end),
            "note": self.note,
            "added": iso_text(self.added),
            "by": self.actor,
        }


class Cases:
    """Writes cases into a store.

    Every method takes `actor` (a user's name, or `cli:NAME`) and, where the request came over the
    network, the `address` it came from, for the audit row; each raises `ConfigError` for what
    cannot be asked and `StoreError` if the store cannot be written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, actor: str, reason: str, address: str | None = None) -> CaseRow:
        """Open a case.

        Raises:
            ConfigError: if the name or the reason is empty or too long.
        """
        row = {
            "name": _text(name, "a case needs a name"),
            "created": to_microsecond(time.time()),
            "actor": actor,
            "reason": _text(reason, "a case needs a reason: say why it is opened"),
            "closed": None,
        }

        def create(connection: Connection) -> CaseRow:
            new = connection.execute(insert(Case).values(row).returning(Case.id)).scalar_one()
            details = {"action": "create", "name": row["name"]}
            subject = f"case {new}"
            record(connection, Audit(actor, "case", subject, str(row["reason"]), details, address))
            return _case(connection, self._store.url, new)

        return self._store.write(create)

    def add_track(
        self, case: int, track: int, actor: str, note: str = "", address: str | None = None
    ) -> CaseItemRow:
        """Put a track into a case.

        Raises:
            ConfigError: if the case is not there or closed, or there is no such track.
        """
        return self._add(case, {"kind": "track", "track": track}, actor, note, address)

    def add_identity(
        self, case: int, identity: int, actor: str, note: str = "", address: str | None = None
    ) -> CaseItemRow:
        """Put an identity into a case.

        Raises:
            ConfigError: if the case is not there or closed, or there is no such identity.
        """
        return self._add(case, {"kind": "identity", "identity": identity}, actor, note, address)

    def add_clip(
        self,
        case: int,
        camera: str,
        start: float,
        end: float,
        actor: str,
        note: str = "",
        address: str | None = None,
    ) -> CaseItemRow:
        """Put a stretch of a camera's footage (UTC seconds) into a case.

        Raises:
            ConfigError: if the case is not there or closed, there is no such camera, or the times
                run backwards.
        """
        what = f"clip of camera {camera}"
        start, end = check_time(start, what), check_time(end, what)
        if start >= end:
            raise ConfigError(f"{what} runs backwards: from {iso_text(start)} to {iso_text(end)}")
        row = {"kind": "clip", "camera": camera, "start": start, "end": end}
        return self._add(case, row, actor, note, address)

    def remove(
        self, case: int, item: int, actor: str, reason: str, address: str | None = None
    ) -> None:
        """Take an item out of a case again.

        Raises:
            ConfigError: if the case is not there or closed, it has no such item, or the reason is
                empty.
        """
        why = _text(reason, "say why it is taken out of the case")

        def remove(connection: Connection) -> None:
            _open_case(connection, self._store.url, case)
            found = connection.execute(
                _ITEMS.where(CaseItem.id == item, CaseItem.case == case)
            ).first()
            if found is None:
                raise ConfigError(f"case {case} has no item {item}")
            connection.execute(delete(CaseItem).where(CaseItem.id == item))
            details = {"action": "remove", "item": item, "what": _item(found).subject}
            record(connection, Audit(actor, "case", f"case {case}", why, details, address))

        self._store.write(remove)

    def close(self, case: int, actor: str, reason: str, address: str | None = None) -> CaseRow:
        """Close a case: it is read only from now on, and its footage may age.

        Raises:
            ConfigError: if it is not there or closed already, or the reason is empty.
        """
        why = _text(reason, "say why the case is closed: its footage is no longer kept")

        def close(connection: Connection) -> CaseRow:
            _open_case(connection, self._store.url, case)
            now = to_microsecond(time.time())
            connection.execute(update(Case).where(Case.id == case).values(closed=now))
            entry = Audit(actor, "case", f"case {case}", why, {"action": "close"}, address)
            record(connection, entry)
            return _case(connection, self._store.url, case)

        return self._store.write(close)

    def _add(
        self, case: int, what: dict[str, Any], actor: str, note: str, address: str | None
    ) -> CaseItemRow:
        row: dict[str, Any] = {
            **dict.fromkeys(("track", "identity", "camera", "start", "end")),
            **what,
            "case": case,
            "note": _short(note.strip(), "the note"),
            "added": to_microsecond(time.time()),
            "actor": actor,
        }

        def add(connection: Connection) -> CaseItemRow:
            _open_case(connection, self._store.url, case)
            _check_there(connection, self._store.url, row)
            done = connection.execute(insert(CaseItem).values(row).returning(CaseItem.id))
            item = CaseItemRow(id=done.scalar_one(), **row)
            details = {"action": "add", "item": item.id, "what": item.subject}
            entry = Audit(actor, "case", f"case {case}", item.note, details, address)
            record(connection, entry)
            return item

        return self._store.write(add)


def cases(reader: StoreReader, *, closed: bool = True) -> list[CaseRow]:
    """The cases, newest first; without `closed` only those that are open."""
    found = _CASES.order_by(Case.id.desc())
    if not closed:
        found = found.where(Case.closed.is_(None))
    with reader.connection() as connection:
        counts = dict(
            connection.execute(select(CaseItem.case, func.count()).group_by(CaseItem.case)).all()
        )
        return [_row(row, counts.get(row.id, 0)) for row in connection.execute(found)]


def case(reader: StoreReader, number: int) -> CaseRow:
    """One case.

    Raises:
        ConfigError: if there is none of that number.
    """
    with reader.connection() as connection:
        return _case(connection, reader.url, number)


def case_items(reader: StoreReader, number: int) -> list[CaseItemRow]:
    """What is in a case, as it was added."""
    with reader.connection() as connection:
        found = connection.execute(_ITEMS.where(CaseItem.case == number).order_by(CaseItem.id))
        return [_item(row) for row in found]


def _case(connection: Connection, url: str, number: int) -> CaseRow:
    row = connection.execute(_CASES.where(Case.id == number)).first()
    if row is None:
        raise ConfigError(f"store {url} has no case {number}")
    items = select(func.count()).where(CaseItem.case == number)
    return _row(row, connection.execute(items).scalar_one())


def _open_case(connection: Connection, url: str, number: int) -> None:
    found = _case(connection, url, number)
    if found.closed is not None:
        raise ConfigError(f"case {number} was closed at {iso_text(found.closed)}; open a new one")


def _check_there(connection: Connection, url: str, row: dict[str, Any]) -> None:
    """An item has to name something that the store holds."""
    checks: tuple[tuple[str, Any], ...] = (
        ("track", Track.id),
        ("identity", Identity.id),
        ("camera", Camera.id),
    )
    for name, column in checks:
        value = row[name]
        if value is None:
            continue
        if connection.execute(select(column).where(column == value)).first() is None:
            raise ConfigError(f"store {url} has no {name} {value}")


def _row(row: AnyRow, items: int) -> CaseRow:
    return CaseRow(row.id, row.name, row.created, row.actor, row.reason, row.closed, items)


def _item(row: AnyRow) -> CaseItemRow:
    return CaseItemRow(**row._mapping)


def _text(text: str, empty: str) -> str:
    text = text.strip()
    if not text:
        raise ConfigError(empty)
    return _short(text, f"the text {text[:20]!r}...")


def _short(text: str, what: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"{what} has {len(text)} characters; allowed: {LONGEST_TEXT}")
    return text
