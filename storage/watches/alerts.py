"""Hits of standing queries: raised once per watch and track, listed, and marked as seen."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from reid.errors import StoreError
from storage.audit import Audit, record
from storage.desk_models import Alert, Watch
from storage.models import Camera, LedgerEntry, Track, iso_text, to_microsecond
from storage.queries import StoreReader
from storage.rows import check_time, json_value
from storage.selects import CURRENT, AnyRow, AnySelect, chunks
from storage.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class NewAlert:
    """A hit to be stored.

    Attributes:
        track: what looks alike.
        time: capture time of the picture shown, UTC seconds.
        distance: D of Eq. 15.
        support: the denominator of Eq. 2.
        verdict: `strong` or `possible`.
        evidence: for JSON: `why`, `box`, `parts`, `shared` ... (see
            `investigation/watching/watcher.py`).
        send: whether the watch's targets are told; False for the past's many.
    """

    track: int
    time: float
    distance: float
    support: float
    verdict: str
    evidence: Mapping[str, Any]
    send: bool = True


@dataclass(frozen=True, slots=True)
class AlertRow:
    """A hit as stored, with its track as it is now; times are UTC seconds.

    `sent` says per target of the watch (by its place in the list, as text) how it went.
    """

    id: int
    watch: int
    watch_name: str
    track: int
    identity: int | None
    camera: str
    place: str | None
    start: float
    end: float
    raised: float
    time: float
    distance: float
    support: float
    verdict: str
    evidence: dict[str, Any]
    sent: dict[str, Any]
    seen: float | None
    seen_by: str | None

    def as_json(self) -> dict[str, Any]:
        """For programs: times ISO 8601 UTC, `box` [left, top, width, height] in pixels."""
        return {
            "alert": self.id,
            "watch": self.watch,
            "name": self.watch_name,
            "track": self.track,
            "identity": self.identity,
            "camera": self.camera,
            "place": self.place,
            "start": iso_text(self.start),
            "end": iso_text(self.end),
            "raised": iso_text(self.raised),
            "time": iso_text(self.time),
            "box": self.evidence.get("box"),
            "distance": self.distance,
            "support": self.support,
            "verdict": self.verdict,
            "why": self.evidence.get("why", ""),
            "parts": self.evidence.get("parts", []),
            "sent": self.sent.get("targets", {}),
            "seen": None if self.seen is None else iso_text(self.seen),
            "seen_by": self.seen_by,
        }


def save_hits(
    store: Store,
    hits: Mapping[int, Sequence[NewAlert]],
    covered: Mapping[int, int],
    now: float,
    past: Mapping[int, Mapping[str, int]] | None = None,
) -> dict[int, list[int]]:
    """Raise alerts and remember how far their watches have come, in one transaction.

    A track that has an alert of the watch raises no second one; if it now looks more alike, its
    row says so. A watch that ended meanwhile, and a track that was erased, get nothing.

    Args:
        store: where to write.
        hits: per watch.
        covered: per watch, the revision up to which it has been compared; never goes back.
        now: UTC seconds.
        past: per watch whose past was covered by this: `found` and `raised`.

    Returns:
        Per watch, the ids of the alerts that are new.
    """

    def write(connection: Connection) -> dict[int, list[int]]:
        found = connection.execute(
            select(Watch.id, Watch.covered, Watch.notify, Watch.details)
            .where(Watch.id.in_(sorted(covered)), Watch.ended.is_(None), Watch.expires > now)
            .order_by(Watch.id)
        ).all()
        raised: dict[int, list[int]] = {}
        for watch in found:
            values: dict[str, Any] = {"covered": max(watch.covered, covered[watch.id])}
            if past is not None and watch.id in past:
                values["details"] = {**watch.details, "past": dict(past[watch.id])}
            connection.execute(update(Watch).where(Watch.id == watch.id).values(values))
            ids = _raise(connection, watch, hits.get(watch.id, ()), now)
            if ids:
                raised[watch.id] = ids
        return raised

    return store.write(write)


def alerts(
    reader: StoreReader,
    *,
    watch: int | None = None,
    unseen: bool = False,
    cameras: frozenset[str] | None = None,
    watches: Collection[int] | None = None,
    after: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[AlertRow]:
    """Alerts, newest first.

    Args:
        reader: the store.
        watch: only of this watch.
        unseen: only those that nobody marked as seen.
        cameras: only of these cameras (what a user may see); None for all.
        watches: only of these watches; None for all.
        after: only above this id.
        before: only below this id, for the next page.
        limit: rows, at most.
    """
    found = _select().order_by(Alert.id.desc()).limit(limit)
    if watch is not None:
        found = found.where(Alert.watch == watch)
    if unseen:
        found = found.where(Alert.seen.is_(None))
    if cameras is not None:
        found = found.where(Track.camera.in_(sorted(cameras)))
    if watches is not None:
        found = found.where(Alert.watch.in_(sorted(watches)))
    if after is not None:
        found = found.where(Alert.id > after)
    if before is not None:
        found = found.where(Alert.id < before)
    with reader.connection() as connection:
        return [AlertRow(*row) for row in connection.execute(found)]


def count_unseen(
    reader: StoreReader,
    *,
    cameras: frozenset[str] | None = None,
    watches: Collection[int] | None = None,
) -> int:
    """How many alerts nobody marked as seen; filters as for `alerts`."""
    found = select(func.count()).select_from(Alert).where(Alert.seen.is_(None))
    if cameras is not None:
        found = found.join(Track, Track.id == Alert.track)
        found = found.where(Track.camera.in_(sorted(cameras)))
    if watches is not None:
        found = found.where(Alert.watch.in_(sorted(watches)))
    with reader.connection() as connection:
        return int(connection.execute(found).scalar_one())


def one_alert(reader: StoreReader, alert: int) -> AlertRow:
    """One alert.

    Raises:
        StoreError: if there is none of this number.
    """
    with reader.connection() as connection:
        row = connection.execute(_select().where(Alert.id == alert)).first()
    if row is None:
        raise StoreError(f"store {reader.url} has no alert {alert}")
    return AlertRow(*row)


def mark_seen(
    store: Store, chosen: Sequence[int], actor: str, *, address: str | None = None
) -> list[int]:
    """Say that somebody looked at alerts, with an audit row each.

    Returns:
        The ids that were not marked before; who saw an alert first stays.

    Raises:
        StoreError: if one of them is not there; then none is marked.
    """
    wanted = sorted(set(chosen))
    now = to_microsecond(time.time())

    def write(connection: Connection) -> list[int]:
        rows: dict[int, AnyRow] = {}
        for some in chunks(wanted):
            found = select(Alert.id, Alert.watch, Alert.track, Alert.seen)
            found = found.where(Alert.id.in_(some))
            rows |= {row.id: row for row in connection.execute(found)}
        missing = [alert for alert in wanted if alert not in rows]
        if missing:
            raise StoreError(f"store {store.url} has no alert {missing[0]}")
        new = [alert for alert in wanted if rows[alert].seen is None]
        for alert in new:
            seen = {"seen": now, "seen_by": actor}
            connection.execute(update(Alert).where(Alert.id == alert).values(seen))
            about = {"watch": rows[alert].watch, "track": rows[alert].track}
            entry = Audit(actor, "alert-seen", f"alert {alert}", "", about, address)
            record(connection, entry)
        return new

    return store.write(write)


def _select() -> AnySelect:
    """Columns of `AlertRow`."""
    found: AnySelect = (
        select(
            Alert.id,
            Alert.watch,
            Watch.name,
            Alert.track,
            LedgerEntry.identity,
            Track.camera,
            Camera.place,
            Track.start,
            Track.end,
            Alert.raised,
            Alert.time,
            Alert.distance,
            Alert.support,
            Alert.verdict,
            Alert.evidence,
            Alert.sent,
            Alert.seen,
            Alert.seen_by,
        )
        .join(Watch, Watch.id == Alert.watch)
        .join(Track, Track.id == Alert.track)
        .join(Camera, Camera.id == Track.camera)
        .outerjoin(LedgerEntry, CURRENT)
    )
    return found


def _raise(
    connection: Connection, watch: AnyRow, hits: Sequence[NewAlert], now: float
) -> list[int]:
    known: dict[int, float] = {}
    there: set[int] = set()
    tracks = sorted({hit.track for hit in hits})
    for some in chunks(tracks):
        old = select(Alert.track, Alert.distance).where(
            Alert.watch == watch.id, Alert.track.in_(some)
        )
        known |= {row.track: row.distance for row in connection.execute(old)}
        there |= set(connection.execute(select(Track.id).where(Track.id.in_(some))).scalars())
    raised: list[int] = []
    for hit in hits:
        values = _values(hit, f"watch {watch.id}, track {hit.track}")
        if hit.track not in there:
            continue  # erased since it was compared
        if hit.track not in known:
            sent = _to_send(len(watch.notify["targets"]) if hit.send else 0, now)
            row = {"watch": watch.id, "track": hit.track, "raised": to_microsecond(now)}
            new = insert(Alert).values({**row, **values, "sent": sent}).returning(Alert.id)
            raised.append(int(connection.execute(new).scalar_one()))
            known[hit.track] = hit.distance
        elif hit.distance < known[hit.track]:
            better = update(Alert).where(Alert.watch == watch.id, Alert.track == hit.track)
            connection.execute(better.values(values))
            known[hit.track] = hit.distance
    return raised


def _values(hit: NewAlert, what: str) -> dict[str, Any]:
    return {
        "time": check_time(hit.time, what),
        "distance": float(hit.distance),
        "support": float(hit.support),
        "verdict": hit.verdict,
        "evidence": json_value(dict(hit.evidence), what),
    }


def _to_send(targets: int, now: float) -> dict[str, Any]:
    """What `storage/watches/sending.py` goes on from."""
    return {
        "pending": targets > 0,
        "targets": {
            str(place): {"state": "waiting", "attempts": 0, "next": now} for place in range(targets)
        },
    }
