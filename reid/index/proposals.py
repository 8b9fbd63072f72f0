"""Candidates for a large gallery from FAISS: 4-bit product codes, all of them scanned.

Why a flat scan of codes and no inverted lists: a half-hidden probe has no
place among cells that whole people made, and 100 bytes a row are scanned in
the time that 20 ms leaves. It also trains in seconds and grows cheaply.

Two things make the codes fit Eq. 2:

- Part features lie in few directions. Each part is turned to its own principal
  axes and the first `dims` are kept; a probe's weights act on parts, so this
  holds whatever is hidden. A strong axis shares its code with a weak one.
- Eq. 2 is a ratio, and FAISS ranks by inner products. For a level t,
  unit_p . unit_g - t * share_p . share_g is positive just where the similarity
  is above t, and it is an inner product: the shares are coded beside the rest.
  A sample of the gallery says which t leaves as many as are wanted.

The flat scan is FAISS's inverted-list index with one list: unlike its flat one
it takes a selector of rows, and drops a row without packing all codes anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.distances import TINY
from reid.index.rows import Rows, Units
from reid.index.search import Snapshot, product

FEWEST = 1000  # rows to learn from
STEP = 16_384  # rows coded at once
LEVELS = 4096  # rows that a probe's level is guessed from
FEWEST_LEVELS = 256  # of them that must be allowed; else all speak for the allowed ones
PAIR = 2  # numbers under one 4-bit code

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the codes are made and how many candidates they propose.

    Attributes:
        dims: directions kept of each part, an even number; a row's code takes K * (dims / 4 + 1/2)
            bytes.
        sample: rows that are learnt from.
        candidates: rows measured exactly per probe, at least twice n.
        threads: shards, each searched by its own thread.
    """

    dims: int = 64
    sample: int = 16_384
    candidates: int = 2000
    threads: int = 2

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: naming the one that is out of range.
        """
        for name, least in (("dims", 2), ("sample", FEWEST), ("candidates", 1), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} at least")
        if self.dims % PAIR:
            raise ValueError(f"dims is {self.dims}, expected an even number")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows: numbers (S,), half-precision unit vectors (S, K*d) and shares (S, K)."""

    rows: Ints
    unit: Tensor
    share: Tensor

    def without(self, rows: Ints) -> Sample:
        """The others; the last ones stay, or there is no level to be guessed."""
        kept = ~np.isin(self.rows, rows)
        if kept.all() or kept.sum() < FEWEST_LEVELS:
            return self
        return Sample(self.rows[kept], self.unit[kept], self.share[kept])


