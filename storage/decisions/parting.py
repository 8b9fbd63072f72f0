"""What a split, or a rejection that takes a track out, says about the matcher's links.

It says that two sides of an identity are two people, and which of them left is of no matter: a link
was wrong where all those it was made to are on the other side. So a track that leaves together with
one that was there before it was linked rightly, as far as anybody said; and where the first ones of
an identity leave, it is the links of those who stay behind that were wrong.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from storage.selects import AnyRow

PARTING = ("reject", "split")


@dataclass(frozen=True, slots=True)
class Parting:
    """One decision that parted an identity.

    Attributes:
        cut: number of its first row.
        identity: the one that was left.
        leaving: tracks that it took out.
        staying: those that stayed.
    """

    cut: int
    identity: int
    leaving: frozenset[int]
    staying: frozenset[int]


class Partings:
    """The partings of a store.

    Args:
        history: track -> all its rows of the ledger, by number; of every track that was ever in an
            identity that was parted. `verdict` is the action of a person's decision that stands.
    """

    def __init__(self, history: Mapping[int, Sequence[AnyRow]]) -> None:
        self._history = history
        self._ever: dict[int, set[int]] = defaultdict(set)
        rows: dict[int, list[AnyRow]] = defaultdict(list)
        for track, entries in history.items():
            for row in entries:
                self._ever[row.identity].add(track)
                if row.verdict in PARTING:
                    rows[row.decision].append(row)
        self._of = {decision: self._parting(found) for decision, found in rows.items()}
        self._stays: dict[int, list[Parting]] = defaultdict(list)
        for parting in self._of.values():
            if parting is not None and parting.leaving:
                for track in parting.staying:
                    self._stays[track].append(parting)

    def excuses(self, decision: int, link: AnyRow) -> bool:
        """Whether a track that left did so with one that its link was made to."""
        parting = self._of.get(decision)
        return parting is not None and self._made_to(link, parting.leaving)

    def blames(self, track: int) -> list[tuple[int, int, AnyRow]]:
        """Links of a track that stayed where all those that it was linked to left.

        Returns:
            Of each the number of the decision's first row, the identity, and the matcher's row.
        """
        found = []
        for parting in self._stays.get(track, ()):
            link = self._last_link(track, parting.cut)
            if link is None or not self._made_to(link, parting.leaving):
                continue
            if not self._made_to(link, parting.staying):
                found.append((parting.cut, parting.identity, link))
        return found

    def _parting(self, rows: Sequence[AnyRow]) -> Parting | None:
        cut = min(row.id for row in rows)
        identity = rows[0].candidate
        if identity is None:  # it was erased
            return None
        there = {t for t in self._ever[identity] if self._identity(t, cut) == identity}
        named = {row.track for row in rows}
        return Parting(cut, identity, frozenset(there & named), frozenset(there - named))

    def _made_to(self, link: AnyRow, side: Collection[int]) -> bool:
        """Whether one of these tracks was in the identity when the link was made."""
        return any(
            track != link.track and self._identity(track, link.id) == link.identity
            for track in side
        )

    def _last_link(self, track: int, before: int) -> AnyRow | None:
        """The matcher's last row about a track, if it is a link that was measured."""
        said = [r for r in self._history[track] if r.id < before and r.decision is None]
        if not said or said[-1].action not in ("link", "move") or said[-1].distance is None:
            return None
        return said[-1]

    def _identity(self, track: int, before: int) -> int | None:
        """A track's identity just before a row of the ledger."""
        rows = self._history[track]
        at = bisect_left(rows, before, key=lambda row: row.id)
        return int(rows[at - 1].identity) if at else None
