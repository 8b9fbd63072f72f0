"""The cross-camera matcher: tracklets to identities, or an honest "cannot tell".

Constrained average-linkage clustering, run again at every decision over the
recent gallery. A cluster is an identity; the distance of two clusters is the
mean Eq. 15 distance of their tracklets, weighted by how much evidence each
pair shares. Two clusters may join if that mean is below the threshold, the
evidence suffices, and no pair of their tracklets is impossible in time and
space. The nearest clusters join first, so a wrong early merge is unlikely to
be preferred; when in doubt, nothing is linked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackers.allocator import IdAllocator
from trackers.constraints import Coordinates, conflict
from trackers.gallery import FAR, Gallery
from trackers.records import LinkDecision, Tracklet
from trackers.settings import MatchingSettings

MATCHER = "crosscam-average-linkage-1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one cluster and its nearest other: see `LinkDecision`."""

    other: int | None
    distance: float | None
    runner_up: float | None
    support: float | None
    outcome: str  # join | far | thin | ambiguous | alone


class CrossCameraMatcher:
    """Links tracklets to identities; holds a bounded window of them.

    Args:
        settings: tolerances; `threshold` and `gamma` must be resolved (not None).
        identities: where identity ids come from.
        places: map coordinates per camera id, metres, None where unknown.
    """

    def __init__(
        self,
        settings: MatchingSettings,
        identities: IdAllocator,
        places: Mapping[str, Coordinates | None],
    ) -> None:
        if settings.threshold is None or settings.gamma is None:
            raise ValueError("matching.threshold and matching.gamma must be resolved first")
        self._settings = settings
        self._threshold: float = settings.threshold
        self._identities = identities
        self._places = places
        self._gallery = Gallery(settings.gamma, settings.top_n)
        self._conflicts: NDArray[np.bool_] = np.zeros((0, 0), bool)
        self._waiting: dict[int, Tracklet] = {}

    def add(self, tracklet: Tracklet) -> None:
        """Hand in a finished track, or a later state of one handed in before."""
        self._waiting[tracklet.track] = tracklet

    def decide(self) -> list[LinkDecision]:
        """Decide about everything handed in since the last call.

        Returns:
            One decision per new track, and one `move` per track whose
            identity changed in the light of the new evidence.
        """
        if not self._waiting:
            return []
        waiting = [self._waiting[t] for t in sorted(self._waiting)]
        self._waiting = {}
        self._take_in(waiting)
        clusters = self._initial_clusters()
        view = ClusterView(self._gallery, self._conflicts, clusters)
        joined: dict[int, Verdict] = {}
        while (pair := view.nearest(self._threshold, self._settings.min_support)) is not None:
            verdict = self._judge(view, *pair)
            if verdict.outcome == "join":
                for row in view.fresh_rows(*pair):
                    joined[row] = verdict
                view.merge(*pair)
            else:
                view.forbid(*pair)
        decisions = self._settle(view, joined)
        self._forget(max(t.end for t in waiting))
        return decisions

    def _take_in(self, tracklets: Sequence[Tracklet]) -> None:
        rows = {e.tracklet.track: i for i, e in enumerate(self._gallery.entries)}
        new = [t for t in tracklets if t.track not in rows]
        for tracklet in tracklets:
            if tracklet.track in rows:
                self._gallery.replace(rows[tracklet.track], tracklet)
        self._gallery.add(new)
        self._update_conflicts({t.track for t in tracklets})

    def _update_conflicts(self, changed: set[int]) -> None:
        entries = self._gallery.entries
        size = len(entries)
        grown = np.zeros((size, size), bool)
        old = len(self._conflicts)
        grown[:old, :old] = self._conflicts
        for i, entry in enumerate(entries):
            if entry.tracklet.track not in changed:
                continue
            for j, other in enumerate(entries):
                if i != j:
                    reason = conflict(
                        entry.tracklet, other.tracklet, self._places, self._settings
                    )
                    grown[i, j] = grown[j, i] = reason is not None
        self._conflicts = grown

    def _initial_clusters(self) -> list[list[int]]:
        """One cluster per identity, one per new track, in order of their first row."""
        by_identity: dict[object, list[int]] = {}
        for row, entry in enumerate(self._gallery.entries):
            key = ("new", row) if entry.identity is None else ("known", entry.identity)
            by_identity.setdefault(key, []).append(row)
        return list(by_identity.values())

    def _judge(self, view: ClusterView, a: int, b: int) -> Verdict:
        """Nearest pair (a, b): join, unless a rival that excludes one is about as near."""
        distance, support = view.distance[a, b], view.support[a, b]
        rival = min(view.rival(a, b), view.rival(b, a))
        ambiguous = rival < self._threshold and rival - distance < self._settings.margin
        return Verdict(
            other=b,
            distance=float(distance),
            runner_up=None if rival >= FAR else float(rival),
            support=float(support),
            outcome="ambiguous" if ambiguous else "join",
        )

    def _settle(self, view: ClusterView, joined: Mapping[int, Verdict]) -> list[LinkDecision]:
        """Give every cluster its identity and write down why."""
        decisions = []
        for index, rows in view.clusters.items():
            known = sorted(
                {i for r in rows if (i := self._gallery.entries[r].identity) is not None}
            )
            identity = known[0] if known else self._identities.next_id()
            founded = bool(known)
            for row in rows:
                entry = self._gallery.entries[row]
                if entry.identity == identity:
                    continue
                if row in joined and founded:
                    action = "link" if entry.identity is None else "move"
                    decisions.append(self._decision(row, identity, action, joined[row], identity))
                else:
                    decisions.append(self._lonely(view, index, row, identity))
                    founded = True
                entry.identity = identity
        return decisions

    def _lonely(self, view: ClusterView, index: int, row: int, identity: int) -> LinkDecision:
        """A track that founds an identity: because it is like nobody, or because one cannot tell."""
        if self._gallery.entries[row].tracklet.embedding is None:
            verdict = Verdict(None, None, None, None, "alone")
        else:
            verdict = view.best(index, self._threshold, self._settings.min_support)
        candidate = None
        if verdict.other is not None and verdict.other in view.clusters:
            owner = self._gallery.entries[view.clusters[verdict.other][0]].identity
            candidate = owner
        action = "create" if verdict.outcome == "far" else "abstain"
        return self._decision(row, identity, action, verdict, candidate)

    def _decision(
        self, row: int, identity: int, action: str, verdict: Verdict, candidate: int | None
    ) -> LinkDecision:
        tracklet = self._gallery.entries[row].tracklet
        return LinkDecision(
            track=tracklet.track,
            identity=identity,
            action=action,
            time=tracklet.end,
            candidate=candidate,
            distance=verdict.distance,
            runner_up=verdict.runner_up,
            support=verdict.support,
            threshold=self._threshold,
            reason=explain(action, verdict, self._threshold),
            matcher=MATCHER,
        )

    def _forget(self, now: float) -> None:
        """Let go of what is older than the window or beyond the gallery's size."""
        entries = self._gallery.entries
        rows = [
            i for i, e in enumerate(entries) if e.tracklet.end >= now - self._settings.window
        ]
        rows = sorted(rows, key=lambda i: (entries[i].tracklet.end, i))[-self._settings.gallery :]
        if len(rows) < len(entries):
            rows.sort()
            self._conflicts = self._conflicts[np.ix_(rows, rows)]
            self._gallery.keep(rows)


