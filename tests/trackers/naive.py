"""The matcher's linkage by loops over all pairs, with nothing remembered: the oracle."""

from __future__ import annotations

import math
from itertools import combinations

from trackers.clusters import Comparison, Verdict
from trackers.gallery import FAR


class NaiveClusters:
    """`trackers.clusters.Clusters`, every value worked out anew from the gallery's rows."""

    def __init__(self, gallery, clusters, active, settings, asleep=()):
        self._gallery, self._settings = gallery, settings
        self.members = dict(enumerate(clusters))
        self._refused: dict[int, set[int]] = {i: set() for i in self.members}

    def _seconds(self, i, j):
        a, b = (self._gallery.entries[r].tracklet for r in (i, j))
        if a.camera == b.camera and not self._settings.same_camera:
            return math.inf
        return max(0.0, max(a.start, b.start) - min(a.end, b.end))

    def _pair(self, a, b):
        g, s = self._gallery, self._settings
        pairs = [(i, j) for i in self.members[a] for j in self.members[b]]
        weights = [float(g.shared[p]) for p in pairs]
        distances = [float(g.distance[p]) for p in pairs]
        total = sum(weights)
        distance = FAR
        if total > 1e-9:
            mean = sum(w * d for w, d in zip(weights, distances, strict=True)) / total
            worst = max(d if w > 0 else 0.0 for w, d in zip(weights, distances, strict=True))
            distance = (mean + worst) / 2
        gap = min(self._seconds(*p) for p in pairs)
        price = s.recency * math.log1p(gap) if math.isfinite(gap) else 0.0
        return {
            "distance": distance,
            "cost": distance + price if math.isfinite(gap) else math.inf,
            "allowed": s.threshold - min(price, s.recency_limit),
            "support": max(float(g.support[p]) for p in pairs),
            "shared": max(weights),
            "blocked": any(bool(g.conflicts[p]) for p in pairs),
        }

    def _may(self, found):
        return (
            not found["blocked"]
            and math.isfinite(found["cost"])
            and found["shared"] >= self._settings.min_support
            and found["distance"] < found["allowed"]
        )

    def active(self):
        return sorted(self.members)

    def doubtful(self):
        return set()  # nothing is remembered: all is compared at every decision

    restless = doubtful

    def nearest(self):
        found = []
        for a, b in combinations(sorted(self.members), 2):
            pair = self._pair(a, b)
            if self._may(pair) and b not in self._refused[a]:
                found.append((pair["cost"], a, b))
        return min(found)[1:] if found else None

    def compare(self, a, b):
        pair = self._pair(a, b)
        return Comparison(pair["distance"], pair["cost"], pair["allowed"], pair["support"])

    def rival(self, a, b):
        excluded = [c for c in sorted(self.members) if c != a and self._pair(b, c)["blocked"]]
        pairs = [self._pair(a, c) for c in excluded]
        others = [p for p in pairs if not p["blocked"] and math.isfinite(p["cost"])]
        if not others:
            return math.inf, FAR, False
        near = min(others, key=lambda p: p["cost"])
        return near["cost"], near["distance"], self._may(near)

    def forbid(self, a, b):
        self._refused[a].add(b)
        self._refused[b].add(a)

    def merge(self, a, b):
        self.members[a] = self.members[a] + self.members.pop(b)
        self._refused[a] |= self._refused.pop(b)
        for c, refused in self._refused.items():
            if b in refused:
                refused.add(a)
            if c in self._refused[a]:
                refused.add(a)

    def fresh_rows(self, a, b):
        rows = self.members[a] + self.members[b]
        known = [self._gallery.entries[r].identity for r in rows]
        kept = min([i for i in known if i is not None], default=None)
        return [r for r, i in zip(rows, known, strict=True) if i is None or i != kept]

    def best(self, index):
        s = self._settings
        pairs = [(self._pair(index, c), c) for c in sorted(self.members) if c != index]
        pairs = [(p, c) for p, c in pairs if not p["blocked"] and math.isfinite(p["cost"])]
        if not pairs:
            return Verdict(None, None, None, None, None, "far")
        pairs.sort(key=lambda item: item[0]["cost"])
        near, other = pairs[0]
        band = max(s.possible or 0.0, s.threshold) - s.threshold
        if near["distance"] >= near["allowed"] + band:
            outcome = "far"
        elif near["distance"] >= near["allowed"]:
            outcome = "possible"
        else:
            outcome = "thin" if near["shared"] < s.min_support else "ambiguous"
        second = pairs[1][0]["distance"] if len(pairs) > 1 else None
        return Verdict(other, near["distance"], second, near["support"], near["allowed"], outcome)
