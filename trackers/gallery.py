"""The matcher's working memory: recent tracklets and how far apart every two of them are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from reid.distances import part_distance, rescore
from reid.records import PartEmbeddings, check_same_model
from trackers.constraints import Coordinates, conflict
from trackers.records import Tracklet, TrackPoint
from trackers.settings import MatchingSettings
from trackers.square import Square
from trackers.whereabouts import Whereabouts

FAR = 2.0  # the largest cosine distance: between tracks of which one has no embedding
AT_ONCE = 64  # probes whose distances to the whole gallery are held at a time


@dataclass(slots=True)
class Entry:
    """A tracklet in the gallery and the identity it has so far (None: new)."""

    tracklet: Tracklet
    identity: int | None


class Gallery:
    """Tracklets and what every two of them are to each other.

    Arrays of the N entries, all (N, N): `distance` float32 (Eq. 15), `support` float32
    (sum_k q_k^p q_k^g), `shared` float32 (cosine of the two quality vectors) and `conflicts` bool
    (cannot be one person, whatever they look like).

    Args:
        settings: with gamma.
        places: map coordinates per camera id, metres, None where unknown.
    """

    def __init__(
        self, settings: MatchingSettings, places: Mapping[str, Coordinates | None] | None = None
    ) -> None:
        if settings.gamma is None:
            raise ValueError("matching.gamma must be resolved first")
        self.entries: list[Entry] = []
        self._settings, self._places = settings, places or {}
        self._gamma, self._top_n = settings.gamma, settings.top_n
        self._distance, self._support = Square(np.float32, FAR), Square(np.float32, 0)
        self._shared, self._conflicts = Square(np.float32, 0), Square(np.bool_, 0)
        self._squares = (self._distance, self._support, self._shared, self._conflicts)
        self._whereabouts = Whereabouts(self._places, settings)
        self._vectors = Vectors()
        self.confirmed: frozenset[int] = frozenset()  # identities that keep their id
        self._parted: set[int] = set()  # tracks in the pairs of `part`

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def distance(self) -> NDArray[np.float32]:
        """(N, N) Eq. 15; `FAR` to itself and where either has no embedding."""
        return self._distance.values

    @property
    def support(self) -> NDArray[np.float32]:
        """(N, N) sum_k q_k^p q_k^g."""
        return self._support.values

    @property
    def shared(self) -> NDArray[np.float32]:
        """(N, N) cosine of the two quality vectors."""
        return self._shared.values

    @property
    def conflicts(self) -> NDArray[np.bool_]:
        """(N, N) True where two cannot be one person."""
        return self._conflicts.values

    def gaps(self, rows: Sequence[int], *, same_camera: bool) -> NDArray[np.float64]:
        """Seconds from each of R rows to every entry, 0 where they overlap: (R, N).

        Infinite for two of one camera, unless `same_camera`.
        """
        return self._whereabouts.gaps(rows, same_camera=same_camera)

    def take_in(self, tracklets: Sequence[Tracklet]) -> list[int]:
        """Add tracklets, or later states of those held, and measure them against everything.

        Returns:
            Their rows.

        Raises:
            FingerprintMismatch: if an embedding comes from another model than the others.
        """
        known = {e.tracklet.track: i for i, e in enumerate(self.entries)}
        usable = [_usable(t.embedding) for t in tracklets]
        check_same_model(*self._vectors.sample(), *(t.embedding for t in tracklets if t.embedding))
        rows = []
        for tracklet, good in zip(tracklets, usable, strict=True):
            row = known.get(tracklet.track, len(self.entries))
            if row == len(self.entries):
                self.entries.append(Entry(tracklet, None))
            self.entries[row].tracklet = tracklet
            self._vectors.put(row, tracklet.embedding if good else None)
            self._whereabouts.put(row, tracklet)
            rows.append(row)
        for square in self._squares:
            square.grow(len(self.entries))
        self._measure(rows)
        for row in rows:
            self.conflicts[row] = self.conflicts[:, row] = self._whereabouts.conflicts(row)
        return rows

    def prolong(self, points: Mapping[int, TrackPoint]) -> list[int]:
        """Tracks that are still in view: so far they have come.

        Args:
            points: where each was seen last, by track; those not held are passed over.

        Returns:
            The rows that are to others what they were not before, in time or place.
        """
        rows = [
            row
            for row, entry in enumerate(self.entries)
            if (point := points.get(entry.tracklet.track)) and point.time > entry.tracklet.end
        ]
        before = [self._whereabouts.relations(row) for row in rows]
        for row in rows:
            entry = self.entries[row]
            point = points[entry.tracklet.track]
            entry.tracklet = replace(entry.tracklet, end=point.time, last=point)
            self._whereabouts.put(row, entry.tracklet)
        changed = []
        for row, old in zip(rows, before, strict=True):
            new = self._whereabouts.relations(row)
            if any((a != b).any() for a, b in zip(old, new, strict=True)):
                self.conflicts[row] = self.conflicts[:, row] = new[0]
                changed.append(row)
        return changed

    def against(self, row: int) -> list[int]:
        """The rows that cannot be the same person as this one."""
        return [int(other) for other in np.flatnonzero(self.conflicts[row])]

    def why_not(self, row: int, other: int) -> str | None:
        """Why two rows cannot be one person, by time and place alone; None if they can."""
        a, b = (self.entries[r].tracklet for r in (row, other))
        return conflict(a, b, self._places, self._settings)

    def rows_of(self, identities: Collection[int | None]) -> list[int]:
        """The rows of some identities."""
        return [row for row, entry in enumerate(self.entries) if entry.identity in identities]

    def near(self, rows: Sequence[int]) -> set[int]:
        """Identities with a track that is near enough to one of these rows to be linked to it.

        Two clusters are never nearer than the nearest of their tracks: none is missed.
        """
        limit = (self._settings.threshold or 0.0) + 1e-6
        close = (self.distance[rows] < limit).any(axis=0)
        found = (self.entries[row].identity for row in np.flatnonzero(close))
        return {identity for identity in found if identity is not None}

    def part(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        """People's word: no row of one side of a pair is the same person as one of the other.

        Replaces what was said before; time and place still count.
        """
        rows = {e.tracklet.track: i for i, e in enumerate(self.entries)}
        for row in (rows[track] for track in self._parted if track in rows):
            self.conflicts[row] = self.conflicts[:, row] = self._whereabouts.conflicts(row)
        self._parted = set()
        for left, right in pairs:
            self.conflicts[np.ix_(left, right)] = True
            self.conflicts[np.ix_(right, left)] = True
            self._parted |= {self.entries[row].tracklet.track for row in (*left, *right)}

    def survivor(self, rows: Sequence[int]) -> int | None:
        """The identity that rows go on with together: the lowest, a confirmed one first."""
        known = {i for r in rows if (i := self.entries[r].identity) is not None}
        return min(known & self.confirmed or known, default=None)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows; `rows` ascend."""
        self.entries = [self.entries[r] for r in rows]
        for square in self._squares:
            square.keep(rows)
        self._vectors.keep(rows)
        self._whereabouts.keep(rows)

    def _measure(self, rows: Sequence[int]) -> None:
        """Fill the rows and columns of distance, support and shared evidence."""
        for square, value in ((self._distance, FAR), (self._support, 0), (self._shared, 0)):
            square.values[rows, :] = value
            square.values[:, rows] = value
        usable, gallery = self._vectors.usable()
        position = np.full(len(self.entries), -1)
        position[usable] = np.arange(len(usable))
        probes = np.array([r for r in rows if position[r] >= 0], np.int64)
        for some in np.array_split(probes, max(1, -(-len(probes) // AT_ONCE))):
            if len(some):
                self._measure_some(some, torch.from_numpy(position[some]), usable, gallery)
        if len(probes):
            # Two new rows may have ranked each other differently: both keep the nearer value.
            cells = np.ix_(probes, probes)
            block = self.distance[cells]
            self.distance[cells] = np.minimum(block, block.T)

    def _measure_some(
        self,
        rows: NDArray[np.int64],
        own: torch.Tensor,
        usable: NDArray[np.int64],
        gallery: tuple[torch.Tensor, ...],
    ) -> None:
        probe = tuple(t[own] for t in gallery)
        support = probe[2] @ gallery[2].T
        length = probe[2].norm(dim=1)[:, None] * gallery[2].norm(dim=1)[None]
        cells, mirrored = np.ix_(rows, usable), np.ix_(usable, rows)
        for array, block in (
            (self.distance, self._two_stage(probe, gallery, own)),
            (self.support, support),
            (self.shared, support / length.clamp_min(1e-12)),
        ):
            array[cells] = block.numpy()
            array[mirrored] = block.numpy().T

    def _two_stage(
        self, probe: tuple[torch.Tensor, ...], gallery: tuple[torch.Tensor, ...], own: torch.Tensor
    ) -> torch.Tensor:
        """Eq. 2 over the gallery, Eq. 15 on the n nearest; the rest stay behind that block."""
        parts_p, global_p, quality_p = probe
        parts_g, global_g, quality_g = gallery
        distance = part_distance(parts_p, quality_p, parts_g, quality_g)
        distance[torch.arange(len(own)), own] = FAR
        n = min(self._top_n, distance.shape[1])
        nearest = distance.topk(n, dim=1, largest=False).indices
        for i, columns in enumerate(nearest):
            scores = rescore(
                parts_p[i : i + 1],
                global_p[i : i + 1],
                quality_p[i : i + 1],
                parts_g[columns],
                global_g[columns],
                quality_g[columns],
                self._gamma,
            )[0]
            distance[i].clamp_min_(float(scores.max()))
            distance[i, columns] = scores
        distance[torch.arange(len(own)), own] = FAR
        return distance.clamp(0, FAR)


class Vectors:
    """The entries' embeddings side by side, in arrays that grow now and then."""

    def __init__(self) -> None:
        self._arrays: tuple[NDArray[np.float32], ...] = ()
        self._usable = np.zeros(0, bool)
        self._sample: PartEmbeddings | None = None
        self._size = 0

    def sample(self) -> tuple[PartEmbeddings, ...]:
        """One of the embeddings, for its shape and model; none if there is none."""
        return () if self._sample is None else (self._sample,)

    def put(self, row: int, embedding: PartEmbeddings | None) -> None:
        """Set or add the row of one entry; None: it has no embedding."""
        self._size = max(self._size, row + 1)
        if embedding is not None and self._sample is None:
            self._sample = embedding
            values = (embedding.parts, embedding.global_parts, embedding.quality)
            self._arrays = tuple(np.zeros((0, *v.shape[1:]), np.float32) for v in values)
        room = len(self._usable)
        if self._size > room:
            self._usable = np.concatenate([self._usable, np.zeros(room + 16, bool)])
        if self._arrays and len(self._arrays[0]) < len(self._usable):
            more = len(self._usable) - len(self._arrays[0])
            self._arrays = tuple(
                np.concatenate([a, np.zeros((more, *a.shape[1:]), np.float32)])
                for a in self._arrays
            )
        self._usable[row] = embedding is not None
        if embedding is not None:
            values = (embedding.parts, embedding.global_parts, embedding.quality)
            for array, value in zip(self._arrays, values, strict=True):
                array[row] = value[0]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows."""
        index = np.asarray(rows, np.int64)
        self._size = len(index)
        for array in (self._usable, *self._arrays):
            array[: self._size] = array[index]

    def usable(self) -> tuple[NDArray[np.int64], tuple[torch.Tensor, ...]]:
        """The M rows that have an embedding; parts, global parts and quality of these."""
        rows = np.flatnonzero(self._usable[: self._size])
        if len(rows) == self._size:
            return rows, tuple(torch.from_numpy(a[: self._size]) for a in self._arrays)
        return rows, tuple(torch.from_numpy(a[rows]) for a in self._arrays)


def _usable(embedding: PartEmbeddings | None) -> bool:
    """False for none and for NaN or infinity, which would otherwise compare as anything."""
    return embedding is not None and all(
        bool(np.isfinite(a).all())
        for a in (embedding.parts, embedding.global_parts, embedding.quality)
    )
