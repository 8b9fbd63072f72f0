"""The audit trail: who did what, when and why. Append-only; the database refuses changes."""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from storage.desk_models import AuditEntry
from storage.engine import connect, parse_url, show_url, store_errors, write_transaction
from storage.models import to_microsecond
from storage.queries import StoreReader
from storage.rows import json_value
from storage.store import Store

# What can be done; a page may filter by these.
ACTIONS = (
    "sign-in", "sign-in-failed", "sign-out", "search", "view", "play", "export", "decide",
    "watch", "alert-seen", "case", "hold", "erase", "rerun", "user", "token", "retention",
)  # fmt: skip


# By what the actor acts, for the rows of a whole request, whoever writes them: `token NAME`.
through: ContextVar[str] = ContextVar("through", default="")


@dataclass(frozen=True, slots=True)
class Audit:
    """One entry to be written.

    Attributes:
        actor: the user's name; `cli:NAME` for the person at a terminal, `crosscam` for ourselves.
        action: one of `ACTIONS`.
        subject: what it was done to, in words: `track 12`, `identity 3`, `camera door`.
        reason: why, as the person said.
        details: what else matters, for JSON.
        address: where the request came from; None for a terminal.
    """

    actor: str
    action: str
    subject: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    address: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry as stored; `time` is UTC seconds."""

    id: int
    time: float
    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any]
    address: str | None


def record(connection: Connection, entry: Audit) -> None:
    """Append an entry inside a write transaction, so that deed and entry stand or fall together.

    Its details say what the actor acts `through`, where that is set.

    Raises:
        ValueError: if the action is not one of `ACTIONS`.
    """
    if entry.action not in ACTIONS:
        raise ValueError(f"audit action {entry.action!r} is none of {', '.join(ACTIONS)}")
    details = dict(entry.details)
    if through.get():
        details["through"] = through.get()
    row = {
        "time": to_microsecond(time.time()),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "reason": entry.reason,
        "details": json_value(details, f"audit of {entry.action} {entry.subject}"),
        "address": entry.address,
    }
    connection.execute(insert(AuditEntry).values(row))


def write(store: Store, entry: Audit) -> None:
    """Append an entry on its own (a search, a view: nothing else is written)."""
    store.write(lambda connection: record(connection, entry))


def note_from_terminal(
    url: str, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Append an entry of the person who types, for commands that otherwise only read.

    Args:
        url: of a store that is there.
        action: one of `ACTIONS`.
        subject: as in `Audit`.
        details: likewise.

    Raises:
        StoreError: if it cannot be written: who cannot be written down does not get to see.
    """
    parsed = parse_url(url)
    entry = Audit(person_at_terminal(), action, subject, details=details or {})
    engine = connect(parsed, "rw")
    try:
        doing = "cannot write into the audit trail of"
        with store_errors(show_url(parsed), doing), write_transaction(engine) as connection:
            record(connection, entry)
    finally:
        engine.dispose()


def entries(
    reader: StoreReader,
    *,
    before: int | None = None,
    limit: int = 100,
    actor: str | None = None,
    action: str | None = None,
    start: float | None = None,
    end: float | None = None,
) -> list[AuditRow]:
    """The newest entries first, `limit` at most; `before` an id, for the next page.

    `start` and `end`, UTC seconds, both included.
    """
    found = select(*AuditEntry.__table__.columns).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        found = found.where(AuditEntry.id < before)
    if actor is not None:
        found = found.where(AuditEntry.actor == actor)
    if action is not None:
        found = found.where(AuditEntry.action == action)
    if start is not None:
        found = found.where(AuditEntry.time >= start)
    if end is not None:
        found = found.where(AuditEntry.time <= end)
    with reader.connection() as connection:
        return [AuditRow(*row) for row in connection.execute(found)]


def person_at_terminal() -> str:
    """Who types: `cli:NAME` of the operating system's user."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # no such user in a container
        return "cli:unknown"
