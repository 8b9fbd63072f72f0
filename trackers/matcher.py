"""The cross-camera matcher: tracklets to identities, or an honest "cannot tell".

Constrained agglomerative clustering, run again at every decision over the
recent gallery. A cluster is an identity; the distance of two clusters is
halfway between the mean Eq. 15 distance of their tracklets, weighted by how
much evidence each pair shares, and that of the least alike pair. (On held-out
Market-1501 people, each at its best threshold, that is a little better than
either and forgives a wrong threshold more: `benchmarks/market_links.py`.) Two clusters may
join if the distance is below the threshold, which sinks with the time between
them, the evidence suffices, and no pair of their tracklets is impossible in
time and space. The nearest join first; when in doubt, nothing is linked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trackers.allocator import IdAllocator
from trackers.constraints import Coordinates, conflict
from trackers.gallery import FAR, Gallery
from trackers.records import LinkDecision, Tracklet
from trackers.settings import MatchingSettings

MATCHER = "crosscam-linkage-1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one cluster and its nearest other: see `LinkDecision`."""

    other: int | None
    distance: float | None
    runner_up: float | None
    support: float | None
    allowed: float | None
    outcome: str  # join | far | possible | thin | ambiguous | alone


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
        view = ClusterView(self._gallery, self._conflicts, clusters, self._settings)
        joined: dict[int, Verdict] = {}
        refused: dict[int, Verdict] = {}
        while (pair := view.nearest()) is not None:
            verdict = self._judge(view, *pair)
            if verdict.outcome == "join":
                for row in view.fresh_rows(*pair):
                    joined[row] = verdict
                view.merge(*pair)
            else:
                for index, other in (pair, pair[::-1]):
                    refused.setdefault(index, replace(verdict, other=other))
                view.forbid(*pair)
        decisions = self._settle(view, joined, refused)
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
                    reason = conflict(entry.tracklet, other.tracklet, self._places, self._settings)
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
        rival = min(view.rival(a, b), view.rival(b, a), key=lambda r: r[0])
        near = rival[0] - view.cost[a, b] < self._settings.margin
        return Verdict(
            other=b,
            distance=float(view.distance[a, b]),
            runner_up=None if rival[1] >= FAR else rival[1],
            support=float(view.support[a, b]),
            allowed=float(view.allowed[a, b]),
            outcome="ambiguous" if near and rival[2] else "join",
        )

    def _settle(
        self, view: ClusterView, joined: Mapping[int, Verdict], refused: Mapping[int, Verdict]
    ) -> list[LinkDecision]:
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
                    verdict = refused.get(index) or self._lonely(view, index, row)
                    decisions.append(self._founding(view, row, identity, verdict))
                    founded = True
                entry.identity = identity
        return decisions

    def _lonely(self, view: ClusterView, index: int, row: int) -> Verdict:
        """Why a track joined nobody, though no rival was in the way."""
        if self._gallery.entries[row].tracklet.embedding is None:
            return Verdict(None, None, None, None, None, "alone")
        return view.best(index)

    def _founding(
        self, view: ClusterView, row: int, identity: int, verdict: Verdict
    ) -> LinkDecision:
        """A track that founds an identity: it is like nobody, or one cannot tell."""
        candidate = None
        if verdict.other is not None and verdict.other in view.clusters:
            candidate = self._gallery.entries[view.clusters[verdict.other][0]].identity
        if candidate is None and verdict.outcome in ("possible", "thin", "ambiguous"):
            # The other was not known yet: this track is the first of the two, not in doubt.
            verdict = Verdict(None, None, None, None, None, "far")
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
            threshold=self._threshold if verdict.allowed is None else verdict.allowed,
            reason=explain(action, verdict),
            matcher=MATCHER,
        )

    def _forget(self, now: float) -> None:
        """Let go of what is older than the window or beyond the gallery's size."""
        entries = self._gallery.entries
        rows = [i for i, e in enumerate(entries) if e.tracklet.end >= now - self._settings.window]
        rows = sorted(rows, key=lambda i: (entries[i].tracklet.end, i))[-self._settings.gallery :]
        if len(rows) < len(entries):
            rows.sort()
            self._conflicts = self._conflicts[np.ix_(rows, rows)]
            self._gallery.keep(rows)


