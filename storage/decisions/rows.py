"""Decisions as they are read: what a person decided, about which tracks, and whether it stands.

A row of `decisions` says who, when and why; what it is about stands in the ledger's rows that
refer to it, and nowhere else: an erasure that removes them leaves no id behind in `decisions`.

    action    tracks                identity in the ledger    candidate in the ledger
    confirm   the one               the confirmed one         where it was before, if elsewhere
    reject    the one               where it is now           the rejected one
    merge     all of the other's    the one kept              the one that went into it
    split     those that leave      their new one             the one they left
    undo      those put back        where they were           where they had been put
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from storage.desk_models import Decision
from storage.models import LedgerEntry, iso_text
from storage.queries import StoreReader
from storage.selects import AnySelect, chunks


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What a person decided; see the table at the top of this module.

    Attributes:
        id: of the decision.
        time: when, UTC seconds of the wall clock.
        actor: who.
        action: `confirm`, `reject`, `merge`, `split` or `undo`.
        reason: why, in the person's words.
        tracks: whom it is about, rising; empty once they were erased.
        identity: the one confirmed, rejected, kept or left; None for an undo.
        other: where the tracks are now (reject, split), were before (confirm), or the identity
            that went into the one kept (merge).
        undoes: the decision that this one takes back.
        undone_by: the decision that took this one back; None: it stands.
    """

    id: int
    time: float
    actor: str
    action: str
    reason: str
    tracks: tuple[int, ...]
    identity: int | None
    other: int | None
    undoes: int | None
    undone_by: int | None

    def as_json(self) -> dict[str, Any]:
        """For programs: the time as ISO 8601 UTC."""
        return {
            "decision": self.id,
            "time": iso_text(self.time),
            "actor": self.actor,
            "action": self.action,
            "reason": self.reason,
            "tracks": list(self.tracks),
            "identity": self.identity,
            "other": self.other,
            "undoes": self.undoes,
            "undone_by": self.undone_by,
        }


def decisions(
    reader: StoreReader,
    *,
    before: int | None = None,
    limit: int = 100,
    track: int | None = None,
    identity: int | None = None,
    actor: str | None = None,
) -> list[DecisionRow]:
    """The newest decisions first, `limit` at most.

    Args:
        reader: the store.
        before: only decisions older than this one, for the next page.
        limit: most to return.
        track: only about this track.
        identity: only those that this identity had a part in.
        actor: only this person's.
    """
    found: AnySelect = select(Decision.id).order_by(Decision.id.desc()).limit(limit)
    if before is not None:
        found = found.where(Decision.id < before)
    if actor is not None:
        found = found.where(Decision.actor == actor)
    about = select(LedgerEntry.decision).where(LedgerEntry.decision.is_not(None))
    if track is not None:
        found = found.where(Decision.id.in_(about.where(LedgerEntry.track == track)))
    if identity is not None:
        either = (LedgerEntry.identity == identity) | (LedgerEntry.candidate == identity)
        found = found.where(Decision.id.in_(about.where(either)))
    with reader.connection() as connection:
        return rows_of(connection, list(connection.execute(found).scalars()))


def rows_of(connection: Connection, wanted: Sequence[int]) -> list[DecisionRow]:
    """Decisions by id, in the order wanted; unknown ids are left out."""
    found: dict[int, Any] = {}
    undone: dict[int, int] = {}
    about: dict[int, list[tuple[int, int, int | None]]] = defaultdict(list)
    entry = (LedgerEntry.decision, LedgerEntry.track, LedgerEntry.identity, LedgerEntry.candidate)
    for some in chunks(wanted):
        for row in connection.execute(select(Decision).where(Decision.id.in_(some))):
            found[row.id] = row
        undos = select(Decision.undoes, Decision.id).where(Decision.undoes.in_(some))
        undone |= {taken: by for taken, by in connection.execute(undos) if taken is not None}
        ledger = select(*entry).where(LedgerEntry.decision.in_(some)).order_by(LedgerEntry.id)
        for decision, track, identity, candidate in connection.execute(ledger):
            if decision is not None:
                about[decision].append((track, identity, candidate))
    return [_row(found[i], about[i], undone.get(i)) for i in wanted if i in found]


def _row(
    row: Any, about: Sequence[tuple[int, int, int | None]], undone_by: int | None
) -> DecisionRow:
    identity, other = (about[0][1], about[0][2]) if about else (None, None)
    if row.action in ("reject", "split"):
        identity, other = other, identity
    if row.action == "undo":
        identity = other = None
    return DecisionRow(
        id=row.id,
        time=row.time,
        actor=row.actor,
        action=row.action,
        reason=row.reason,
        tracks=tuple(sorted({track for track, _, _ in about})),
        identity=identity,
        other=other,
        undoes=row.undoes,
        undone_by=undone_by,
    )
