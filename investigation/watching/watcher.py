"""Standing queries at work: each covers the past once, then every tracklet that is written.

What comes near (`investigation/search/yardstick.py`) is judged as a search judges it
(`investigation/search/judging.py`), but each track for itself: one is asked about as it comes.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from investigation.search.hits import Hit, HitVerdict
from investigation.search.judging import judged
from investigation.search.ruled_out import ruled_out
from investigation.search.strangers import Site, SiteStrangers
from investigation.search.yardstick import Yardstick, near
from reid.records import PartEmbeddings
from storage import vectors
from storage.accounts.accounts import visible_now
from storage.store import Store
from storage.vectors import VectorBlock
from storage.watches.alerts import NewAlert, save_hits
from storage.watches.edit import end_expired
from storage.watches.rows import WatchRow, watch_queries, watches

log = logging.getLogger(__name__)

PAST_ALERTS = 100  # of one watch from the past, the nearest: more is no list that a person reads
PAST_SENT = 5  # of these are also sent; the page shows the rest
LIVE_SECONDS = 2.0  # how often new tracklets are looked at while a long past is read


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one check did.

    Attributes:
        compared: tracklets read, those of the past included.
        raised: per watch, the ids of its new alerts.
        ended: watches whose time was over.
        past: per watch whose past is now covered, how much was `found` and `raised`.
        other_model: watches that compare nothing: new tracklets come from another model than
            their query, or the weights at hand are not those of their query.
    """

    compared: int
    raised: Mapping[int, Sequence[int]]
    ended: Sequence[int]
    past: Mapping[int, Mapping[str, int]]
    other_model: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    """A watch ready to be compared: its query before its weights, and the farthest it raises."""

    watch: WatchRow
    embedding: PartEmbeddings
    limit: float