class ClusterView:
    """Clusters of gallery rows with their pairwise mean distance; merges keep it up to date.

    Attributes:
        clusters: cluster index -> gallery rows; a merged cluster keeps the lower index.
        distance: (C, C) float64, half the mean Eq. 15 distance, weighted by shared evidence,
            and half the largest.
        cost: (C, C) float64, `distance` plus the price of the seconds between; what is nearest.
        allowed: (C, C) float64, the distance below which the two may join.
        support: (C, C) float64, the largest raw support of a pair.
    """

    def __init__(
        self,
        gallery: Gallery,
        conflicts: NDArray[np.bool_],
        clusters: Sequence[list[int]],
        settings: MatchingSettings,
    ) -> None:
        self._settings = settings
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
        worst = np.where(weight > 0, gallery.distance, 0.0).astype(np.float64)
        self._worst = _pairwise_max(worst, clusters)
        self._gap = -_pairwise_max(-_gaps(gallery, settings.same_camera), clusters)
        self._measure()

    def _measure(self) -> None:
        mean = self._weighted / np.maximum(self._weights, 1e-9)
        self.distance = np.where(self._weights > 1e-9, (mean + self._worst) / 2, FAR)
        comparable = np.isfinite(self._gap)
        price = self._settings.recency * np.log1p(np.where(comparable, self._gap, 0.0))
        self.cost = np.where(comparable, self.distance + price, np.inf)
        threshold = self._settings.threshold or 0.0
        self.allowed = threshold - np.minimum(price, self._settings.recency_limit)

    def nearest(self) -> tuple[int, int] | None:
        """The nearest pair that may join, lower index first."""
        may = self._may_join() & ~self._refused
        if not may.any():
            return None
        cost = np.where(may, self.cost, np.inf)
        a, b = np.unravel_index(int(np.argmin(cost)), cost.shape)
        return (int(a), int(b)) if a < b else (int(b), int(a))

    def _may_join(self) -> NDArray[np.bool_]:
        return np.asarray(
            ~self._blocked
            & (self._shared >= self._settings.min_support)
            & (self.distance < self.allowed)
            & np.isfinite(self._gap)
        )

    def rival(self, a: int, b: int) -> tuple[float, float, bool]:
        """The nearest cluster to `a` that excludes `b`: cost, distance, whether `a` may join it."""
        others = self._blocked[b] & ~self._blocked[a] & self._alive
        others[a] = False
        if not others.any():
            return np.inf, FAR, False
        cost = np.where(others, self.cost[a], np.inf)
        c = int(np.argmin(cost))
        return float(cost[c]), float(self.distance[a, c]), bool(self._may_join()[a, c])

    def forbid(self, a: int, b: int) -> None:
        """Never propose this pair again in this decision."""
        self._refused[a, b] = self._refused[b, a] = True

    def merge(self, a: int, b: int) -> None:
        """Join `b` into `a`."""
        self.clusters[a] = self.clusters[a] + self.clusters.pop(b)
        for array in (self._weighted, self._weights):
            array[a] += array[b]
            array[:, a] += array[:, b]
        for array in (self.support, self._shared, self._worst):
            array[a] = np.maximum(array[a], array[b])
            array[:, a] = array[a]
        self._blocked[a] |= self._blocked[b]
        self._blocked[:, a] = self._blocked[a]
        self._refused[a] = self._refused[a] | self._refused[b]
        self._refused[:, a] = self._refused[a]
        self._refused[b] = self._refused[:, b] = True
        self._alive[b] = False
        self._refused[a, a] = True
        self._gap[a] = np.minimum(self._gap[a], self._gap[b])
        self._gap[:, a] = self._gap[a]
        self._measure()

    def fresh_rows(self, a: int, b: int) -> list[int]:
        """Rows whose identity a merge of `a` and `b` would decide or change."""
        known = [
            {e for r in self.clusters[c] if (e := self._entries[r].identity) is not None}
            for c in (a, b)
        ]
        kept = min(known[0] | known[1], default=None)
        rows = self.clusters[a] + self.clusters[b]
        return [
            r
            for r in rows
            if self._entries[r].identity is None or self._entries[r].identity != kept
        ]

    def best(self, index: int) -> Verdict:
        """Why a cluster joined nobody."""
        possible = ~self._blocked[index] & np.isfinite(self._gap[index])
        open_to = [c for c in self.clusters if c != index and possible[c]]
        if not open_to:
            return Verdict(None, None, None, None, None, "far")
        order = sorted(open_to, key=lambda c: (self.cost[index, c], c))
        near = order[0]
        distance, allowed = float(self.distance[index, near]), float(self.allowed[index, near])
        possible = max(self._settings.possible or 0.0, self._settings.threshold or 0.0)
        if distance >= allowed + possible - (self._settings.threshold or 0.0):
            outcome = "far"
        elif distance >= allowed:
            outcome = "possible"
        elif self._shared[index, near] < self._settings.min_support:
            outcome = "thin"
        else:
            outcome = "ambiguous"
        return Verdict(
            near,
            distance,
            float(self.distance[index, order[1]]) if len(order) > 1 else None,
            float(self.support[index, near]),
            allowed,
            outcome,
        )


