"""The gallery as a search sees it: Eq. 2 over all rows, Eq. 15 on the first n (Sec. III-D).

The exact scan reads every row once, in half precision, and is bound by memory
bandwidth. What rounding could have put on the wrong side of the n-th is
measured again in float32, so the answer is that of `reid.distances` on the
rows as they are kept. For a large gallery `build` adds a FAISS index that
proposes candidates; they are measured in the same way.

The index is a cache: the store is the truth, and rebuilds it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reid.errors import FingerprintMismatch
from reid.hardware import resolve_device
from reid.index.proposals import Proposals, Recipe
from reid.index.rows import Rows, Units, check_values
from reid.index.search import (
    Bools,
    Found,
    Ints,
    Snapshot,
    nearest,
    reorder,
    shortlist,
    shortlist_of,
)
from reid.records import PartEmbeddings

SCORES = 2**26  # scores held at once: 256 MiB
ADDED = 16_384  # embeddings normalised at once
# Allowed rows up to which only they are read, one by one: more are slower than what is else done.
FEW = 20_000  # with FAISS
SELECTIVE = 0.1  # without it, of all rows


class GalleryIndex:
    """Embeddings of one model, searched by Eq. 2 and Eq. 15; may grow while it is searched.

    Any number of threads may search while one adds or removes: a search sees
    the rows that were there when it began.

    Args:
        gamma: part share in Eq. 15.
        top_n: how many of the first by Eq. 2 are re-ordered by Eq. 15; 0: none, and the global
            parts are not kept (half the memory).
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: of the kept rows. `float16` costs a distance about 1e-4 at most and half the
            memory; `float32` gives what `reid.distances` gives.
        capacity: rows to expect; only saves copies.
    """

    def __init__(
        self,
        gamma: float,
        top_n: int,
        *,
        device: str = "cpu",
        precision: Literal["float16", "float32"] = "float16",
        capacity: int = 0,
    ) -> None:
        self.gamma, self.top_n = gamma, top_n
        self.device = resolve_device(device)
        self.fingerprint: str | None = None
        self._shape: tuple[int, ...] | None = None
        self._rows = Rows(precision == "float32", top_n > 0, capacity)
        self._proposals: Proposals | None = None
        self._lock = threading.Lock()  # of those who change the gallery

    def __len__(self) -> int:
        return self._rows.alive

    def add(self, embeddings: PartEmbeddings) -> NDArray[np.int64]:
        """Append N embeddings.

        Returns:
            (N,) int64, their row numbers: 0, 1, 2, ... in order of adding, never used twice.

        Raises:
            FingerprintMismatch: if another model made them.
            ValueError: if their (K, d) differs, or a value is not finite.
        """
        with self._lock:
            self._check(embeddings)
            if not len(embeddings):
                return np.zeros(0, np.int64)
            first = self._rows.total
            for i in range(0, len(embeddings), ADDED):
                units = Units.of(embeddings[i : i + ADDED], self.device)
                self.fingerprint = embeddings.fingerprint
                self._shape = embeddings.parts.shape[1:]
                rows = self._rows.append(units, len(embeddings) - i)
                if self._proposals is not None:
                    self._proposals.add(rows, units)
            return np.arange(first, first + len(embeddings))

    def remove(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Forget rows; their vectors are overwritten. Other rows keep their numbers.

        Raises:
            ValueError: if a row was never added.
        """
        with self._lock:
            numbers = np.unique(np.asarray(rows, np.int64))
            total = self._rows.total
            wrong = numbers[(numbers < 0) | (numbers >= total)]
            if len(wrong):
                raise ValueError(f"row {wrong[0]} is not in the gallery: it has 0 to {total - 1}")
            self._rows.erase(numbers)
            if self._proposals is not None:
                self._proposals.remove(numbers)

    def build(self, recipe: Recipe | None = None, stop: Callable[[], bool] = lambda: False) -> None:
        """Train FAISS on a sample of the rows and hand it all; rows added later follow at once.

        Worth it from some 100,000 rows on a CPU. Searches go on exactly meanwhile, and so do
        adding and removing.

        Args:
            recipe: how the codes are made.
            stop: asked between two blocks of rows; True gives up, and all stays as it was.

        Raises:
            ValueError: if there are fewer than 1,000 rows: too few to learn from.
        """
        parts = self._rows.snapshot()
        proposals = Proposals.train(self._rows, parts, recipe or Recipe())
        proposals.add_all(self._rows, parts, stop=stop)
        if stop():
            return
        coded = sum(filled for _, filled in parts)
        with self._lock:
            proposals.add_all(self._rows, self._rows.snapshot(), coded)
            proposals.remove(self._rows.removed(parts))
            self._proposals = proposals

    @property
    def scan_bytes(self) -> int:
        """Bytes that one exact search reads: each row's half-precision vector and its shares."""
        return sum(
            filled * (2 * chunk.scan.shape[1] + 4 * chunk.share.shape[1])
            for chunk, filled in self._rows.snapshot()
        )

    @property
    def code_bytes(self) -> int:
        """Bytes of FAISS's codes; 0 before `build`."""
        return 0 if self._proposals is None else self._proposals.code_bytes

    @property
    def approximate(self) -> bool:
        """Whether `search` asks FAISS for candidates first."""
        return self._proposals is not None

    def search(
        self, probes: PartEmbeddings, n: int, *, exact: bool = False, allowed: Bools | None = None
    ) -> Found:
        """The n nearest rows of each of P probes: Eq. 2 over all, Eq. 15 on the first `top_n`.

        Args:
            probes: P embeddings of the same model.
            n: how many; the result has n columns, or as many as there are rows.
            exact: read every row, though `build` has been called.
            allowed: (R,) bool by row number: others are left out before the n nearest are
                taken. Rows beyond R are not allowed.

        Raises:
            FingerprintMismatch: if another model made the probes.
            ValueError: if their (K, d) differs, or a value is not finite.
        """
        self._check(probes)
        proposals = None if exact else self._proposals
        parts, alive = self._rows.snapshot(), self._rows.alive
        rows = None
        if allowed is not None:
            total = sum(filled for _, filled in parts)
            allowed = allowed[:total].copy()
            removed = self._rows.removed(parts)
            allowed[removed[removed < len(allowed)]] = False
            alive = int(allowed.sum())
            if alive <= (FEW if proposals else SELECTIVE * total):
                rows = np.flatnonzero(allowed)
        first = min(max(n, self.top_n), alive)
        n = max(min(n, alive), 0)
        if n == 0 or not len(probes):
            return Found.nothing(len(probes), n)
        units = Units.of(probes, self.device)
        step = max(SCORES // max(self._rows.total, 1), 1)
        blocks = [units[i : i + step] for i in range(0, len(units), step)]
        return Found.join(
            [self._search(b, parts, proposals, first, allowed, rows).first(n) for b in blocks]
        )

    def _search(
        self,
        probes: Units,
        parts: Snapshot,
        proposals: Proposals | None,
        n: int,
        allowed: Bools | None,
        rows: Ints | None,
    ) -> Found:
        if rows is not None:
            pairs = shortlist_of(self._rows, parts, probes, rows, n)
        elif proposals is None:
            pairs = shortlist(parts, probes, n, allowed)
        else:
            pairs = proposals.propose(probes, n, allowed)
            parts = self._rows.snapshot()  # with what was added meanwhile and is proposed
        found = nearest(self._rows, parts, probes, pairs, n)
        if not self.top_n:
            return found
        return reorder(self._rows, parts, probes, found, self.top_n, self.gamma)

    def _check(self, embeddings: PartEmbeddings) -> None:
        check_values(embeddings)
        if self.fingerprint is None:
            return
        if embeddings.fingerprint != self.fingerprint:
            raise FingerprintMismatch(
                f"the gallery holds embeddings of model {self.fingerprint}, these are of "
                f"{embeddings.fingerprint}: embeddings of different models cannot be compared"
            )
        shape = embeddings.parts.shape[1:]
        if shape != self._shape:
            raise ValueError(f"the gallery's embeddings are (K, d) = {self._shape}, these {shape}")
