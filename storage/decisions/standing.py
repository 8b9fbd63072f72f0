"""What stands of people's decisions: undone ones left out, later ones over earlier ones.

- A confirmed track keeps its identity until a person takes it out of it.
- A rejected pair (track, identity) stays rejected when the identity goes into another, by a person
  or by the matcher: then it is rejected for that one as well. So is a track that was split off. It
  ends when a person confirms the pair after all, or merges the track's identity with that one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from storage.desk_models import Decision
from storage.models import LedgerEntry
from storage.queries import StoreReader
from storage.selects import chunks

UNDONE = select(Decision.undoes).where(Decision.undoes.is_not(None))


@dataclass(slots=True)
class Standing:
    """What stands, over the whole store.

    Attributes:
        confirmed: track -> the identity it was confirmed to have.
        rejected: (track, identity) that must not be linked; with the names that the rejected
            identities have now.
        merged: identities that people merged -> the one kept.
    """

    confirmed: dict[int, int] = field(default_factory=dict)
    rejected: frozenset[tuple[int, int]] = frozenset()
    merged: dict[int, int] = field(default_factory=dict)


def rejected(reader: StoreReader) -> frozenset[tuple[int, int]]:
    """The (track, identity) pairs that people ruled out: not to be proposed again."""
    with reader.connection() as connection:
        return standing(connection).rejected


def standing(connection: Connection) -> Standing:
    """Read the decisions from the first to the last."""
    rows = (
        select(LedgerEntry.track, LedgerEntry.identity, LedgerEntry.candidate, Decision.action)
        .join(Decision, Decision.id == LedgerEntry.decision)
        .where(Decision.action != "undo", Decision.id.not_in(UNDONE))
        .order_by(LedgerEntry.decision, LedgerEntry.id)
    )
    found = Standing()
    pairs: dict[int, set[int]] = defaultdict(set)
    for track, identity, candidate, action in connection.execute(rows):
        if action == "merge":
            if candidate is not None:
                found.merged[candidate] = identity
            if track in found.confirmed:
                found.confirmed[track] = identity
        elif action == "confirm":
            found.confirmed[track] = identity
        elif found.confirmed.get(track) != identity:
            found.confirmed.pop(track, None)
        if action in ("confirm", "merge"):
            together = name_now(identity, found.merged)
            pairs[track] = {i for i in pairs[track] if name_now(i, found.merged) != together}
        elif candidate is not None:  # an erasure takes the name of the rejected one away
            pairs[track].add(candidate)
    names = _successors(connection, set().union(*pairs.values()), found.merged)
    home = current_identities(connection, pairs)
    found.rejected = frozenset(
        (track, name)
        for track, ruled_out in pairs.items()
        for identity in ruled_out
        if home.get(track) not in names[identity]  # else a merge brought the two together
        for name in names[identity]
    )
    return found


def name_now(identity: int, merged: Mapping[int, int]) -> int:
    """The name that an identity has after people's merges."""
    seen: set[int] = set()
    while identity in merged and identity not in seen:
        seen.add(identity)
        identity = merged[identity]
    return identity


def merges(connection: Connection, after: int = 0) -> dict[int, int]:
    """People's merges that stand, of decisions above `after`: the other -> the one kept."""
    return {other: kept for other, (kept, _) in standing_merges(connection, after).items()}


def standing_merges(connection: Connection, after: int = 0) -> dict[int, tuple[int, int]]:
    """As `merges`, with the decision: the other -> (the one kept, the decision)."""
    rows = (
        select(LedgerEntry.decision, LedgerEntry.candidate, LedgerEntry.identity)
        .distinct()
        .join(Decision, Decision.id == LedgerEntry.decision)
        .where(
            Decision.action == "merge",
            Decision.id > after,
            Decision.id.not_in(UNDONE),
            LedgerEntry.candidate.is_not(None),
        )
        .order_by(LedgerEntry.decision)
    )
    return {
        other: (kept, decision)
        for decision, other, kept in connection.execute(rows)
        if other is not None and decision is not None
    }


def current_identities(connection: Connection, tracks: Iterable[int]) -> dict[int, int]:
    """The identity that each track has now; tracks without one are left out."""
    found: dict[int, int] = {}
    for some in chunks(sorted(set(tracks))):
        last = select(func.max(LedgerEntry.id)).where(LedgerEntry.track.in_(some))
        last = last.group_by(LedgerEntry.track)
        rows = select(LedgerEntry.track, LedgerEntry.identity).where(LedgerEntry.id.in_(last))
        found.update((track, identity) for track, identity in connection.execute(rows))
    return found


def successors(connection: Connection, identities: Iterable[int]) -> dict[int, int | None]:
    """For each identity the one that most of its tracks have now; itself while it has any.

    After a merge, by a person or by the matcher, that is the other one. None if none of its tracks
    is left.
    """
    wanted = sorted(set(identities))
    ever: dict[int, set[int]] = {identity: set() for identity in wanted}
    for some in chunks(wanted):
        rows = select(LedgerEntry.identity, LedgerEntry.track).distinct()
        for identity, track in connection.execute(rows.where(LedgerEntry.identity.in_(some))):
            ever[identity].add(track)
    now = current_identities(connection, set().union(*ever.values()))
    found: dict[int, int | None] = {}
    for identity, tracks in ever.items():
        counts = Counter(name for t in tracks if (name := now.get(t)) is not None)
        most = max(counts, key=lambda name: (counts[name], -name), default=None)
        found[identity] = identity if identity in counts else most
    return found


def successor(reader: StoreReader, identity: int) -> int | None:
    """As `successors`, of one identity."""
    with reader.connection() as connection:
        return successors(connection, [identity])[identity]


def _successors(
    connection: Connection, identities: Collection[int], merged: Mapping[int, int]
) -> dict[int, set[int]]:
    """Each identity with those that it went into since, by people's or the matcher's doing."""
    steps: dict[int, set[int]] = defaultdict(set)
    for old, new in merged.items():
        steps[old].add(new)
    asked: set[int] = set()
    waiting = set(identities)
    while waiting:
        asked |= waiting
        for old, new in _moves(connection, sorted(waiting)):
            steps[old].add(new)
        waiting = {new for old in asked for new in steps[old]} - asked
    found: dict[int, set[int]] = {}
    for identity in identities:
        reached, fresh = {identity}, {identity}
        while fresh:
            fresh = {new for old in fresh for new in steps[old]} - reached
            reached |= fresh
        found[identity] = reached
    return found


def _moves(connection: Connection, identities: list[int]) -> Iterable[tuple[int, int]]:
    """(from, to) of the matcher's moves out of these identities: it moves whole identities."""
    for some in chunks(identities):
        named = select(LedgerEntry.track).where(LedgerEntry.identity.in_(some))
        before = func.lag(LedgerEntry.identity).over(
            partition_by=LedgerEntry.track, order_by=LedgerEntry.id
        )
        steps = (
            select(
                before.label("old"),
                LedgerEntry.identity,
                LedgerEntry.action,
                LedgerEntry.decision,
            )
            .where(LedgerEntry.track.in_(named))
            .subquery()
        )
        moves = select(steps.c.old, steps.c.identity).where(
            steps.c.action == "move", steps.c.decision.is_(None), steps.c.old.in_(some)
        )
        yield from ((old, new) for old, new in connection.execute(moves.distinct()))
