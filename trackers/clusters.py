"""How far apart clusters of tracklets are, kept up to date while clusters merge.

The linkage of the cross-camera matcher: two clusters are as far apart as halfway between the mean
Eq. 15 distance of their tracklets, weighted by how much evidence each pair shares, and that of the
least alike pair. (On held-out Market-1501 people, each at its best threshold, that is a little
better than either and forgives a wrong threshold more: `benchmarks/market_links.py`.)

Only *active* clusters are compared with all others: those with new evidence. What two others are to
each other was settled before and has not changed. The cost of a decision then grows with what is
new, not with the square of all that is known. Where everybody looks alike (uniforms, infrared) that
is not enough: a cluster that was turned down `PATIENCE` times proposes no more in this decision;
one that was left in doubt earlier sleeps until something about those near it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trackers.gallery import FAR, Gallery
from trackers.settings import MatchingSettings

# What is kept of every pair of clusters, and how two clusters' values become their union's.
FIELDS = {
    "weighted": np.add,  # sum over pairs of shared evidence times distance
    "weights": np.add,  # sum over pairs of shared evidence
    "worst": np.maximum,  # largest distance of a pair that shares anything
    "shared": np.maximum,  # largest shared evidence (cosine of the two qualities)
    "support": np.maximum,  # largest raw support
    "gap": np.minimum,  # seconds between; infinite if no pair may be linked directly
    "blocked": np.maximum,  # 1 if any pair is impossible in time and space
    "refused": np.maximum,  # 1 if the pair was turned down in this decision
}
PATIENCE = 8  # refusals after which a cluster is too much like too many to go on asking
DERIVED = ("distance", "cost", "allowed", "may")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two clusters: distance 0..2, with the price of waiting, the most allowed, raw support."""

    distance: float
    cost: float
    allowed: float
    support: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one cluster and its nearest other: see `LinkDecision`."""

    other: int | None
    distance: float | None
    runner_up: float | None
    support: float | None
    allowed: float | None
    outcome: str  # join | far | possible | thin | ambiguous | alone


class Clusters:
    """Clusters of gallery rows; a merged cluster keeps the lower index.

    Args:
        gallery: the rows and what every two of them are to each other.
        clusters: rows of each cluster.
        active: indices of the clusters that may propose to join others.
        settings: with threshold.
        asleep: indices of clusters that become active when one near them joins another.
    """

    def __init__(
        self,
        gallery: Gallery,
        clusters: Sequence[list[int]],
        active: Iterable[int],
        settings: MatchingSettings,
        asleep: Collection[int] = (),
    ) -> None:
        self._gallery, self._settings = gallery, settings
        self._threshold = settings.threshold or 0.0
        self.members = dict(enumerate(clusters))
        self._order = np.array([r for rows in clusters for r in rows], np.int64)
        self._starts = np.cumsum([0] + [len(rows) for rows in clusters[:-1]])
        self._alive = np.ones(len(clusters), bool)
        self._merged: list[tuple[int, int]] = []
        self._asleep = set(asleep)
        self._doubtful: set[int] = set()
        self._restless: set[int] = set()
        self._refusals: Counter[int] = Counter()
        proposing = list(active)
        self._slot: dict[int, int] = {}  # cluster -> its row in the tables
        self._slot_of: list[int] = []
        self._table = {n: np.zeros((0, len(clusters))) for n in (*FIELDS, *DERIVED)}
        self._proposes = np.zeros(0, bool)
        self._tired = np.zeros(0, bool)
        self._best = np.zeros(0, np.int64)
        self._best_cost = np.zeros(0)
        self._make_room(len(proposing) + 8)
        for index in proposing:
            self._proposes[self._profile(index)] = True
        self._find_best(np.flatnonzero(self._proposes))

    def active(self) -> list[int]:
        """The active clusters as they are now: nothing else can have changed."""
        return sorted(self._slot_of[s] for s in np.flatnonzero(self._proposes))

    def doubtful(self) -> set[int]:
        """The clusters that were turned down, now or earlier."""
        return (self._doubtful | self._asleep) & self.members.keys()

    def restless(self) -> set[int]:
        """Those that were turned down by a cluster that has grown since: they may ask it again."""
        return self._restless & self.members.keys()

    def nearest(self) -> tuple[int, int] | None:
        """The nearest pair that may join and has an active cluster, lower index first."""
        used = len(self._slot_of)
        asking = self._proposes[:used] & ~self._tired[:used]
        cost = np.where(asking, self._best_cost[:used], np.inf)
        if not used or not np.isfinite(cost.min()):
            return None
        pairs = [
            (min(a, b), max(a, b))
            for s in np.flatnonzero(cost == cost.min())
            for a, b in [(self._slot_of[s], int(self._best[s]))]
        ]
        return min(pairs)

    def compare(self, a: int, b: int) -> Comparison:
        """What clusters `a` and `b` are to each other."""
        row = self._profile(a)
        return Comparison(
            float(self._table["distance"][row, b]),
            float(self._table["cost"][row, b]),
            float(self._table["allowed"][row, b]),
            float(self._table["support"][row, b]),
        )

    def rival(self, a: int, b: int) -> tuple[float, float, bool]:
        """The nearest cluster to `a` that excludes `b`: cost, distance, whether `a` may join it."""
        first, second = self._profile(a), self._profile(b)
        blocked = self._table["blocked"]
        others = (blocked[second] > 0) & (blocked[first] == 0) & self._alive
        others &= np.isfinite(self._table["cost"][first])
        others[a] = False
        if not others.any():
            return np.inf, FAR, False
        c = int(np.argmin(np.where(others, self._table["cost"][first], np.inf)))
        return (
            float(self._table["cost"][first, c]),
            float(self._table["distance"][first, c]),
            bool(self._table["may"][first, c]),
        )

    def forbid(self, a: int, b: int) -> None:
        """Never propose this pair again in this decision."""
        for one, other in ((a, b), (b, a)):
            row = self._profile(one)
            self._table["refused"][row, other] = 1
            self._doubtful.add(one)
            self._refusals[one] += 1
            self._tired[row] = self._refusals[one] >= PATIENCE
            if not self._tired[row]:
                self._find_best([row])

    def merge(self, a: int, b: int) -> None:
        """Join `b` into `a`, the lower index; the union is active."""
        first, second = self._profile(a), self._profile(b)
        if {a, b} & (self._doubtful | self._asleep):
            self._doubtful.add(a)
        self._asleep -= {a, b}
        near = (self._table["may"][first] > 0) | (self._table["may"][second] > 0)
        woken = [index for index in sorted(self._asleep) if near[index]]
        for index in woken:
            self._wake(index, before=(float(self._table["cost"][first, b]), a, b))
        self._refusals[a], self._tired[first] = 0, False  # with more evidence it may ask anew
        self.members[a] = self.members[a] + self.members.pop(b)
        self._merged.append((a, b))
        self._alive[b] = False
        self._proposes[first], self._proposes[second] = True, False
        for name, join in FIELDS.items():
            values = self._table[name]
            values[first] = join(values[first], values[second])
            values[:, a] = join(values[:, a], values[:, b])
        # A cluster that was looked at late does not know who turned it down: those know.
        used = len(self._slot_of)
        refused = self._table["refused"]
        known = np.asarray(self._slot_of)
        refused[first, known] = np.maximum(refused[first, known], refused[:used, a])
        refused[:used, a] = refused[first, known]
        refused[first, a] = 1
        turned_down = {int(c) for c in np.flatnonzero(refused[first] > 0)} - {a, b}
        self._restless |= {a, *turned_down} if turned_down else set()
        self._measure(first, slice(None))
        self._measure(slice(0, used), a)
        stale = self._proposes[:used] & np.isin(self._best[:used], (a, b))
        stale[first] = True
        nearer = self._proposes[:used] & ~stale & (self._table["may"][:used, a] > 0)
        nearer &= (refused[:used, a] == 0) & (
            self._table["cost"][:used, a] < self._best_cost[:used]
        )
        self._best[:used][nearer] = a
        self._best_cost[:used][nearer] = self._table["cost"][:used, a][nearer]
        self._find_best(np.flatnonzero(stale))

    def _wake(self, index: int, before: tuple[float, int, int]) -> None:
        """Make a cluster active: who stood between it and another may be no more.

        What would have been proposed `before` a pair of this cost was as it had been when it was
        turned down in an earlier decision: it would have been again.
        """
        self._asleep.remove(index)
        self._doubtful.add(index)
        row = self._profile(index)
        self._proposes[row] = True
        may = (self._table["may"][row] > 0) & self._alive
        for other in map(int, np.flatnonzero(may)):
            cost = float(self._table["cost"][row, other])
            if (cost, min(index, other), max(index, other)) < before:
                self._table["refused"][row, other] = 1
                self._doubtful.add(other)
                if other in self._slot:
                    self._table["refused"][self._slot[other], index] = 1
                    self._find_best([self._slot[other]])
        self._find_best([row])

    def fresh_rows(self, a: int, b: int) -> list[int]:
        """Rows whose identity a merge of `a` and `b` would decide or change."""
        rows = self.members[a] + self.members[b]
        kept = self._gallery.survivor(rows)
        identities = [self._gallery.entries[r].identity for r in rows]
        return [r for r, i in zip(rows, identities, strict=True) if i is None or i != kept]

    def best(self, index: int) -> Verdict:
        """Why a cluster joined nobody."""
        row = self._profile(index)
        at = {name: values[row] for name, values in self._table.items()}
        open_to = (at["blocked"] == 0) & np.isfinite(at["cost"]) & self._alive
        open_to[index] = False
        if not open_to.any():
            return Verdict(None, None, None, None, None, "far")
        cost = np.where(open_to, at["cost"], np.inf)
        near = int(cost.argmin())
        cost[near] = np.inf
        second = int(cost.argmin()) if np.isfinite(cost.min()) else None
        distance, allowed = float(at["distance"][near]), float(at["allowed"][near])
        possible = max(self._settings.possible or 0.0, self._threshold)
        if distance >= allowed + possible - self._threshold:
            outcome = "far"
        elif distance >= allowed:
            outcome = "possible"
        elif at["shared"][near] < self._settings.min_support:
            outcome = "thin"
        else:
            outcome = "ambiguous"
        return Verdict(
            near,
            distance,
            None if second is None else float(at["distance"][second]),
            float(at["support"][near]),
            allowed,
            outcome,
        )

    def _profile(self, index: int) -> int:
        """The row of the tables that compares cluster `index` with all clusters."""
        if index in self._slot:
            return self._slot[index]
        row = len(self._slot_of)
        if row == len(self._proposes):
            self._make_room(2 * row)
        self._slot[index] = row
        self._slot_of.append(index)
        gallery, rows = self._gallery, self.members[index]
        weight = gallery.shared[rows].astype(np.float64)
        distance = gallery.distance[rows]
        to_rows = {
            "weighted": (weight * distance).sum(0),
            "weights": weight.sum(0),
            "worst": np.where(weight > 0, distance, 0).max(0),
            "shared": weight.max(0),
            "support": gallery.support[rows].max(0),
            "gap": gallery.gaps(rows, same_camera=self._settings.same_camera).min(0),
            "blocked": gallery.conflicts[rows].any(0).astype(np.float64),
        }
        for name, values in to_rows.items():
            self._table[name][row] = FIELDS[name].reduceat(values[self._order], self._starts)
        self._table["refused"][row] = 0
        self._table["refused"][row, self._slot_of[:row]] = self._table["refused"][:row, index]
        self._table["refused"][row, index] = 1
        for a, b in self._merged:
            for name, join in FIELDS.items():
                values = self._table[name][row]
                values[a] = join(values[a], values[b])
        self._measure(row, slice(None))
        return row

    def _make_room(self, slots: int) -> None:
        """Have tables of so many rows; what is in them stays."""
        more = slots - len(self._proposes)
        wide = np.zeros((more, len(self._alive)))
        self._table = {n: np.concatenate([t, wide]) for n, t in self._table.items()}
        self._proposes = np.concatenate([self._proposes, np.zeros(more, bool)])
        self._tired = np.concatenate([self._tired, np.zeros(more, bool)])
        self._best = np.concatenate([self._best, np.zeros(more, np.int64)])
        self._best_cost = np.concatenate([self._best_cost, np.full(more, np.inf)])

    def _measure(self, rows: int | slice, columns: int | slice) -> None:
        """Distance, cost and what is allowed, from the sums."""
        at = {name: self._table[name][rows, columns] for name in FIELDS}
        mean = at["weighted"] / np.maximum(at["weights"], 1e-9)
        distance = np.where(at["weights"] > 1e-9, (mean + at["worst"]) / 2, FAR)
        comparable = np.isfinite(at["gap"])
        price = self._settings.recency * np.log1p(np.where(comparable, at["gap"], 0.0))
        allowed = self._threshold - np.minimum(price, self._settings.recency_limit)
        may = (at["blocked"] == 0) & (at["shared"] >= self._settings.min_support)
        may &= (distance < allowed) & comparable
        self._table["distance"][rows, columns] = distance
        self._table["cost"][rows, columns] = np.where(comparable, distance + price, np.inf)
        self._table["allowed"][rows, columns] = allowed
        self._table["may"][rows, columns] = may

    def _find_best(self, slots: Iterable[int]) -> None:
        """Each slot's nearest cluster that it may join."""
        for s in slots:
            open_to = (self._table["may"][s] > 0) & (self._table["refused"][s] == 0) & self._alive
            cost = np.where(open_to, self._table["cost"][s], np.inf)
            self._best[s] = cost.argmin()
            self._best_cost[s] = cost[self._best[s]]