class ClusterView:
    """Clusters of gallery rows with their pairwise mean distance; merges keep it up to date.

    Attributes:
        clusters: cluster index -> gallery rows; a merged cluster keeps the lower index.
        distance: (C, C) float64, mean Eq. 15 distance weighted by shared evidence.
        support: (C, C) float64, the largest raw support of a pair.
    """

    def __init__(
        self, gallery: Gallery, conflicts: NDArray[np.bool_], clusters: Sequence[list[int]]
    ) -> None:
        self.clusters = dict(enumerate(clusters))
        self._entries = gallery.entries
        member = np.zeros((len(clusters), len(gallery)))
        for index, rows in enumerate(clusters):
            member[index, rows] = 1
        weight = gallery.shared.astype(np.float64)
        self._weighted = member @ (weight * gallery.distance) @ member.T
        self._weights = member @ weight @ member.T
        self._blocked = (member @ conflicts.astype(np.float64) @ member.T) > 0
        self._shared = _pairwise_max(weight, clusters)
        self.support = _pairwise_max(gallery.support.astype(np.float64), clusters)
        self._refused = np.eye(len(clusters), dtype=bool)
        self._alive = np.ones(len(clusters), dtype=bool)
        self.distance = np.where(
            self._weights > 1e-9, self._weighted / np.maximum(self._weights, 1e-9), FAR
        )

    def nearest(self, threshold: float, min_support: float) -> tuple[int, int] | None:
        """The nearest pair that may join, lower index first."""
        allowed = ~(self._blocked | self._refused) & (self._shared >= min_support)
        cost = np.where(allowed, self.distance, np.inf)
        if not cost.size:
            return None
        a, b = np.unravel_index(int(np.argmin(cost)), cost.shape)
        if cost[a, b] >= threshold:
            return None
        return (int(a), int(b)) if a < b else (int(b), int(a))

    def rival(self, a: int, b: int) -> float:
        """Distance from `a` to the nearest cluster that it may join and that excludes `b`."""
        others = self._blocked[b] & ~self._blocked[a] & self._alive
        others[a] = False
        return float(self.distance[a][others].min(initial=FAR))

    def forbid(self, a: int, b: int) -> None:
        """Never propose this pair again in this decision."""
        self._refused[a, b] = self._refused[b, a] = True

    def merge(self, a: int, b: int) -> None:
        """Join `b` into `a`."""
        self.clusters[a] = self.clusters[a] + self.clusters.pop(b)
        for array in (self._weighted, self._weights):
            array[a] += array[b]
            array[:, a] += array[:, b]
        for array in (self.support, self._shared):
            array[a] = np.maximum(array[a], array[b])
            array[:, a] = array[a]
        self._blocked[a] |= self._blocked[b]
        self._blocked[:, a] = self._blocked[a]
        self._refused[a] = self._refused[a] | self._refused[b]
        self._refused[:, a] = self._refused[a]
        self._refused[b] = self._refused[:, b] = True
        self._alive[b] = False
        self._refused[a, a] = True
        mean = np.where(
            self._weights[a] > 1e-9, self._weighted[a] / np.maximum(self._weights[a], 1e-9), FAR
        )
        self.distance[a] = self.distance[:, a] = mean

    def fresh_rows(self, a: int, b: int) -> list[int]:
        """Rows whose identity a merge of `a` and `b` would decide or change."""
        known = [
            {e for r in self.clusters[c] if (e := self._entries[r].identity) is not None}
            for c in (a, b)
        ]
        kept = min(known[0] | known[1], default=None)
        rows = self.clusters[a] + self.clusters[b]
        return [
            r for r in rows if self._entries[r].identity is None or self._entries[r].identity != kept
        ]

    def best(self, index: int, threshold: float, min_support: float) -> Verdict:
        """Why a cluster joined nobody."""
        open_to = [c for c in self.clusters if c != index and not self._blocked[index, c]]
        if not open_to:
            return Verdict(None, None, None, None, "far")
        order = sorted(open_to, key=lambda c: (self.distance[index, c], c))
        near = order[0]
        runner_up = float(self.distance[index, order[1]]) if len(order) > 1 else None
        distance = float(self.distance[index, near])
        if distance >= threshold:
            outcome = "far"
        elif self._shared[index, near] < min_support:
            outcome = "thin"
        else:
            outcome = "ambiguous"
        return Verdict(near, distance, runner_up, float(self.support[index, near]), outcome)


