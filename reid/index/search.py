"""How a gallery is searched: scan in half precision, measure in float32, re-order by Eq. 15.

Shapes: P probes, G rows, M pairs of a probe and a row, n results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.distances import TINY, gram
from reid.index.rows import Chunk, Rows, Units

# Half precision rounds the row, the probe and the product, each by 2^-11 of the pair's overlap at
# most (Cauchy-Schwarz, part by part): a score is off by 3 * 2^-11 and two of them by twice that.
ROUNDING = 6 * 2.0**-11
PAIRS = 4096  # pairs measured at once
PRODUCT_ROWS = 2048  # rows turned to float32 at once: they stay in the cache
PICKED = 8192  # rows picked out of a chunk at once

Snapshot = Sequence[tuple[Chunk, int]]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The nearest rows of P probes, nearest first.

    Attributes:
        rows: (P, n) int64, as `GalleryIndex.add` numbered them; -1 where there are fewer.
        distance: (P, n) float32, never falling along n: Eq. 15 for the block that was re-ordered;
            behind it Eq. 2, but at least that block's largest. Infinite where `rows` is -1.
        part_distance: (P, n) float32, Eq. 2.
        support: (P, n) float32, sum_k q_k^p q_k^g: where it is near zero the pair shows nothing.
    """

    rows: Ints
    distance: Floats
    part_distance: Floats
    support: Floats

    @staticmethod
    def nothing(probes: int, n: int) -> Found:
        """No row for any probe."""
        far = np.full((probes, n), np.inf, np.float32)
        return Found(np.full((probes, n), -1, np.int64), far, far.copy(), np.zeros_like(far))

    def first(self, n: int) -> Found:
        """The first n of each probe."""
        arrays = (self.rows, self.distance, self.part_distance, self.support)
        return Found(*(a[:, :n] for a in arrays))  # type: ignore[arg-type]

    @staticmethod
    def join(blocks: Sequence[Found]) -> Found:
        """Blocks of probes, one after the other."""
        names = ("rows", "distance", "part_distance", "support")
        return Found(*(np.concatenate([getattr(b, n) for b in blocks]) for n in names))


def shortlist(
    parts: Snapshot, probes: Units, n: int, allowed: Bools | None = None
) -> tuple[Ints, Ints]:
    """Every pair that may be among the n nearest by Eq. 2: probes (M,) ascending, rows (M,).

    One pass over the rows in half precision; a pair is kept if rounding could
    have put it on the wrong side of the n-th. `allowed`, (R,) by row number: no other row counts.
    """
    scores = torch.cat([scan(chunk, filled, probes) for chunk, filled in parts], dim=1)
    if allowed is not None:
        barred = ~torch.from_numpy(allowed[: scores.shape[1]])
        scores[:, : len(barred)].masked_fill_(barred.to(scores.device), -torch.inf)
        scores[:, len(barred) :] = -torch.inf
    return _above(scores, n)


def shortlist_of(
    store: Rows, parts: Snapshot, probes: Units, rows: Ints, n: int
) -> tuple[Ints, Ints]:
    """As `shortlist`, of few rows (ascending): only they are read."""
    blocks = []
    for first in range(0, len(rows), PICKED):
        unit, share = store.gather(parts, rows[first : first + PICKED], "scan", "share")
        blocks.append((probes.unit @ unit.T) / (probes.share @ share.T).clamp_min_(TINY))
    probe, place = _above(torch.cat(blocks, dim=1), n)
    return probe, rows[place]


def _above(scores: Tensor, n: int) -> tuple[Ints, Ints]:
    """Where each probe's scores are not below its n-th, as far as half precision can tell."""
    worst = scores.topk(n, dim=1).values[:, -1:]
    lowest = (worst - ROUNDING).clamp_min(torch.finfo(worst.dtype).min)  # never a removed row
    pairs = (scores >= lowest).nonzero().cpu().numpy()
    return pairs[:, 0], pairs[:, 1]


def scan(chunk: Chunk, filled: int, probes: Units) -> Tensor:
    """1 - Eq. 2 of all probes and a chunk's rows, as far as half precision goes: (P, filled)."""
    scores = product(chunk.scan[:filled], probes.unit)
    scores /= (probes.share @ chunk.share[:filled].T).clamp_min_(TINY)
    if chunk.removed:
        scores.masked_fill_(chunk.dead[:filled], -torch.inf)
    return scores