class Watcher:
    """Looks at what is new in the store for every watch; one thread calls `check`, again and again.

    What it knows lies in the store (`watches.covered`, `alerts`): it may be killed at any time.

    Args:
        store: where watches and tracklets are, and alerts go.
        yardstick: of the model that made the queries; watches of another model are left alone.
        past_alerts: alerts from the past of one watch, at most.
        past_sent: how many of these go to the watch's targets.
    """

    def __init__(
        self,
        store: Store,
        yardstick: Yardstick,
        *,
        past_alerts: int = PAST_ALERTS,
        past_sent: int = PAST_SENT,
    ) -> None:
        self._store, self._reader = store, store.reader()
        self._yardstick = yardstick
        self._past_alerts, self._past_sent = past_alerts, past_sent
        self._site = Site(self._reader, yardstick.fingerprint, yardstick.gamma)
        self._queries: dict[int, PartEmbeddings] = {}
        self._warned: set[tuple[int, str]] = set()

    def check(self, stop: Callable[[], bool] = lambda: False) -> CheckReport:
        """End what expired, cover the past of new watches, compare what is new with all.

        Args:
            stop: asked now and then in a long past, which then begins anew the next time.

        Raises:
            StoreError: if the store cannot be read or written; nothing half done stays.
        """
        ended = end_expired(self._store, time.time())
        active, other = self._active()
        compared, raised = self._live([p for p in active if p.watch.past is not None])
        past: dict[int, Mapping[str, int]] = {}
        for probe in active:
            if probe.watch.past is None:
                for count, alerts in self._cover_past(probe, past):
                    if stop():
                        break
                    compared += count
                    for watch, ids in alerts.items():
                        raised.setdefault(watch, []).extend(ids)
        return CheckReport(compared, raised, ended, past, other)

    # ---- what is new ---------------------------------------------------------------------------

    def _live(self, probes: Sequence[_Probe]) -> tuple[int, dict[int, list[int]]]:
        """Compare all tracklets above the watches' `covered`; one transaction keeps the result."""
        if not probes:
            return 0, {}
        after = min(probe.watch.covered for probe in probes)
        compared = 0
        close: dict[int, set[int]] = {}
        with self._reader.connection() as connection:
            head = vectors.revision(connection)
            if head <= after:
                return 0, {}
            for block in self._blocks(connection, after):
                compared += len(block)
                for probe, found in zip(probes, self._near(probes, block), strict=True):
                    close.setdefault(probe.watch.id, set()).update(track for _, track in found)
        hits = {p.watch.id: self._hits(p, sorted(close.get(p.watch.id, ()))) for p in probes}
        covered = {probe.watch.id: head for probe in probes}
        return compared, save_hits(self._store, hits, covered, time.time())

    # ---- the past ------------------------------------------------------------------------------

    def _cover_past(
        self, new: _Probe, past: dict[int, Mapping[str, int]]
    ) -> Iterator[tuple[int, dict[int, list[int]]]]:
        """Compare all that is stored with one watch; yields (compared, alerts by watch).

        Between blocks the other watches go on, however long the past is.
        """
        best: list[tuple[float, int]] = []  # the nearest, as a heap of (-distance, -track)
        found = 0
        looked = time.monotonic()
        with self._reader.connection() as connection:
            head = vectors.revision(connection)
            for block in self._blocks(connection, 0):
                for distance, track in self._near([new], block)[0]:
                    found += distance < new.limit
                    push = heapq.heappush if len(best) < self._past_alerts else heapq.heappushpop
                    push(best, (-distance, -track))
                yield len(block), {}
                if time.monotonic() - looked > LIVE_SECONDS:
                    active, _ = self._active()
                    yield self._live([p for p in active if p.watch.past is not None])
                    looked = time.monotonic()
        hits = self._hits(new, sorted(-track for _, track in best))
        order = sorted(hits, key=lambda hit: (hit.distance, hit.track))
        hits = [replace(hit, send=place < self._past_sent) for place, hit in enumerate(order)]
        watch = new.watch.id
        says = {"found": max(found, len(hits)), "raised": len(hits)}
        raised = save_hits(self._store, {watch: hits}, {watch: head}, time.time(), {watch: says})
        past[watch] = says
        yield 0, raised

    # ---- comparing -----------------------------------------------------------------------------

    def _near(self, probes: Sequence[_Probe], block: VectorBlock) -> list[list[tuple[float, int]]]:
        """Per watch, (distance, track) of what its filters let pass and its level may raise."""
        found = near(
            PartEmbeddings.concatenate([probe.embedding for probe in probes]),
            block,
            [probe.limit for probe in probes],
            [_passes(probe.watch, block) for probe in probes],
            self._yardstick.gamma,
            [probe.watch.weights for probe in probes],
        )
        return [[(d, int(block.tracks[row])) for row, d in one] for one in found]

    def _hits(self, probe: _Probe, tracks: Sequence[int]) -> list[NewAlert]:
        """Judge the chosen as a search for each of them alone would; what may raise, by track."""
        if not tracks:
            return []
        watch, yardstick = probe.watch, self._yardstick
        others = ruled_out(self._reader, watch.tracks)  # a person said that these are others
        chosen = [track for track in tracks if track not in others]
        hits = judged(
            self._reader, yardstick, probe.embedding, watch.weights, chosen, 1, self._strangers()
        )
        levels = {HitVerdict.STRONG, HitVerdict(watch.level)}
        return [
            NewAlert(
                hit.track, hit.time, hit.distance, hit.support, str(hit.verdict),
                _evidence(hit, yardstick.fingerprint),
            )
            for hit in sorted(hits, key=lambda hit: hit.track)
            if hit.verdict in levels
        ]  # fmt: skip

    def _strangers(self) -> SiteStrangers | None:
        """Those of the site; None where the model's are not known."""
        if self._yardstick.chance is None:
            return None
        with self._reader.connection() as connection:
            size = vectors.count(connection, self._yardstick.fingerprint)
        return self._site.strangers(size)

    # ---- plumbing ------------------------------------------------------------------------------

    def _active(self) -> tuple[list[_Probe], list[int]]:
        """Watches that can be compared, and the ids of those that cannot: another model's."""
        rows = self._narrowed(watches(self._reader, active=True))
        ours = [row for row in rows if row.model == self._yardstick.fingerprint]
        for row in rows:
            self._warn(row)
        missing = [row.id for row in ours if row.id not in self._queries]
        if missing:
            self._queries |= watch_queries(self._reader, missing)
        self._queries = {row.id: self._queries[row.id] for row in ours if row.id in self._queries}
        probes = [
            _Probe(row, self._queries[row.id], self._yardstick.limit(row.level))
            for row in ours
            if row.id in self._queries
        ]
        other = [row.id for row in rows if row not in ours or row.state == "other model"]
        return probes, other

    def _narrowed(self, rows: Sequence[WatchRow]) -> list[WatchRow]:
        """The watches within the cameras that who asked for them may see now."""
        visible = visible_now(self._reader, {row.actor for row in rows})
        found = []
        for row in rows:
            cameras = visible.get(row.actor)
            if cameras is not None:
                asked = cameras if row.cameras is None else cameras.intersection(row.cameras)
                row = replace(row, cameras=tuple(sorted(asked)))
            found.append(row)
        return found

    def _blocks(self, connection: Connection, after: int) -> Iterator[VectorBlock]:
        fingerprint = self._yardstick.fingerprint
        shape = next(iter(self._queries.values())).parts.shape[1:]
        return vectors.blocks(connection, fingerprint, (shape[0], shape[1]), after)

    def _warn(self, row: WatchRow) -> None:
        """Say once, per watch and model, that nothing is compared."""
        if row.state == "other model" and row.newest_model is not None:
            which = f"the store's newest tracklets come from model {row.newest_model}"
            model = row.newest_model
        elif row.model != self._yardstick.fingerprint:
            which, model = f"the weights at hand are {self._yardstick.fingerprint}", row.model
        else:
            return
        if (row.id, model) not in self._warned:
            self._warned.add((row.id, model))
            log.warning(
                "watch %d (%s) has a query of model %s, but %s: these are not compared; "
                "make the query again with the new model",
                row.id, row.name, row.model, which,
            )  # fmt: skip


def _evidence(hit: Hit, model: str) -> dict[str, Any]:
    """What an alert keeps of a hit, for JSON."""
    shown = hit.as_json()
    return {
        **{key: shown[key] for key in ("why", "box", "parts", "shared")},
        "part_distance": hit.pair.part_distance,
        "global_distance": hit.pair.global_distance,
        "thresholds": hit.pair.thresholds,
        "model": model,
    }


def _passes(watch: WatchRow, block: VectorBlock) -> NDArray[np.bool_]:
    """(N,) what a watch may raise: its cameras, and never what its own query was made of."""
    passes = np.ones(len(block), np.bool_)
    if watch.cameras is not None:
        passes &= np.isin(np.asarray(block.cameras), watch.cameras)
    if watch.tracks:
        passes &= ~np.isin(block.tracks, watch.tracks)
    return passes