def _pairwise_max(values: NDArray[np.float64], clusters: Sequence[list[int]]) -> NDArray[np.float64]:
    """(N, N) values and C clusters of rows -> (C, C) largest value between two clusters."""
    if not clusters:
        return np.zeros((0, 0))
    order = np.concatenate([np.asarray(rows) for rows in clusters])
    starts = np.cumsum([0] + [len(rows) for rows in clusters[:-1]])
    block = np.maximum.reduceat(values[np.ix_(order, order)], starts, axis=0)
    return np.asarray(np.maximum.reduceat(block, starts, axis=1))


def explain(action: str, verdict: Verdict, threshold: float) -> str:
    """One plain sentence for the ledger."""
    if verdict.outcome == "alone":
        return "no crop of this track was good enough to compare"
    if verdict.distance is None:
        return "nobody known could have been here at this time"
    numbers = f"distance {verdict.distance:.3f}, threshold {threshold:.3f}"
    if action in ("link", "move"):
        return f"looks alike: {numbers}"
    if verdict.outcome == "thin":
        return f"not enough in common to tell: {numbers}, support {verdict.support:.3f}"
    if verdict.outcome == "ambiguous":
        return f"two people look equally alike: {numbers}, next {verdict.runner_up or FAR:.3f}"
    return f"looks like nobody known: nearest {verdict.distance:.3f}, threshold {threshold:.3f}"
