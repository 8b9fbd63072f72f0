"""The cross-camera matcher: tracklets to identities, or an honest "cannot tell".

Constrained agglomerative clustering, gone on with at every decision over the
recent gallery. A cluster is an identity (`trackers.clusters` says how far apart
two are). Two clusters may join if their distance is below the threshold, which
sinks with the time between them, the evidence suffices, and no pair of their
tracklets is impossible in time and space. The nearest join first; when in
doubt, nothing is linked. What people decided meanwhile is heeded
(`trackers.people`), and what turns out to be impossible as tracks grow is taken
apart again (`trackers.splits`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from trackers.allocator import IdAllocator
from trackers.clusters import Clusters, Verdict
from trackers.constraints import Coordinates
from trackers.gallery import FAR, Gallery
from trackers.people import People
from trackers.records import LinkDecision, Rulings, Tracklet, TrackPoint
from trackers.settings import MatchingSettings
from trackers.splits import Splits

MATCHER = "crosscam-linkage-1"


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
        self._gallery = Gallery(settings, places)
        self._people = People()
        self._splits = Splits()
        self._waiting: dict[int, Tracklet] = {}
        self._open: Mapping[int, TrackPoint] = {}
        self._doubtful: set[int] = set()  # identities that were turned down by all they are like
        self._unsettled: set[int] = set()  # identities to look at again at the next decision

    def add(self, tracklet: Tracklet) -> None:
        """Hand in a finished track, or a later state of one handed in before."""
        self._waiting[tracklet.track] = tracklet

    def still_open(self, points: Mapping[int, TrackPoint]) -> None:
        """Say which of the tracks handed in are still in view, before every decision.

        Somebody who is still here is nowhere else. These are not forgotten, however long they stay.

        Args:
            points: where each was seen last, by track; replaces what was said before.
        """
        self._open = dict(points)

    def heed(self, rulings: Rulings) -> None:
        """Follow what people decided: from the next decision on nothing goes against it."""
        self._unsettled |= self._people.heed(rulings, self._gallery) | self._doubtful

    def decide(self) -> list[LinkDecision]:
        """Decide about everything handed in since the last call.

        Returns:
            One decision per new track, one `move` per track whose identity
            changed in the light of the new evidence, and one `create` per
            track that cannot be the person it was taken for.
        """
        changed, apart = self._news()
        if not changed:
            return []
        clusters = self._initial_clusters()
        active = self._active(clusters, changed)
        asleep = self._those(clusters, self._doubtful) - active
        view = Clusters(self._gallery, clusters, sorted(active), self._settings, asleep)
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
        decisions = self._settle(view, joined, refused, apart)
        self._doubtful = self._identities_of(view, view.doubtful())
        self._unsettled = self._identities_of(view, view.restless())
        self._forget(max(self._gallery.entries[row].tracklet.end for row in changed))
        return decisions

    def _news(self) -> tuple[set[int], dict[int, str]]:
        """Take in what is new: the rows concerned, and why some left their identity."""
        waiting = [self._waiting[t] for t in sorted(self._waiting)]
        self._waiting = {}
        # Whoever was kept from a link by a track may be free once that one is measured anew.
        measured = {t.track for t in waiting}
        self._stir(e.identity for e in self._gallery.entries if e.tracklet.track in measured)
        changed = set(self._gallery.take_in(waiting)) | set(self._gallery.prolong(self._open))
        self._people.apply(self._gallery)
        self._stir(self._gallery.entries[row].identity for row in changed)
        apart = self._splits.apply(self._gallery, sorted(changed), self._people)
        return changed | apart.keys(), apart

    def _stir(self, identities: Iterable[int | None]) -> None:
        """These change: look again at those that are near them and in doubt."""
        known = {identity for identity in identities if identity is not None}
        if known and self._doubtful:
            rows = self._gallery.rows_of(known)
            self._unsettled |= self._gallery.near(rows) & self._doubtful

    def _initial_clusters(self) -> list[list[int]]:
        """One cluster per identity, one per new track, in order of their first row."""
        by_identity: dict[object, list[int]] = {}
        for row, entry in enumerate(self._gallery.entries):
            key = ("new", row) if entry.identity is None else ("known", entry.identity)
            by_identity.setdefault(key, []).append(row)
        return list(by_identity.values())

    def _active(self, clusters: Sequence[list[int]], changed: set[int]) -> set[int]:
        """The clusters with new evidence, and those to look at again."""
        fresh = {i for i, rows in enumerate(clusters) if not changed.isdisjoint(rows)}
        return fresh | self._those(clusters, self._unsettled)

    def _those(self, clusters: Sequence[list[int]], identities: Collection[int]) -> set[int]:
        entries = self._gallery.entries
        return {i for i, rows in enumerate(clusters) if entries[rows[0]].identity in identities}

    def _identities_of(self, view: Clusters, indices: Collection[int]) -> set[int]:
        known = (self._gallery.entries[view.members[i][0]].identity for i in indices)
        return {identity for identity in known if identity is not None}

    def _judge(self, view: Clusters, a: int, b: int) -> Verdict:
        """Nearest pair (a, b): join, unless a rival that excludes one is about as near."""
        rival = min(view.rival(a, b), view.rival(b, a), key=lambda r: r[0])
        pair = view.compare(a, b)
        near = rival[0] - pair.cost < self._settings.margin
        return Verdict(
            other=b,
            distance=pair.distance,
            runner_up=None if rival[1] >= FAR else rival[1],
            support=pair.support,
            allowed=pair.allowed,
            outcome="ambiguous" if near and rival[2] else "join",
        )

    def _settle(
        self,
        view: Clusters,
        joined: Mapping[int, Verdict],
        refused: Mapping[int, Verdict],
        apart: Mapping[int, str],
    ) -> list[LinkDecision]:
        """Give every cluster its identity and write down why."""
        decisions = []
        for index in view.active():
            rows = view.members[index]
            known = self._gallery.survivor(rows)
            identity = self._identities.next_id() if known is None else known
            founded = known is not None
            for row in rows:
                entry = self._gallery.entries[row]
                if entry.identity == identity:
                    continue
                if row in joined and founded:
                    new = entry.identity is None and row not in apart
                    action = "link" if new else "move"
                    decisions.append(self._decision(row, identity, action, joined[row], identity))
                elif row in apart:
                    alone = Verdict(None, None, None, None, None, "far")
                    found = self._decision(row, identity, "create", alone, None)
                    decisions.append(replace(found, reason=apart[row]))
                    founded = True
                else:
                    verdict = refused.get(index) or self._lonely(view, index, row)
                    decisions.append(self._founding(view, row, identity, verdict))
                    founded = True
                if entry.identity is not None:
                    self._people.follow(entry.identity, identity)
                entry.identity = identity
        return decisions

    def _lonely(self, view: Clusters, index: int, row: int) -> Verdict:
        """Why a track joined nobody, though no rival was in the way."""
        if self._gallery.entries[row].tracklet.embedding is None:
            return Verdict(None, None, None, None, None, "alone")
        return view.best(index)

    def _founding(self, view: Clusters, row: int, identity: int, verdict: Verdict) -> LinkDecision:
        """A track that founds an identity: it is like nobody, or one cannot tell."""
        candidate = None
        if verdict.other is not None and verdict.other in view.members:
            candidate = self._gallery.entries[view.members[verdict.other][0]].identity
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
        """Let go of what is older than the window or beyond the gallery's size.

        A full gallery loses a twentieth at once: closing its ranks costs the more, the more it
        holds. An identity that loses a tracklet is looked at again, and so are those in doubt near
        it: that one may have been what kept it from another.
        """
        entries, most = self._gallery.entries, self._settings.gallery
        ended = [i for i, e in enumerate(entries) if e.tracklet.track not in self._open]
        gone = {i for i in ended if entries[i].tracklet.end < now - self._settings.window}
        surplus = len(entries) - len(gone) - most
        if surplus > 0:
            oldest = sorted(set(ended) - gone, key=lambda i: (entries[i].tracklet.end, i))
            gone |= set(oldest[: surplus + most // 20])
        if gone:
            left = {identity for i in gone if (identity := entries[i].identity) is not None}
            self._stir(left)
            self._unsettled |= left
            self._gallery.keep([i for i in range(len(entries)) if i not in gone])


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
