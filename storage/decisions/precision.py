"""How often people agreed with the matcher: precision from their decisions.

A person who confirms a track where the matcher linked it says that the link was right; one who
rejects it, splits it off or confirms it elsewhere says that it was wrong; of a split or a rejection
`storage/decisions/parting.py` says whose link that is. Where the matcher did not
link but named whom a track might be, a confirmation or a merge says that a link was missed, a
rejection that it was rightly left alone. Of several judgements on one row of the ledger the last
counts; undone ones do not.

The judged links are those that people looked at, not a sample of all: where they look at doubtful
ones only, the figure is below that of all links.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from reid.errors import StoreError
from storage.decisions.parting import PARTING, Partings
from storage.decisions.standing import UNDONE, merges, name_now
from storage.desk_models import Decision
from storage.models import LedgerEntry, Run, Track
from storage.queries import StoreReader
from storage.selects import AnyRow, AnySelect

FACTORS = (0.8, 1.0, 1.2)
Z95 = 1.959964  # standard normal quantile of a 95 % interval


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `judged`, with its Wilson 95 % interval; all None where nothing was judged."""

    right: int
    judged: int
    share: float | None
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {name: getattr(self, name) for name in ("right", "judged", "share", "low", "high")}


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What the judged pairs would give at `factor` times the threshold that each was held to.

    Attributes:
        factor: 1 is the threshold as it was.
        threshold: of the run's configuration, times the factor; None if it says nothing.
        precision: right ones among the judged pairs nearer than that.
        recall: of the judged pairs that are one person, those nearer than that.
    """

    factor: float
    threshold: float | None
    precision: Share
    recall: Share


@dataclass(frozen=True, slots=True)
class Precision:
    """What people made of the matcher's links.

    Attributes:
        run: the run; None: all but re-runs.
        threshold: of the run's configuration (the latest run's); None if it says nothing.
        links: links that people judged, and how many of them they confirmed.
        missed: pairs not linked that people put together.
        table: for factors 0.8, 1 and 1.2. By distance alone: support, rivals and the places do
            not come into it.
    """

    run: int | None
    threshold: float | None
    links: Share
    missed: int
    table: tuple[AtThreshold, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "run": self.run,
            "threshold": self.threshold,
            "links": self.links.as_json(),
            "missed": self.missed,
            "table": [
                {
                    "factor": row.factor,
                    "threshold": row.threshold,
                    "precision": row.precision.as_json(),
                    "recall": row.recall.as_json(),
                }
                for row in self.table
            ],
        }


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair that the matcher measured and a person judged."""

    distance: float
    threshold: float
    linked: bool
    same: bool


def precision(reader: StoreReader, run: int | None = None) -> Precision:
    """What people made of the matcher's links, of one run or of all but re-runs.

    Raises:
        StoreError: if there is no such run.
    """
    with reader.connection() as connection:
        runs: AnySelect = select(Run.id, Run.config).order_by(Run.id.desc()).limit(1)
        runs = runs.where(Run.rerun_of.is_(None) if run is None else Run.id == run)
        latest = connection.execute(runs).first()
        if latest is None and run is not None:
            raise StoreError(f"store {reader.url} has no run {run}")
        pairs = judged_pairs(connection, run)
    threshold = None if latest is None else _threshold(latest.config)
    links = [pair for pair in pairs if pair.linked]
    return Precision(
        run=run,
        threshold=threshold,
        links=wilson(sum(pair.same for pair in links), len(links)),
        missed=sum(pair.same and not pair.linked for pair in pairs),
        table=tuple(_at(factor, threshold, pairs) for factor in FACTORS),
    )


def wilson(right: int, judged: int) -> Share:
    """A share with its Wilson score interval at 95 %."""
    if not judged:
        return Share(right, judged, None, None, None)
    share, z2 = right / judged, Z95**2
    middle = (share + z2 / (2 * judged)) / (1 + z2 / judged)
    spread = math.sqrt(share * (1 - share) / judged + z2 / (4 * judged**2)) * Z95
    spread /= 1 + z2 / judged
    return Share(right, judged, share, max(0.0, middle - spread), min(1.0, middle + spread))


def _at(factor: float, threshold: float | None, pairs: Sequence[JudgedPair]) -> AtThreshold:
    near = [pair for pair in pairs if pair.distance < factor * pair.threshold]
    hits = sum(pair.same for pair in near)
    return AtThreshold(
        factor=factor,
        threshold=None if threshold is None else factor * threshold,
        precision=wilson(hits, len(near)),
        recall=wilson(hits, sum(pair.same for pair in pairs)),
    )


