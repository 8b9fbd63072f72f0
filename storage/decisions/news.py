"""Decisions as a running pipeline hears of them.

The matcher decides from its memory and the writer commits a little later, so between a person's
decision and the moment the matcher hears of it, a row of its own may have come behind the person's,
or have put a new track into an identity that was merged away. Both are set right here: a further
row, which belongs to the person's decision (and goes with it when that is undone).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, insert, select

from storage.decisions.entries import carried_on
from storage.decisions.standing import UNDONE, current_identities, standing
from storage.desk_models import Decision
from storage.models import LedgerEntry, Track
from storage.selects import CURRENT, chunks
from storage.store import Store
from trackers.records import Rulings

log = logging.getLogger(__name__)

_NAMES = ("track", "identity", "candidate", "time", "action", "reason", "decision")
_WORD = tuple(getattr(LedgerEntry, name) for name in _NAMES)


@dataclass(frozen=True, slots=True)
class _Word:
    """A person's row of the ledger."""

    track: int
    identity: int
    candidate: int | None
    time: float
    action: str
    reason: str
    decision: int


class DecisionNews:
    """What people decided since the last call, for one run; earlier decisions are no news."""

    def __init__(self, store: Store, run: int) -> None:
        self._store, self._run = store, run
        self._reader = store.reader()
        self._seen = self._latest()

    def rulings(self) -> Rulings | None:
        """What the matcher has to heed from now on; None: nothing new.

        Call it where no decision of the matcher is under way: rows of its that were handed to the
        store before count as decided without knowledge of the news.

        Raises:
            StoreError: if the store cannot be read or written.
        """
        if self._latest() == self._seen:
            return None
        self._seen, rulings = self._store.write(self._hear)
        return rulings

    def _latest(self) -> int:
        with self._reader.connection() as connection:
            return connection.execute(select(func.max(Decision.id))).scalar() or 0

    def _hear(self, connection: Connection) -> tuple[int, Rulings]:
        """In the writer, so behind all that the matcher has said so far."""
        moved = self._moved(connection)
        found = select(Decision.id, Decision.action).where(Decision.id > self._seen)
        fresh = connection.execute(found.order_by(Decision.id)).all()
        undone = set(connection.execute(UNDONE).scalars())
        for decision in fresh:
            if decision.action == "merge" and decision.id not in undone:
                moved |= self._late_for_merge(connection, decision.id)
        stands = standing(connection)
        home = current_identities(connection, (track for track, _ in stands.rejected))
        latest = fresh[-1].id if fresh else self._seen
        return latest, Rulings(
            moved=moved,
            confirmed=frozenset(stands.confirmed.values()),
            apart=stands.rejected,
            distinct=frozenset(
                (home[track], identity)
                for track, identity in stands.rejected
                if track in home and home[track] != identity
            ),
        )

    def _moved(self, connection: Connection) -> dict[int, int]:
        """The run's tracks that people put somewhere since; theirs is the last word."""
        fresh = (
            select(LedgerEntry.track)
            .join(Track, Track.id == LedgerEntry.track)
            # A sum keeps SQLite from going through all the run's tracks.
            .where(LedgerEntry.decision > self._seen, Track.run + 0 == self._run)
        )
        touched = sorted(set(connection.execute(fresh).scalars()))
        last: dict[int, _Word] = {}
        for some in chunks(touched):
            # Of any decision: an undo's track may follow a merge that was heard of before.
            rows = select(*_WORD).where(
                LedgerEntry.track.in_(some), LedgerEntry.decision.is_not(None)
            )
            found = connection.execute(rows.order_by(LedgerEntry.id))
            last.update((row.track, _Word(*row)) for row in found)
        for some in chunks(sorted(last)):
            newest = select(func.max(LedgerEntry.id)).where(LedgerEntry.track.in_(some))
            late = select(LedgerEntry.track).where(
                LedgerEntry.id.in_(newest.group_by(LedgerEntry.track)),
                LedgerEntry.decision.is_(None),
            )
            for track in connection.execute(late).scalars():
                _carry_on(connection, last[track])
        return {track: row.identity for track, row in last.items()}

    def _late_for_merge(self, connection: Connection, decision: int) -> dict[int, int]:
        """The run's tracks that the matcher put into an identity after a person merged it away."""
        own = select(*_WORD).where(LedgerEntry.decision == decision).order_by(LedgerEntry.id)
        row = connection.execute(own.limit(1)).first()
        if row is None or row.candidate is None:
            return {}  # erased since
        merge = _Word(*row)
        # By the identity's index: few of many tracks.
        named = select(LedgerEntry.track).where(LedgerEntry.identity == merge.candidate)
        late = (
            select(Track.id, Track.end)
            .join(LedgerEntry, CURRENT)
            .where(
                Track.id.in_(named),
                Track.run == self._run,
                LedgerEntry.identity == merge.candidate,
            )
        )
        found = {}
        for track, end in connection.execute(late).all():
            _carry_on(connection, replace(merge, track=track, time=end))
            found[track] = merge.identity
        return found


def _carry_on(connection: Connection, row: _Word) -> None:
    log.info("track %d follows decision %d to identity %d", row.track, row.decision, row.identity)
    entry = carried_on(
        row.track,
        row.identity,
        row.candidate,
        row.time,
        action=row.action,
        reason=row.reason,
        decision=row.decision,
    )
    connection.execute(insert(LedgerEntry).values(entry))
