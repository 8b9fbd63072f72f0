"""What people decided, in the matcher's working memory: where tracks are, and who is not whom.

A confirmed identity keeps its id and never becomes one with another confirmed one. A track that was
rejected or split off, and all of its identity with it, is never one with the identity it is not,
whatever the matcher calls either of them since.
"""

from __future__ import annotations

from collections import defaultdict

from trackers.gallery import Gallery
from trackers.records import Rulings

Pair = tuple[int, int]


class People:
    """Heeds rulings for one matcher; without any it does nothing."""

    def __init__(self) -> None:
        self._rulings: Rulings | None = None
        self._expected: dict[int, int] = {}  # decided tracks that the gallery does not hold
        self._names: dict[int, set[int]] = defaultdict(set)  # identity -> what it went into
        # Decided track -> the tracks that it was put together with.
        self._beside: dict[int, frozenset[int]] = {}

    def heed(self, rulings: Rulings, gallery: Gallery) -> set[int]:
        """Take over what people decided.

        Returns:
            The identities to look at again.
        """
        before, self._rulings = self._rulings, rulings
        gallery.confirmed = rulings.confirmed
        touched = set(rulings.moved.values())
        self._expected |= rulings.moved
        touched |= self._place(gallery)
        if before is not None:
            touched |= before.confirmed ^ rulings.confirmed
            touched |= {i for pair in before.distinct ^ rulings.distinct for i in pair}
            touched |= {identity for _, identity in before.apart ^ rulings.apart}
        return touched

    def apply(self, gallery: Gallery) -> None:
        """After new rows came in: put them where people said, and keep apart who is apart."""
        if self._rulings is None:
            return
        self._place(gallery)
        rows = {e.tracklet.track: i for i, e in enumerate(gallery.entries)}
        of: dict[int, list[int]] = defaultdict(list)
        for row, entry in enumerate(gallery.entries):
            if entry.identity is not None:
                of[entry.identity].append(row)
        pairs = []
        for track, identity in sorted(self._rulings.apart):
            if track in rows:
                own = gallery.entries[rows[track]].identity
                left = [rows[track]] if own is None else of[own]
                pairs.append((left, self._rows(identity, of)))
        for a, b in sorted(self._rulings.distinct):
            pairs.append((self._rows(a, of), self._rows(b, of)))
        confirmed = sorted(of.keys() & self._rulings.confirmed)
        pairs += [(of[a], of[b]) for i, a in enumerate(confirmed) for b in confirmed[i + 1 :]]
        gallery.part([(a, b) for a, b in pairs if a and b and not set(a) & set(b)])

    def follow(self, old: int, new: int) -> None:
        """The matcher made one identity part of another: what was said of it holds for that."""
        if old != new and self._rulings is not None:
            self._names[old].add(new)

    def placed(self, track: int) -> bool:
        """Whether a person put the track where it is."""
        return track in self._beside

    def joined(self, a: int, b: int) -> bool:
        """Whether a person said of two tracks that they are one identity."""
        return b in self._beside.get(a, ()) or a in self._beside.get(b, ())

    def _place(self, gallery: Gallery) -> set[int]:
        """Put decided tracks where people put them; returns the identities they left."""
        left: set[int] = set()
        if not self._expected:
            return left
        put: dict[int, int] = {}
        for entry in gallery.entries:
            identity = self._expected.pop(entry.tracklet.track, None)
            if identity is None:
                continue
            put[entry.tracklet.track] = identity
            if identity != entry.identity:
                if entry.identity is not None:
                    left.add(entry.identity)
                entry.identity = identity
        for identity in set(put.values()):
            rows = gallery.rows_of({identity})
            beside = frozenset(gallery.entries[row].tracklet.track for row in rows)
            self._beside |= {track: beside for track, there in put.items() if there == identity}
        return left

    def _rows(self, identity: int, of: dict[int, list[int]]) -> list[int]:
        """Rows of an identity and of those that the matcher made it part of."""
        reached, fresh = {identity}, {identity}
        while fresh:
            fresh = {new for old in fresh for new in self._names.get(old, ())} - reached
            reached |= fresh
        return sorted(row for name in reached for row in of.get(name, ()))
