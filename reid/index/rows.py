"""Where a gallery's rows lie: unit vectors in chunks that never move, so a search may go on.

A row is U = concat_k(q_k f_k / |f_k|) divided by its length, which is |q|: so
half precision spends its bits on the direction, however small the qualities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reid.distances import TINY, gram
from reid.records import PartEmbeddings

SMALLEST_CHUNK = 1024
LARGEST_CHUNK = 262_144  # a larger `add` gets a chunk of its own size


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """N embeddings in the form in which Eqs. 2 and 15 are cheap, float32.

    Attributes:
        unit: (N, K*d), U / |U|; zeros where all qualities are zero.
        share: (N, K), q / |q|: Eq. 2 is 1 - (unit_p . unit_g) / (share_p . share_g).
        norm: (N,), |U| = |q|; only the support needs it.
        overall: (N, K, d), g~_k over the length of the image's longest: a cosine does not see it.
    """

    unit: Tensor
    share: Tensor
    norm: Tensor
    overall: Tensor

    def __len__(self) -> int:
        return len(self.norm)

    def __getitem__(self, rows: slice) -> Units:
        return Units(self.unit[rows], self.share[rows], self.norm[rows], self.overall[rows])

    @staticmethod
    def of(embeddings: PartEmbeddings, device: str = "cpu") -> Units:
        """Normalise embeddings."""
        parts, overall, quality = (
            torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)).to(device)
            for a in (embeddings.parts, embeddings.global_parts, embeddings.quality)
        )
        norm = quality.norm(dim=1)
        share = quality / norm.clamp_min(TINY)[:, None]
        unit = (F.normalize(parts, dim=-1) * share[..., None]).flatten(1)
        longest = overall.norm(dim=-1).amax(1).clamp_min(TINY)
        return Units(unit, share, norm, overall / longest[:, None, None])


def check_values(embeddings: PartEmbeddings) -> None:
    """Refuse what would compare as anything.

    Raises:
        ValueError: if a value is NaN or infinite, or a quality negative; names the row.
    """
    good = np.asarray((embeddings.quality >= 0).all(1))
    for values in (embeddings.parts, embeddings.global_parts, embeddings.quality):
        good &= np.isfinite(values).all(tuple(range(1, values.ndim)))
    if not good.all():
        raise ValueError(
            f"embedding {np.argmin(good)} of {len(good)} holds NaN, infinity or a negative quality"
        )


class Chunk:
    """Up to `capacity` rows, filled from the front; `filled` grows after the rows are written."""

    def __init__(self, start: int, capacity: int, like: Units, exact: bool, overall: bool) -> None:
        device, width = like.unit.device, like.unit.shape[1]
        k = like.share.shape[1]
        half = torch.float16
        self.start, self.capacity, self.filled, self.removed = start, capacity, 0, 0
        self.scan = torch.empty(capacity, width, dtype=half, device=device)
        self.unit = torch.empty(capacity, width, device=device) if exact else self.scan
        self.share = torch.empty(capacity, k, device=device)
        self.norm = torch.empty(capacity, device=device)
        self.dead = torch.zeros(capacity, dtype=torch.bool, device=device)
        self.overall = self.gram = None
        if overall:
            kind = torch.float32 if exact else half
            shape = (capacity, *like.overall.shape[1:])
            self.overall = torch.empty(shape, dtype=kind, device=device)
            self.gram = torch.empty(capacity, k, k, device=device)

    def append(self, units: Units) -> None:
        """Write rows behind the last one, then let searches see them."""
        place = slice(self.filled, self.filled + len(units))
        self.scan[place] = units.unit
        if self.unit is not self.scan:
            self.unit[place] = units.unit
        self.share[place] = units.share
        self.norm[place] = units.norm
        if self.overall is not None and self.gram is not None:
            self.overall[place] = units.overall
            self.gram[place] = gram(self.overall[place].float())
        self.filled = place.stop

    def erase(self, rows: Tensor) -> None:
        """Forget rows (counted from this chunk's first): their vectors are overwritten."""
        self.removed += int((~self.dead[rows]).sum())
        self.dead[rows] = True
        for values in (self.scan, self.unit, self.share, self.norm, self.overall, self.gram):
            if values is not None:
                values[rows] = 0


class Rows:
    """All chunks of one gallery. One writer; readers work on a snapshot (`parts`).

    Args:
        exact: keep float32 rows beside the half precision that a scan reads.
        overall: keep the global parts and their Gram matrices (Eq. 15).
        capacity: rows of the first chunk: one chunk is fastest.
    """

    def __init__(self, exact: bool, overall: bool, capacity: int) -> None:
        self._exact, self._overall, self._capacity = exact, overall, capacity
        self._chunks: tuple[Chunk, ...] = ()

    @property
    def total(self) -> int:
        """Rows ever added."""
        return self._chunks[-1].start + self._chunks[-1].filled if self._chunks else 0

    @property
    def alive(self) -> int:
        """Rows that were not removed."""
        return self.total - sum(c.removed for c in self._chunks)

    def append(self, units: Units, coming: int = 0) -> NDArray[np.int64]:
        """Add rows, of `coming` that will follow in all; their numbers, which are never reused."""
        first, done = self.total, 0
        while done < len(units):
            last = self._chunks[-1] if self._chunks else None
            if last is None or last.filled == last.capacity:
                total, left = self.total, max(len(units), coming) - done
                wanted = self._capacity if last is None else min(total, LARGEST_CHUNK)
                size = max(left, wanted, SMALLEST_CHUNK)
                last = Chunk(total, size, units, self._exact, self._overall)
                self._chunks = (*self._chunks, last)
            step = min(len(units) - done, last.capacity - last.filled)
            last.append(units[done : done + step])
            done += step
        return np.arange(first, first + len(units))

    def erase(self, rows: NDArray[np.int64]) -> None:
        """Forget rows by number."""
        for chunk, _, inside in self._split(self.snapshot(), rows):
            chunk.erase(torch.from_numpy(inside).to(chunk.dead.device))

    @staticmethod
    def removed(parts: Sequence[tuple[Chunk, int]]) -> NDArray[np.int64]:
        """Numbers of the rows that were removed, ascending."""
        found = [
            chunk.start + chunk.dead[:filled].nonzero()[:, 0].cpu().numpy()
            for chunk, filled in parts
            if chunk.removed
        ]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def snapshot(self) -> list[tuple[Chunk, int]]:
        """The chunks and how many rows of each may be read."""
        return [(chunk, chunk.filled) for chunk in self._chunks]

    def gather(
        self, parts: Sequence[tuple[Chunk, int]], rows: NDArray[np.int64], *names: str
    ) -> list[Tensor]:
        """Rows by number, float32: one tensor (M, ...) per name of a chunk's tensor."""
        found: list[Tensor] = []
        for chunk, places, inside in self._split(parts, rows):
            index = torch.from_numpy(inside).to(chunk.norm.device)
            values = [getattr(chunk, name)[index].float() for name in names]
            if len(inside) == len(rows):
                return values
            if not found:
                found = [v.new_empty(len(rows), *v.shape[1:]) for v in values]
            where = torch.from_numpy(places).to(chunk.norm.device)
            for out, value in zip(found, values, strict=True):
                out[where] = value
        return found

    def living(
        self, parts: Sequence[tuple[Chunk, int]], probe: NDArray[np.int64], row: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs, each (M,), whose row was not removed meanwhile."""
        if not len(row) or not any(chunk.removed for chunk, _ in parts):
            return probe, row
        kept = self.gather(parts, row, "dead")[0].cpu().numpy() == 0
        return probe[kept], row[kept]

    @staticmethod
    def _split(
        parts: Sequence[tuple[Chunk, int]], rows: NDArray[np.int64]
    ) -> Iterator[tuple[Chunk, NDArray[np.int64], NDArray[np.int64]]]:
        """Each chunk that holds some of `rows`: their places in `rows`, their rows inside it."""
        for chunk, filled in parts:
            inside = rows - chunk.start
            if len(parts) > 1:
                places = np.flatnonzero((inside >= 0) & (inside < filled))
            else:
                places = np.arange(len(rows))
            if len(places):
                yield chunk, places, inside[places]
