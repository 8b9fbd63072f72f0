"""Taking a decision back: whether that can be done, and where its tracks return to.

- A track that the decision did not move stays where it is, whatever moved it since.
- Any other returns to the identity it had before. Where that one went since, the track follows:
  into another by a person's merge that stands, or, once nothing is left of it, by the matcher's
  moves.
- For each merge it follows there is a row of that merge's own, so that undoing the merge takes the
  track along with all the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from sqlalchemy import Connection, func, select

from reid.errors import StoreError
from storage.decisions.rows import DecisionRow, rows_of
from storage.decisions.standing import UNDONE, standing_merges
from storage.desk_models import Decision
from storage.models import LedgerEntry
from storage.selects import AnyRow, chunks


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the ledger on the way back.

    Attributes:
        identity: where it leads.
        merge: the standing merge that leads there; None: the undo itself.
    """

    identity: int
    merge: int | None = None


def undoable(connection: Connection, url: str, decision: int) -> DecisionRow:
    """The decision, if it can be taken back.

    Raises:
        StoreError: naming why it cannot be.
    """
    known = rows_of(connection, [decision])
    if not known:
        raise StoreError(f"store {url} has no decision {decision}")
    found = known[0]
    why = f"decision {decision} cannot be undone: "
    if found.action == "undo":
        raise StoreError(
            f"{why}it is itself the undo of decision {found.undoes}; decide again instead"
        )
    if found.undone_by is not None:
        raise StoreError(f"{why}decision {found.undone_by} did so already")
    if not found.tracks:
        raise StoreError(f"{why}its tracks were erased")
    later = _later(connection, found)
    if later is not None:
        raise StoreError(
            f"{why}decision {later.id} ({later.action}, by {later.actor}) came later and "
            f"concerns track {later.track} as well; undo that one first"
        )
    return found


def ways_back(
    connection: Connection, decision: int, now: Mapping[int, int]
) -> dict[int, tuple[Step, ...]]:
    """The rows that take a decision's tracks back; none for one that nobody had decided about.

    Args:
        connection: the store.
        decision: the one to be taken back.
        now: track -> its identity now, of all the decision's tracks.
    """
    merged = standing_merges(connection, after=decision)
    first = select(func.min(LedgerEntry.id)).where(LedgerEntry.decision == decision)
    since = int(connection.execute(first).scalar_one())
    led: dict[int, tuple[Step, ...]] = {}
    found: dict[int, tuple[Step, ...]] = {}
    for track, identity in now.items():
        put, before = _moved(connection, track, decision)
        if before is None:
            found[track] = ()
        elif before == put:
            found[track] = (Step(identity),)
        else:
            if before not in led:  # of a merge, all tracks were in the same
                led[before] = _follow(connection, before, since, merged)
            found[track] = led[before]
    return found


def _later(connection: Connection, found: DecisionRow) -> AnyRow | None:
    """The newest standing decision about the same tracks, if there is a later one."""
    for some in chunks(found.tracks):
        later = (
            select(Decision.id, Decision.action, Decision.actor, LedgerEntry.track)
            .join(LedgerEntry, LedgerEntry.decision == Decision.id)
            .where(
                LedgerEntry.track.in_(some),
                Decision.id > found.id,
                Decision.action != "undo",
                Decision.id.not_in(UNDONE),
            )
            .order_by(Decision.id.desc())
        )
        row = connection.execute(later).first()
        if row is not None:
            return row
    return None


def _moved(connection: Connection, track: int, decision: int) -> tuple[int, int | None]:
    """Where a decision's first row about a track put it, and where it was before."""
    rows = select(LedgerEntry.id, LedgerEntry.identity).where(LedgerEntry.track == track)
    first = rows.where(LedgerEntry.decision == decision).order_by(LedgerEntry.id).limit(1)
    own, put = connection.execute(first).one()
    earlier = rows.where(LedgerEntry.id < own).order_by(LedgerEntry.id.desc()).limit(1)
    before = connection.execute(earlier).first()
    return put, None if before is None else before.identity


def _follow(
    connection: Connection, identity: int, after: int, merged: Mapping[int, tuple[int, int]]
) -> tuple[Step, ...]:
    """From an identity to what it is now, after a row of the ledger."""
    steps = [Step(identity)]
    seen = {identity}
    while True:
        name = steps[-1].identity
        kept, merge = merged.get(name) or (_moved_on(connection, name, after), None)
        if kept is None or kept in seen:
            return tuple(steps)
        seen.add(kept)
        if merge is None and steps[-1].merge is None:
            steps.pop()  # the matcher's moves need no row of their own
        steps.append(Step(kept, merge))


def _moved_on(connection: Connection, identity: int, after: int) -> int | None:
    """Where the matcher took an identity after a row; None while a track of it is left."""
    named = select(LedgerEntry.track).where(LedgerEntry.identity == identity).distinct()
    tracks = sorted(connection.execute(named).scalars())
    went: Counter[int] = Counter()
    for some in chunks(tracks):
        rows = (
            select(LedgerEntry.id, LedgerEntry.track, LedgerEntry.identity)
            .add_columns(LedgerEntry.action, LedgerEntry.decision)
            .where(LedgerEntry.track.in_(some))
            .order_by(LedgerEntry.track, LedgerEntry.id)
        )
        for _, track in groupby(connection.execute(rows), key=lambda row: row.track):
            history = list(track)
            if history[-1].identity == identity:
                return None
            went.update(_moves_of(history, identity, after))
    return max(went, key=lambda name: (went[name], -name), default=None)


def _moves_of(history: Sequence[AnyRow], identity: int, after: int) -> list[int]:
    """Where the matcher moved one track out of the identity; its rows by number."""
    return [
        row.identity
        for before, row in pairwise(history)
        if row.id > after
        and before.identity == identity != row.identity
        and row.action == "move"
        and row.decision is None
    ]


def merge_reason(connection: Connection, merge: int) -> str:
    """What a merge's own rows say."""
    rows = select(LedgerEntry.reason).where(LedgerEntry.decision == merge).order_by(LedgerEntry.id)
    return str(connection.execute(rows.limit(1)).scalar_one())