def _gaps(gallery: Gallery, same_camera: bool) -> NDArray[np.float64]:
    """Seconds between every two tracklets, 0 where they overlap: (N, N).

    Infinite for two of one camera, unless they may be linked directly.
    """
    start = np.array([e.tracklet.start for e in gallery.entries])
    end = np.array([e.tracklet.end for e in gallery.entries])
    gap = np.maximum(start[:, None], start[None]) - np.minimum(end[:, None], end[None])
    gap = np.maximum(gap, 0.0)
    if not same_camera:
        cameras = np.array([e.tracklet.camera for e in gallery.entries])
        gap[cameras[:, None] == cameras[None]] = np.inf
    return np.asarray(gap)


def _pairwise_max(
    values: NDArray[np.float64], clusters: Sequence[list[int]]
) -> NDArray[np.float64]:
    """(N, N) values and C clusters of rows -> (C, C) largest value between two clusters."""
    if not clusters:
        return np.zeros((0, 0))
    order = np.concatenate([np.asarray(rows) for rows in clusters])
    starts = np.cumsum([0] + [len(rows) for rows in clusters[:-1]])
    block = np.maximum.reduceat(values[np.ix_(order, order)], starts, axis=0)
    return np.asarray(np.maximum.reduceat(block, starts, axis=1))


def explain(action: str, verdict: Verdict) -> str:
    """One plain sentence for the ledger."""
    if verdict.outcome == "alone":
        return "no crop of this track was good enough to compare"
    if verdict.distance is None or verdict.allowed is None:
        return "nobody known so far could be this person"
    numbers = f"distance {verdict.distance:.3f}, allowed {verdict.allowed:.3f}"
    if action in ("link", "move"):
        return f"looks alike: {numbers}"
    if verdict.outcome == "thin":
        return f"not enough in common to tell: {numbers}, support {verdict.support:.3f}"
    if verdict.outcome == "possible":
        return f"alike, but not enough to link: {numbers}"
    if verdict.outcome == "ambiguous":
        rival = "" if verdict.runner_up is None else f", the other {verdict.runner_up:.3f}"
        return f"two people look equally alike: {numbers}{rival}"
    return f"looks like nobody known: nearest {verdict.distance:.3f}, allowed {verdict.allowed:.3f}"
