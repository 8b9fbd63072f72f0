"""The matcher's working memory: recent tracklets and how far apart every two of them are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reid.distances import part_distance, rescore, tensors
from reid.records import PartEmbeddings, check_same_model
from trackers.records import Tracklet

FAR = 2.0  # the largest cosine distance: between tracks of which one has no embedding


@dataclass(slots=True)
class Entry:
    """A tracklet in the gallery and the identity it has so far (None: new)."""

    tracklet: Tracklet
    identity: int | None


class Gallery:
    """Tracklets with their pairwise Eq. 15 distance, support and shared-evidence share.

    Arrays of the N entries, all (N, N): `distance` float32, `support` float32
    (sum_k q_k^p q_k^g) and `shared` float32 (cosine of the two quality vectors).
    """

    def __init__(self, gamma: float, top_n: int) -> None:
        self.entries: list[Entry] = []
        self.distance: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.support: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.shared: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._gamma, self._top_n = gamma, top_n

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, tracklets: Sequence[Tracklet]) -> None:
        """Append tracklets and measure them against everything, two-stage as in Sec. III-D."""
        first = len(self.entries)
        self.entries += [Entry(t, None) for t in tracklets]
        self._grow(len(self.entries))
        self.measure(range(first, len(self.entries)))

    def replace(self, row: int, tracklet: Tracklet) -> None:
        """Put a later state of the same track in its place."""
        self.entries[row].tracklet = tracklet
        self.measure([row])

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows."""
        index = np.asarray(rows, np.int64)
        self.entries = [self.entries[r] for r in rows]
        for name in ("distance", "support", "shared"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[np.ix_(index, index)]))

    def measure(self, rows: Sequence[int]) -> None:
        """Fill the rows and columns of the three arrays for `rows`."""
        embedded = [i for i, e in enumerate(self.entries) if _usable(e.tracklet.embedding)]
        known = set(embedded)
        probes = [r for r in rows if r in known]
        for array, value in ((self.distance, FAR), (self.support, 0.0), (self.shared, 0.0)):
            array[list(rows), :] = value
            array[:, list(rows)] = value
        if not probes:
            return
        items = [self._embedding(i) for i in embedded]
        check_same_model(*items)
        gallery = tensors(PartEmbeddings.concatenate(items))
        position = {row: i for i, row in enumerate(embedded)}
        chosen = torch.tensor([position[r] for r in probes])
        probe = tuple(t[chosen] for t in gallery)
        distance = self._two_stage(probe, gallery, chosen)
        support = probe[2] @ gallery[2].T
        shared = support / (probe[2].norm(dim=1)[:, None] * gallery[2].norm(dim=1)[None]).clamp_min(
            1e-12
        )
        cells = np.ix_(probes, embedded)
        for array, block in (
            (self.distance, distance),
            (self.support, support),
            (self.shared, shared),
        ):
            values = block.numpy()
            array[cells] = values
            array[np.ix_(embedded, probes)] = values.T
        self._symmetrise(probes)

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

    def _symmetrise(self, rows: Sequence[int]) -> None:
        """Two new rows may have ranked each other differently: both keep the nearer value."""
        cells = np.ix_(rows, rows)
        block = self.distance[cells]
        self.distance[cells] = np.minimum(block, block.T)

    def _embedding(self, row: int) -> PartEmbeddings:
        embedding = self.entries[row].tracklet.embedding
        if embedding is None:
            raise ValueError(f"track {self.entries[row].tracklet.track} has no embedding")
        return embedding

    def _grow(self, size: int) -> None:
        for name, value in (("distance", FAR), ("support", 0.0), ("shared", 0.0)):
            old = getattr(self, name)
            new = np.full((size, size), value, np.float32)
            new[: len(old), : len(old)] = old
            setattr(self, name, new)


def _usable(embedding: PartEmbeddings | None) -> bool:
    """False for none and for NaN or infinity, which would otherwise compare as anything."""
    return embedding is not None and all(
        bool(np.isfinite(a).all())
        for a in (embedding.parts, embedding.global_parts, embedding.quality)
    )
