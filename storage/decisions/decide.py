"""What people decide about identities: confirm, reject, merge, split, undo.

Each is one row of `decisions` with rows of the append-only ledger and an audit entry, in one
transaction. A track's identity is that of its last ledger row, so what is shown follows at once;
a running matcher follows at its next decision (`storage/decisions/news.py`).

- An identity may span runs: the person who came back the next day is one identity, whose tracks
  stay those of their runs. A re-run is the same footage seen twice, so its tracks never mix with
  those of another run.
- An undo puts each track that the decision moved back to where it was before, by the name that has
  now (`storage/decisions/undoing.py`); a track that it did not move stays. It is refused while a
  later decision about the same tracks stands, and is itself not undone: decide again instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from reid.errors import StoreError
from storage.allocator import take_id
from storage.audit import Audit, record
from storage.decisions.entries import carried_on, ledger_entry
from storage.decisions.precision import precision
from storage.decisions.rows import DecisionRow, decisions, rows_of
from storage.decisions.standing import current_identities, merges, name_now, rejected
from storage.decisions.undoing import Step, merge_reason, undoable, ways_back
from storage.desk_models import Decision, Tombstone
from storage.models import Identity, LedgerEntry, Run, Track, to_microsecond
from storage.selects import chunks
from storage.store import Store

__all__ = ["DecisionRow", "Decisions", "decisions", "precision", "rejected"]


@dataclass(frozen=True, slots=True)
class _Held:
    """A track as a decision finds it; `identity` None: nobody decided yet."""

    track: int
    run: int
    end: float
    identity: int | None


@dataclass(frozen=True, slots=True)
class _Move:
    """A row to be written: a track's next identity and ledger candidate.

    `merge`: the earlier merge whose row this is (an undo's track follows it); None: the decision's.
    """

    held: _Held
    identity: int
    candidate: int | None
    merge: int | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """What a decision does: each track's next identity, in words."""

    moves: Sequence[_Move]
    subject: str
    words: str
    undoes: int | None = None


class Decisions:
    """Writes decisions into a store. `actor` and `reason` are the person's name and words.

    Every method raises `StoreError`, naming what is wrong, and then nothing was changed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def confirm(
        self, track: int, identity: int, actor: str, reason: str, *, address: str | None = None
    ) -> DecisionRow:
        """The track is this identity; it moves there if it was elsewhere, and stays."""

        def plan(connection: Connection) -> _Change:
            held = self._held(connection, [track])[0]
            there = self._members(connection, identity)
            self._check_runs(connection, [held, *there])
            before = held.identity if held.identity != identity else None
            return _Change([_Move(held, identity, before)], f"track {track}", "confirmed")

        return self._decide("confirm", plan, actor, reason, address)

    def reject(
        self, track: int, identity: int, actor: str, reason: str, *, address: str | None = None
    ) -> DecisionRow:
        """The track is not this identity; if it was, it gets one of its own."""

        def plan(connection: Connection) -> _Change:
            held = self._held(connection, [track])[0]
            there = self._members(connection, identity)
            if [member.track for member in there] == [track]:
                raise StoreError(
                    f"track {track} is all that identity {identity} has: there is nobody to "
                    "tell it from"
                )
            own = held.identity
            if own is None or own == identity:
                own = _found_identity(connection, held)
            return _Change([_Move(held, own, identity)], f"track {track}", "rejected")

        return self._decide("reject", plan, actor, reason, address)

    def merge(
        self, keep: int, other: int, actor: str, reason: str, *, address: str | None = None
    ) -> DecisionRow:
        """The two are one person: all tracks of `other` move to `keep`."""

        def plan(connection: Connection) -> _Change:
            if keep == other:
                raise StoreError(f"identity {keep} cannot be merged with itself")
            there, moving = self._members(connection, keep), self._members(connection, other)
            self._check_runs(connection, [*there, *moving])
            moves = [_Move(held, keep, other) for held in moving]
            return _Change(moves, f"identity {keep}", f"identity {other} merged into {keep}")

        return self._decide("merge", plan, actor, reason, address)

    def split(
        self,
        identity: int,
        tracks: Sequence[int],
        actor: str,
        reason: str,
        *,
        address: str | None = None,
    ) -> DecisionRow:
        """These tracks are not the rest of the identity: they leave it together, to a new one."""

        def plan(connection: Connection) -> _Change:
            leaving = sorted(set(tracks))
            if not leaving:
                raise StoreError(f"identity {identity}: no track was named to be split off")
            there = {held.track: held for held in self._members(connection, identity)}
            strangers = [track for track in leaving if track not in there]
            if strangers:
                held = self._held(connection, strangers)[0]
                of = "none so far" if held.identity is None else f"identity {held.identity}"
                raise StoreError(f"track {held.track} is not of identity {identity}, but of {of}")
            if len(leaving) == len(there):
                raise StoreError(
                    f"identity {identity} has only the tracks "
                    f"{', '.join(map(str, leaving))}: a split leaves at least one behind"
                )
            new = _found_identity(connection, there[leaving[0]])
            moves = [_Move(there[track], new, identity) for track in leaving]
            return _Change(moves, f"identity {identity}", "split off")

        return self._decide("split", plan, actor, reason, address)

    def undo(
        self, decision: int, actor: str, reason: str, *, address: str | None = None
    ) -> DecisionRow:
        """Take a decision back: the tracks that it moved return to where they were before it.

        They follow where that identity went since, and undoing a merge that they followed takes
        them along. A track that nobody had decided about before gets an identity of its own.
        """

        def plan(connection: Connection) -> _Change:
            found = undoable(connection, self._store.url, decision)
            there = self._held(connection, found.tracks)
            now = {held.track: held.identity for held in there if held.identity is not None}
            back = ways_back(connection, decision, now)
            moves = [move for held in there for move in _way(connection, held, back[held.track])]
            words = f"decision {decision} ({found.action}) undone"
            return _Change(moves, f"decision {decision}", words, undoes=decision)

        return self._decide("undo", plan, actor, reason, address)

    # ---- what a decision may rest on -----------------------------------------------------------

    def _held(self, connection: Connection, tracks: Sequence[int]) -> list[_Held]:
        """Tracks that must exist, in the order given."""
        found: dict[int, Any] = {}
        for some in chunks(tracks):
            rows = select(Track.id, Track.run, Track.end).where(Track.id.in_(some))
            found.update((row.id, row) for row in connection.execute(rows))
        for track in tracks:
            if track not in found:
                erased = select(Tombstone.track).where(Tombstone.track == track)
                if connection.execute(erased).first() is not None:
                    raise StoreError(f"track {track} was erased from store {self._store.url}")
                raise StoreError(f"store {self._store.url} has no track {track}")
        identities = current_identities(connection, tracks)
        return [_Held(t, found[t].run, found[t].end, identities.get(t)) for t in tracks]

    def _members(self, connection: Connection, identity: int) -> list[_Held]:
        """The tracks of an identity that must have some, by id."""
        named = select(LedgerEntry.track).where(LedgerEntry.identity == identity).distinct()
        tracks = sorted(connection.execute(named).scalars())
        found = [h for h in self._held(connection, tracks) if h.identity == identity]
        if found:
            return found
        if connection.execute(select(Identity.id).where(Identity.id == identity)).first() is None:
            raise StoreError(f"store {self._store.url} has no identity {identity}")
        merged = name_now(identity, merges(connection))
        went = f" (it was merged into {merged})" if merged != identity else ""
        raise StoreError(f"identity {identity} has no tracks any more{went}")

    def _check_runs(self, connection: Connection, tracks: Sequence[_Held]) -> None:
        """Refuse to mix a re-run's tracks with another run's."""
        runs = sorted({held.run for held in tracks})
        if len(runs) < 2:
            return
        again = select(Run.id, Run.rerun_of).where(Run.id.in_(runs), Run.rerun_of.is_not(None))
        row = connection.execute(again.order_by(Run.id)).first()
        if row is not None:
            others = ", ".join(str(run) for run in runs if run != row.id)
            raise StoreError(
                f"run {row.id} is a re-run of run {row.rerun_of}: its tracks show the same moments "
                f"again and cannot be one identity with those of run {others}"
            )

    # ---- writing -------------------------------------------------------------------------------

    def _decide(
        self,
        action: str,
        plan: Callable[[Connection], _Change],
        actor: str,
        reason: str,
        address: str | None,
    ) -> DecisionRow:
        for name, text in (("actor", actor), ("reason", reason)):
            if not text.strip():
                raise StoreError(f"{action}: the {name} is empty; a decision says who and why")

        def write(connection: Connection) -> DecisionRow:
            change = plan(connection)
            moment = to_microsecond(time.time())
            row = {
                "time": moment,
                "actor": actor,
                "action": action,
                "reason": reason,
                "details": {},
                "undoes": change.undoes,
            }
            added = insert(Decision).values(row).returning(Decision.id)
            decision = int(connection.execute(added).scalar_one())
            words = f"{change.words}: {reason}"
            own = {"written": moment, "action": action, "reason": words, "actor": actor}
            own |= {"decision": decision}
            merges_followed = {move.merge for move in change.moves if move.merge is not None}
            reasons = {merge: merge_reason(connection, merge) for merge in merges_followed}
            entries = [_entry(move, own, reasons) for move in change.moves]
            connection.execute(insert(LedgerEntry), entries)
            made = rows_of(connection, [decision])[0]
            details = {"decision": decision, "action": action, "tracks": list(made.tracks)}
            details |= {"identity": made.identity, "other": made.other, "undoes": made.undoes}
            kept = {key: value for key, value in details.items() if value is not None}
            record(connection, Audit(actor, "decide", change.subject, reason, kept, address))
            return made

        return self._store.write(write)


def _found_identity(connection: Connection, first: _Held) -> int:
    """A new identity, for this track first."""
    identity = take_id(connection, "identity")
    values = {"id": identity, "created": first.end, "run": first.run}
    connection.execute(insert(Identity).values(values))
    return identity


def _way(connection: Connection, held: _Held, back: Sequence[Step]) -> list[_Move]:
    """The rows that take one track back; to an identity of its own if it had none before."""
    steps = back or (Step(_found_identity(connection, held)),)
    moves, before = [], held.identity
    for step in steps:
        candidate = before if before != step.identity else None
        moves.append(_Move(held, step.identity, candidate, step.merge))
        before = step.identity
    return moves


def _entry(move: _Move, own: dict[str, Any], reasons: dict[int, str]) -> dict[str, Any]:
    """The row of a move; `own`: what all rows of the decision itself have in common.

    `reasons`: those of the merges whose rows the others are.
    """
    held = move.held
    if move.merge is None:
        return ledger_entry(held.track, move.identity, move.candidate, held.end) | own
    return carried_on(
        held.track,
        move.identity,
        move.candidate,
        held.end,
        action="merge",
        reason=reasons[move.merge],
        decision=move.merge,
    )