def product(rows: Tensor, probes: Tensor) -> Tensor:
    """(G, D) float16 rows and (P, D) float32 probes -> (P, G) float32."""
    if rows.is_cuda:
        return torch.mm(probes.half(), rows.T, out_dtype=torch.float32)
    if len(probes) == 1:  # torch's float16 product of matrix and vector reads half the bytes
        return torch.mv(rows, probes[0].half()).float()[None]
    # Into one tensor made before: a small one kept after each large one freed would split up the
    # heap, by 6 GB for a million rows.
    scores = probes.new_empty(len(probes), len(rows))
    for first in range(0, len(rows), PRODUCT_ROWS):
        some = slice(first, first + PRODUCT_ROWS)
        scores[:, some] = probes @ rows[some].float().T
    return scores


def nearest(store: Rows, parts: Snapshot, probes: Units, pairs: tuple[Ints, Ints], n: int) -> Found:
    """Measure pairs by Eq. 2 in float32; the n nearest of each probe, ties by row number."""
    probe, row = store.living(parts, *pairs)
    part, support = measure(store, parts, probes, probe, row)
    order = np.lexsort((row, part, probe))
    probe, row, part, support = probe[order], row[order], part[order], support[order]
    place = np.arange(len(probe)) - np.searchsorted(probe, probe)  # within its own probe
    kept = place < n
    found = Found.nothing(len(probes), n)
    cells = (probe[kept], place[kept])
    found.rows[cells] = row[kept]
    found.part_distance[cells] = found.distance[cells] = part[kept]
    found.support[cells] = support[kept]
    return found


def measure(
    store: Rows, parts: Snapshot, probes: Units, probe: Ints, row: Ints
) -> tuple[Floats, Floats]:
    """Eq. 2 and its support for M pairs, float32: (M,), (M,)."""
    distance, supports = np.empty(len(row), np.float32), np.empty(len(row), np.float32)
    for first in range(0, len(row), PAIRS):
        some = slice(first, first + PAIRS)
        unit, share, norm = store.gather(parts, row[some], "unit", "share", "norm")
        p = torch.from_numpy(probe[some]).to(unit.device)
        overlap = (probes.share[p] * share).sum(1)
        cosine = unit.mul_(probes.unit[p] if len(probes) > 1 else probes.unit).sum(1)
        distance[some] = (1 - cosine / overlap.clamp_min(TINY)).cpu().numpy()
        supports[some] = (overlap * probes.norm[p] * norm).cpu().numpy()
    return distance, supports


def reorder(
    store: Rows, parts: Snapshot, probes: Units, found: Found, top_n: int, gamma: float
) -> Found:
    """Eq. 15 on the first `top_n` of each probe, which stay a block ahead of the rest."""
    rows, distance = found.rows.copy(), found.distance.copy()
    part, support = found.part_distance.copy(), found.support.copy()
    n = min(top_n, rows.shape[1])
    step = max(PAIRS // max(n, 1), 1)
    for first in range(0, len(probes), step):
        some = slice(first, first + step)
        head = (some, slice(0, n))
        overall = _overall_distance(store, parts, probes[some], rows[head])
        both = gamma * part[head] + (1 - gamma) * overall  # Eq. 15
        both[rows[head] < 0] = np.inf
        order = np.argsort(both, axis=1, kind="stable")
        distance[head] = np.take_along_axis(both, order, 1)
        for values in (rows, part, support):
            values[head] = np.take_along_axis(values[head], order, 1)
    if n:
        np.maximum(distance[:, n:], distance[:, n - 1 : n], out=distance[:, n:])
    return Found(rows, distance, part, support)


def _overall_distance(store: Rows, parts: Snapshot, probes: Units, rows: Ints) -> Floats:
    """Cosine distance of Eqs. 9 and 10 for (P, n) rows, from stored Gram matrices; (P, n).

    With w = q^p * q^g it is 1 - (w^T C w) / sqrt((w^T A w)(w^T B w)): only the
    cross Gram C of each pair is new.
    """
    p, n = rows.shape
    k = probes.share.shape[1]
    there = rows.clip(min=0).ravel()  # where there is no row, any will do
    overall, own, share = store.gather(parts, there, "overall", "gram", "share")
    weights = probes.share[:, None] * share.view(p, n, k)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(TINY)
    cross = probes.overall @ overall.view(p, n * k, -1).transpose(1, 2)  # (P, K, n*K)
    both = torch.einsum("pnk,pknl,pnl->pn", weights, cross.view(p, k, n, k), weights)
    own_p = torch.einsum("pnk,pkl,pnl->pn", weights, gram(probes.overall), weights)
    own_g = torch.einsum("pnk,pnkl,pnl->pn", weights, own.view(p, n, k, k), weights)
    distance = 1 - both / (own_p * own_g).clamp_min(TINY**2).sqrt()
    return np.asarray(distance.cpu().numpy(), dtype=np.float32)
