"""The store's tracklets as a searchable index: a cache that follows the store's revisions.

The store is the truth. What a person's program, the pipeline or an erasure has changed since is
read by `refresh`, which costs one small query when nothing has. A large gallery trains FAISS in a
thread of its own; until that is done each search reads every row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from investigation.filters import Filters
from investigation.search.columns import Columns
from investigation.search.grace import Grace
from reid.errors import FingerprintMismatch, StoreError
from reid.hardware import alone
from reid.index.gallery import GalleryIndex
from reid.index.search import Found
from reid.records import FloatArray, PartEmbeddings
from storage import vectors
from storage.queries import StoreReader
from storage.records import ModelRow
from storage.vectors import BLOCK, VectorBlock

log = logging.getLogger(__name__)

GAMMA, TOP_N = 0.6, 30  # of a model whose description does not say
LARGE = 100_000  # rows from which FAISS is worth its training
AHEAD = 4  # blocks read that wait to be taken
SPARE = 16  # rows asked for beyond n: a track replaced this moment has two


@dataclass(frozen=True, slots=True)
class Match:
    """A tracklet that a search found.

    Attributes:
        track: its id.
        distance: Eq. 15 among the first `top_n`, behind them Eq. 2 (see `reid.index.search.Found`).
        part_distance: Eq. 2.
        support: sum_k q_k^p q_k^g: near zero the pair shows nothing.
    """

    track: int
    distance: float
    part_distance: float
    support: float


class StoreGallery:
    """All embeddings of one model in the store, searched by Eq. 2 and Eq. 15 behind filters.

    Any number of threads may search and refresh. It is empty until the first `refresh`.

    Args:
        reader: the store; must stay open.
        fingerprint: the model; by default the one that made the newest embedding, settled as soon
            as there is one.
        reruns: also hold tracklets of runs that `replay --rerun` made.
        device: `cpu`, `cuda` or `auto`.
        large: rows from which FAISS proposes candidates; 0: never.
    """

    def __init__(
        self,
        reader: StoreReader,
        fingerprint: str | None = None,
        *,
        reruns: bool = False,
        device: str = "cpu",
        large: int = LARGE,
    ) -> None:
        self._reader, self._reruns, self._device, self._large = reader, reruns, device, large
        self._lock = threading.Lock()  # of those who refresh
        self._gate = threading.Lock()  # of those who might start the training
        self._searches = 0
        self._training: threading.Thread | None = None
        self._index: GalleryIndex | None = None
        self._columns = Columns()
        self._grace = Grace()
        self._row_of: dict[int, int] = {}
        self._open: set[int] = set()  # tracks that may still grow
        self._revision = 0
        self.trained_seconds = 0.0
        self._closed = False
        self._model: ModelRow | None = None
        if fingerprint is not None:
            self._model = self._known(fingerprint)

    @property
    def fingerprint(self) -> str | None:
        """The model; None while the store holds no embedding and none was asked for."""
        return None if self._model is None else self._model.fingerprint

    @property
    def revision(self) -> int:
        """The store's revision up to which everything is here."""
        return self._revision

    @property
    def approximate(self) -> bool:
        """Whether FAISS proposes candidates."""
        return self._index is not None and self._index.approximate

    def __len__(self) -> int:
        return len(self._row_of)

    def refresh(self) -> int:
        """Follow the store; returns how many tracklets were added, replaced or dropped.

        Raises:
            StoreError: if the store cannot be read, or stored bytes do not fit the model.
        """
        with self._lock:
            try:
                return self._follow()
            finally:
                if self._index is not None and (stale := self._grace.free()):
                    self._index.remove(stale)

    def search(
        self,
        probes: PartEmbeddings,
        n: int,
        where: Filters | None = None,
        *,
        left_out: Collection[int] = (),
        exact: bool = False,
    ) -> list[list[Match]]:
        """The n tracklets most like each of P probes, nearest first, among those that pass.

        Args:
            probes: P embeddings of the gallery's model.
            n: how many, at most.
            where: filters, applied before the n nearest are taken.
            left_out: tracks that are no matches; left out before the n nearest are taken, so that
                they have no place in the block that Eq. 15 puts in order.
            exact: read every row, though FAISS is ready.

        Raises:
            FingerprintMismatch: if another model made the probes.
            ValueError: if their (K, d) differs, or a value is not finite.
        """
        model, index = self._model, self._index
        if model is not None and probes.fingerprint != model.fingerprint:
            raise FingerprintMismatch(
                f"the gallery holds embeddings of model {model.fingerprint}, the search is of "
                f"{probes.fingerprint}: embeddings of different models cannot be compared"
            )
        if index is None or n < 1:
            return [[] for _ in range(len(probes))]
        self._train(index)
        left_out = frozenset(left_out)
        with self._grace.search():
            allowed = self._allowed(where, left_out)
            found = index.search(probes, n + SPARE, exact=exact, allowed=allowed)
        return [self._matches(found, probe, n, left_out) for probe in range(len(probes))]

    def _allowed(
        self, where: Filters | None, left_out: Collection[int]
    ) -> NDArray[np.bool_] | None:
        """(R,) the rows that a search may find; None for all.

        A track's old row, while it is being replaced, may still be among them: `_matches` drops it.
        """
        if (where is None or where.empty) and not left_out:
            return None
        passing = self._columns.passing(where or Filters())
        rows = [row for track in left_out if (row := self._row_of.get(track)) is not None]
        passing[[row for row in rows if row < len(passing)]] = False
        return passing

    def count(self, where: Filters | None = None) -> int:
        """How many tracklets pass; a few too many while some of them are being replaced."""
        if where is None or where.empty:
            return len(self)
        return min(len(self), int(np.count_nonzero(self._columns.passing(where))))

    def embeddings(self, tracks: Sequence[int]) -> PartEmbeddings | None:
        """Stored embeddings of tracks, by rising id; those that have none are left out."""
        stored = self._reader.embeddings(fingerprint=self.fingerprint, tracks=tracks)
        return None if stored is None else stored.embeddings

    # ---- following the store -----------------------------------------------------------------

    def _follow(self) -> int:
        with self._reader.connection() as connection:
            newest = vectors.revision(connection)
            self._columns.place(vectors.places(connection))
            self._columns.grow(self._row_of, vectors.ends(connection, self._open), self._open)
            if newest == self._revision and self._index is not None:
                return 0
            if self._model is None:
                fingerprint = vectors.newest_model(connection, reruns=self._reruns)
                if fingerprint is None:
                    return 0
                self._model = self._known(fingerprint)
            model = self._model
            if self._index is None:
                rows = vectors.count(connection, model.fingerprint)
                rows += rows // 16
                self._columns.reserve(rows)
                self._index = self._empty(model, rows)
            shape = (model.parts, model.dim)
            blocks = vectors.blocks(
                connection, model.fingerprint, shape, self._revision, reruns=self._reruns
            )
            changed = self._take_all(self._index, blocks, model.fingerprint)
            gone = [t for t in vectors.erased(connection, self._revision) if t in self._row_of]
            if gone:
                self._index.remove([self._row_of.pop(t) for t in gone])
                self._open.difference_update(gone)
            self._revision = newest
            return changed + len(gone)

    def _take_all(
        self, index: GalleryIndex, blocks: Iterator[VectorBlock], fingerprint: str
    ) -> int:
        """Take block after block; where there are many, one is taken while the next is read."""
        changed = 0
        first = next(blocks, None)
        if first is None:
            return 0
        if len(first) < BLOCK:
            self._take(index, first, fingerprint)
            return len(first)
        with ThreadPoolExecutor(1, "gallery-loading", alone) as pool:
            waiting: deque[Future[None]] = deque()
            for block in chain([first], blocks):
                waiting.append(pool.submit(self._take, index, block, fingerprint))
                changed += len(block)
                if len(waiting) > AHEAD:
                    waiting.popleft().result()
            for task in waiting:
                task.result()
        return changed

    def _take(self, index: GalleryIndex, block: VectorBlock, fingerprint: str) -> None:
        """Rows of a block: their columns first, so that a search that finds a row knows it."""
        tracks = block.tracks.tolist()
        old = [self._row_of[t] for t in tracks if t in self._row_of]
        self._columns.put(block)
        parts, overall, quality = map(_single, (block.parts, block.global_parts, block.quality))
        try:
            rows = index.add(PartEmbeddings(parts, overall, quality, fingerprint))
        except ValueError as error:  # NaN: our own writers refuse it
            raise StoreError(
                f"store {self._reader.url}, tracks {tracks[0]} to {tracks[-1]}: {error}"
            ) from error
        self._columns.filled += len(block)
        self._row_of.update(zip(tracks, rows.tolist(), strict=True))
        if old:
            self._grace.leave(old)
        self._open.difference_update(tracks)
        self._open.update(block.tracks[~block.closed].tolist())

    def _empty(self, model: ModelRow, rows: int) -> GalleryIndex:
        described = model.description
        return GalleryIndex(
            float(described.get("gamma", GAMMA)),
            int(described.get("top_n", TOP_N)),
            device=self._device,
            capacity=rows,
        )

    def _known(self, fingerprint: str) -> ModelRow:
        """Its row.

        Raises:
            StoreError: if the store does not know it; lists those it does.
        """
        models = {model.fingerprint: model for model in self._reader.models()}
        if fingerprint not in models:
            there = ", ".join(sorted(models)) or "none"
            raise StoreError(
                f"store {self._reader.url} has no embeddings of model {fingerprint}; its models: "
                f"{there}"
            )
        return models[fingerprint]

    # ---- FAISS -------------------------------------------------------------------------------

    def _train(self, index: GalleryIndex) -> None:
        """Start FAISS in the background if the gallery is large and was searched before.

        A program that searches once is done before FAISS would be.
        """
        with self._gate:
            self._searches += 1
            large = self._large and len(self) >= self._large
            if self._searches < 2 or not large or self._closed or self._training is not None:
                return
            # No daemon: ending Python in the middle of FAISS's own threads would abort it.
            self._training = threading.Thread(
                target=self._build, args=(index,), name="gallery-training"
            )
            self._training.start()

    def _build(self, index: GalleryIndex) -> None:
        begun = time.perf_counter()
        try:
            index.build(stop=lambda: self._closed or not threading.main_thread().is_alive())
        except (ValueError, RuntimeError) as error:  # searches go on, exactly
            log.warning("the gallery stays without FAISS: %s", error)
        self.trained_seconds = time.perf_counter() - begun

    def close(self) -> None:
        """Give a training up and wait for its end."""
        self._closed = True
        self.wait()

    def wait(self) -> None:
        """Return once a training that was begun is over."""
        if self._training is not None:
            self._training.join()

    def _matches(
        self, found: Found, probe: int, n: int, left_out: Collection[int] = ()
    ) -> list[Match]:
        """One probe's, each track once: one that is being replaced may have two rows."""
        matches: dict[int, Match] = {}
        tracks = self._columns.tracks(found.rows[probe])
        columns = (tracks, found.rows, found.distance, found.part_distance, found.support)
        values = (column if column is tracks else column[probe] for column in columns)
        for track, row, *numbers in zip(*(v.tolist() for v in values), strict=True):
            if row >= 0 and track in self._row_of and track not in left_out:
                matches.setdefault(track, Match(track, *numbers))
        return list(matches.values())[:n]


def _single(values: NDArray[np.float16]) -> FloatArray:
    """Half to single precision, by torch: several times as fast as numpy."""
    return torch.from_numpy(values).float().numpy()