class Proposals:
    """A trained FAISS index over the rows of a gallery. `GalleryIndex` holds the writers' lock."""

    def __init__(self, recipe: Recipe, axes: Tensor, sample: Sample, trained: Any) -> None:
        import faiss

        self._recipe, self._axes, self._sample = recipe, axes, sample
        self._shards = [faiss.clone_index(trained) for _ in range(recipe.threads)]
        # A thread a shard is enough: FAISS's own within each would only wait for one another.
        alone = partial(faiss.omp_set_num_threads, 1)
        self._pool = ThreadPoolExecutor(recipe.threads, "gallery", alone)
        self._lock = threading.Lock()  # FAISS may not be searched while it grows

    @staticmethod
    def train(store: Rows, parts: Snapshot, recipe: Recipe) -> Proposals:
        """Learn axes and codes from a seeded sample of the rows.

        Raises:
            ValueError: if there are too few rows.
        """
        import faiss

        rows = _alive(parts)
        if len(rows) < FEWEST:
            raise ValueError(
                f"{len(rows)} rows are too few to learn from: {FEWEST} are needed; "
                "a gallery of this size is searched exactly"
            )
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.choice(rows, min(recipe.sample, len(rows)), replace=False))
        unit, share = (v.cpu() for v in store.gather(parts, chosen, "unit", "share"))
        some = rng.permutation(len(chosen))[:LEVELS]
        sample = Sample(chosen[some], unit[some].half(), share[some])
        axes = _axes(unit, share.shape[1], recipe.dims)
        vectors = _gallery_vectors(axes, unit, share)
        width, metric = vectors.shape[1], faiss.METRIC_INNER_PRODUCT
        lists = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFPQFastScan(lists, width, 1, width // PAIR, 4, metric)
        index.by_residual = False  # of its one list's centre: the codes are of the vectors
        index.train(vectors)
        return Proposals(recipe, axes, sample, index)

    def add_all(
        self,
        store: Rows,
        parts: Snapshot,
        first: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Code every row from `first` on that is not removed, or fewer once `stop` says so."""
        rows = _alive(parts)
        rows = rows[rows >= first]
        for start in range(0, len(rows), STEP):
            if stop():
                return
            some = rows[start : start + STEP]
            unit, share = store.gather(parts, some, "unit", "share")
            self._add(some, unit.cpu(), share.cpu())

    def add(self, rows: Ints, units: Units) -> None:
        """Code new rows."""
        self._add(rows, units.unit.cpu(), units.share.cpu())

    def _add(self, rows: Ints, unit: Tensor, share: Tensor) -> None:
        vectors = _gallery_vectors(self._axes, unit, share)
        with self._lock:
            shard = int(np.argmin([index.ntotal for index in self._shards]))
            self._shards[shard].add_with_ids(vectors, rows)

    def remove(self, rows: Ints) -> None:
        """Take rows' codes out."""
        import faiss

        with self._lock:
            for index in self._shards:
                if index.remove_ids(faiss.IDSelectorBatch(rows)):
                    _clear_end(index)
            self._sample = self._sample.without(rows)

    @property
    def code_bytes(self) -> int:
        """Bytes of all codes."""
        return sum(index.ntotal * index.sa_code_size() for index in self._shards)

    def propose(self, probes: Units, n: int, allowed: Bools | None = None) -> tuple[Ints, Ints]:
        """Candidates for the n nearest: probes (M,) ascending, rows (M,).

        `allowed`, (R,) by row number: no other row is proposed.
        """
        unit, share = probes.unit.cpu(), probes.share.cpu()
        wanted = max(self._recipe.candidates, 2 * n)
        chosen = None if allowed is None else _only(allowed)
        with self._lock:
            level = self._level(unit, share, wanted, allowed)
            vectors = _probe_vectors(self._axes, unit, share, level)
            found = list(
                self._pool.map(lambda index: _one(index, vectors, wanted, chosen), self._shards)
            )
        scores = np.concatenate([f[0] for f in found], axis=1)
        rows = np.concatenate([f[1] for f in found], axis=1)
        if rows.shape[1] > wanted:
            best = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
            rows = np.take_along_axis(rows, best, 1)
        probe, place = np.nonzero(rows >= 0)
        return probe, rows[probe, place]

    def _level(self, unit: Tensor, share: Tensor, wanted: int, allowed: Bools | None) -> Tensor:
        """1 - Eq. 2 of each probe's `wanted`-th nearest, guessed from the sample: (P, 1).

        Not the n-th: a pair that shares no part has the product 0, and codes
        are rough; so those that matter have to lie well above 0.
        """
        sample = self._sample
        size = sum(index.ntotal for index in self._shards)
        scores = product(sample.unit, unit) / (share @ sample.share.T).clamp_min(TINY)
        if allowed is not None:
            size = int(allowed.sum())
            known = sample.rows < len(allowed)
            known[known] = allowed[sample.rows[known]]
            if known.sum() >= FEWEST_LEVELS:
                scores = scores[:, torch.from_numpy(known)]
        rank = min(max(round(wanted * len(scores[0]) / max(size, 1)), 1), len(scores[0]))
        return torch.topk(scores, rank, dim=1).values[:, -1:]


def _clear_end(index: Any) -> None:
    """Zero what `remove_ids` left behind the last code: FAISS adds by OR into a block begun.

    Without it (seen in 1.15.1) a row added after a removal got two codes mixed.
    """
    import faiss

    lists, packer = faiss.downcast_InvertedLists(index.invlists), index.get_CodePacker()
    full, rest = divmod(index.ntotal, packer.nvec)
    if not rest:
        return
    codes = faiss.rev_swig_ptr(lists.get_codes(0), (full + 1) * packer.block_size)
    block = codes[full * packer.block_size :][None]
    for place in range(rest, packer.nvec):
        packer.pack_1(np.zeros(packer.code_size, np.uint8), place, block)


def _only(allowed: Bools) -> Any:
    """FAISS's parameters that leave out all other rows."""
    import faiss

    library: Any = faiss  # its type stubs know neither the arrays nor the keywords
    selector = library.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    return library.SearchParametersIVF(sel=selector)


def _one(index: Any, vectors: Floats, wanted: int, chosen: Any) -> tuple[Floats, Ints]:
    """The best `wanted` of one shard: their scores and gallery rows, (P, w), -1 where none."""
    if not index.ntotal:
        return np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
    scores, rows = index.search(vectors, min(wanted, index.ntotal), params=chosen)
    return scores, rows


def _alive(parts: Snapshot) -> Ints:
    """Row numbers that were not removed, ascending."""
    found = [
        chunk.start + (~chunk.dead[:filled]).nonzero()[:, 0].cpu().numpy()
        for chunk, filled in parts
    ]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _axes(unit: Tensor, k: int, dims: int) -> Tensor:
    """Each part's leading principal axes, the strongest beside the weakest: (K, d, dims)."""
    by_part = unit.view(len(unit), k, -1).transpose(0, 1)
    strength, axes = torch.linalg.eigh(by_part.transpose(1, 2) @ by_part)
    dims = min(dims, strength.shape[1] // PAIR * PAIR)
    falling = axes.flip(-1)[..., :dims]
    order = torch.stack([torch.arange(dims // 2), torch.arange(dims - 1, dims // 2 - 1, -1)], 1)
    paired: Tensor = falling[..., order.flatten()].contiguous()
    return paired


def _gallery_vectors(axes: Tensor, unit: Tensor, share: Tensor) -> Floats:
    """(N, K*dims + 2K): the turned parts, then each share with a zero beside it."""
    n, k = share.shape
    turned = torch.einsum("nkd,kdr->nkr", unit.view(n, k, -1), axes).flatten(1)
    shares = torch.stack([share, torch.zeros_like(share)], 2).flatten(1)
    return np.ascontiguousarray(torch.cat([turned, shares], 1).numpy(), dtype=np.float32)


def _probe_vectors(axes: Tensor, unit: Tensor, share: Tensor, level: Tensor) -> Floats:
    """Their inner product with a gallery vector is unit_p . unit_g - level * share_p . share_g."""
    return _gallery_vectors(axes, unit, -level * share)