def _threshold(config: Any) -> float | None:
    try:
        return float(config["pipeline"]["matching"]["threshold"])
    except (KeyError, TypeError, ValueError):
        return None


def judged_pairs(connection: Connection, run: int | None) -> list[JudgedPair]:
    """One for each row of the matcher's that people judged."""
    merged = merges(connection)
    history = _history(connection)
    partings = Partings(history)
    found: dict[int, JudgedPair] = {}
    for track, entries in history.items():
        of = entries[0]
        if of.rerun_of is None if run is None else of.run == run:
            judged = _of_track(entries, merged, partings) + _of_stayer(track, merged, partings)
            # A later word on the same row of the matcher's comes over an earlier one.
            found |= {link: pair for _, link, pair in sorted(judged, key=lambda word: word[0])}
    return list(found.values())


def _history(connection: Connection) -> dict[int, list[AnyRow]]:
    """All rows about tracks that people judged, and about those of identities that they parted."""
    people = LedgerEntry.decision.is_not(None)
    judged = select(LedgerEntry.track).where(people)
    left = select(LedgerEntry.candidate).where(people, LedgerEntry.action.in_(PARTING))
    beside = select(LedgerEntry.track).where(LedgerEntry.identity.in_(left))
    columns = (
        *(LedgerEntry.id, LedgerEntry.track, LedgerEntry.identity, LedgerEntry.candidate),
        *(LedgerEntry.distance, LedgerEntry.threshold, LedgerEntry.action, LedgerEntry.decision),
        *(Track.run, Run.rerun_of),
    )
    rows: AnySelect = (
        select(*columns, Decision.action.label("verdict"))
        .join(Track, Track.id == LedgerEntry.track)
        .join(Run, Run.id == Track.run)
        .outerjoin(Decision, (Decision.id == LedgerEntry.decision) & Decision.id.not_in(UNDONE))
        .where(LedgerEntry.track.in_(judged.union(beside)))
        .order_by(LedgerEntry.track, LedgerEntry.id)
    )
    found = groupby(connection.execute(rows), key=lambda row: row.track)
    return {track: list(entries) for track, entries in found}


def _of_track(
    entries: Iterable[AnyRow], merged: dict[int, int], partings: Partings
) -> list[tuple[int, int, JudgedPair]]:
    """What people's own rows about a track say: their number, the matcher's row, the judgement."""
    found: list[tuple[int, int, JudgedPair]] = []
    machine: AnyRow | None = None
    for row in entries:
        if row.decision is None:
            machine = row
        elif machine is not None and machine.distance is not None and row.verdict is not None:
            linked = machine.action in ("link", "move")
            same = _judge(row, machine.identity if linked else machine.candidate, linked, merged)
            excused = linked and row.verdict in PARTING and partings.excuses(row.decision, machine)
            if same is not None and not excused:
                found.append((row.id, machine.id, _pair(machine, linked, same)))
    return found


def _of_stayer(
    track: int, merged: dict[int, int], partings: Partings
) -> list[tuple[int, int, JudgedPair]]:
    """As `_of_track`, where those left that a track had been linked to."""
    return [
        (cut, link.id, _pair(link, linked=True, same=False))
        for cut, identity, link in partings.blames(track)
        if name_now(identity, merged) == name_now(link.identity, merged)
    ]


def _pair(machine: AnyRow, linked: bool, same: bool) -> JudgedPair:
    allowed = machine.threshold if machine.threshold is not None else math.inf
    return JudgedPair(machine.distance, allowed, linked, same)


def _judge(row: AnyRow, machine: int | None, linked: bool, merged: dict[int, int]) -> bool | None:
    """Whether a person's row says that the track is the identity the matcher thought of."""
    if machine is None:
        return None
    said = row.candidate if row.verdict in PARTING else row.identity
    if said is None:
        return None
    agrees = name_now(said, merged) == name_now(machine, merged)
    if row.verdict in PARTING:
        return False if agrees else None
    if row.verdict == "confirm":
        # Confirmed elsewhere: the link was wrong. A mere candidate was then not judged.
        return True if agrees else (False if linked else None)
    # A merge moves links along unseen; it speaks of the pair that was left apart.
    return True if row.verdict == "merge" and agrees and not linked else None
