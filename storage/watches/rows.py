"""Standing queries as they are read: what was asked, until when, and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from reid.errors import StoreError
from reid.records import FloatArray, PartEmbeddings
from storage.desk_models import Alert, Watch
from storage.models import Model, iso_text
from storage.queries import StoreReader
from storage.selects import AnyRow
from storage.vectors import newest_model


@dataclass(frozen=True, slots=True)
class NotifyTarget:
    """Where an alert is sent. `url` may hold a secret; `shown` is for every eye."""

    url: str = field(repr=False)
    shown: str


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A watch as stored; times are UTC seconds, `picture` as in `ExemplarRow`.

    Attributes:
        state: `active`; `ended`; or `other model`: the newest tracklets come from another model
            than the query, so nothing is compared until the query is made again.
        newest_model: the model of the newest tracklet in the store, if there is one.
        past: `found` and `raised` of the search through the past; None: not done yet.
        alerts: how many it raised.
        unseen: how many of these nobody looked at yet.
    """

    id: int
    name: str
    created: float
    actor: str
    reason: str
    expires: float
    ended: float | None
    model: str
    weights: tuple[float, ...] | None
    level: str
    cameras: tuple[str, ...] | None
    targets: tuple[NotifyTarget, ...]
    attach_picture: bool
    base_url: str | None
    picture: Path | None
    covered: int
    tracks: tuple[int, ...]
    identity: int | None
    photos: tuple[str, ...]
    past: dict[str, int] | None
    state: str
    newest_model: str | None
    alerts: int
    unseen: int

    def as_json(self) -> dict[str, Any]:
        """For programs: times ISO 8601 UTC, no secret."""
        return {
            "watch": self.id,
            "name": self.name,
            "state": self.state,
            "level": self.level,
            "created": iso_text(self.created),
            "expires": iso_text(self.expires),
            "ended": None if self.ended is None else iso_text(self.ended),
            "actor": self.actor,
            "reason": self.reason,
            "cameras": None if self.cameras is None else list(self.cameras),
            "notify": [target.shown for target in self.targets],
            "model": self.model,
            "tracks": list(self.tracks),
            "identity": self.identity,
            "photos": list(self.photos),
            "past": self.past,
            "alerts": self.alerts,
            "unseen": self.unseen,
        }


def watches(
    reader: StoreReader, *, active: bool | None = None, watch: int | None = None
) -> list[WatchRow]:
    """Watches, newest first.

    Args:
        reader: the store.
        active: only those that have not ended (True) or have (False).
        watch: only this one.
    """
    counts = (
        select(Alert.watch, func.count().label("alerts"), func.count(Alert.seen).label("seen"))
        .group_by(Alert.watch)
        .subquery()
    )
    leave_out = ("parts", "global_parts", "quality")
    columns = [c for c in Watch.__table__.columns if c.name not in leave_out]
    found = (
        select(*columns, counts.c.alerts, counts.c.seen)
        .outerjoin(counts, counts.c.watch == Watch.id)
        .order_by(Watch.id.desc())
    )
    if active is not None:
        found = found.where(Watch.ended.is_(None) if active else Watch.ended.is_not(None))
    if watch is not None:
        found = found.where(Watch.id == watch)
    with reader.connection() as connection:
        rows = connection.execute(found).all()
        newest = newest_model(connection) if rows else None
    return [_row(row, newest, reader.media or Path()) for row in rows]


def one_watch(reader: StoreReader, watch: int) -> WatchRow:
    """One watch.

    Raises:
        StoreError: if there is none of this number; says which there are.
    """
    found = watches(reader, watch=watch)
    if not found:
        there = ", ".join(str(row.id) for row in watches(reader)[:10]) or "no watch at all"
        raise StoreError(f"store {reader.url} has no watch {watch}; it has: {there}")
    return found[0]


def watch_queries(reader: StoreReader, chosen: Sequence[int]) -> dict[int, PartEmbeddings]:
    """The queries of some watches, as they were added (weights not applied); N = 1 each."""
    found = (
        select(Watch.id, Watch.parts, Watch.global_parts, Watch.quality, Model.fingerprint)
        .add_columns(Model.parts.label("K"), Model.dim.label("d"))
        .join(Model, Model.fingerprint == Watch.model)
        .where(Watch.id.in_(chosen))
    )
    with reader.connection() as connection:
        return {row.id: _query(row) for row in connection.execute(found)}


def _row(row: AnyRow, newest: str | None, media: Path) -> WatchRow:
    state = "active" if newest in (None, row.model) else "other model"
    return WatchRow(
        id=row.id,
        name=row.name,
        created=row.created,
        actor=row.actor,
        reason=row.reason,
        expires=row.expires,
        ended=row.ended,
        model=row.model,
        weights=None if row.weights is None else tuple(row.weights),
        level=row.level,
        cameras=None if row.cameras is None else tuple(row.cameras),
        targets=tuple(NotifyTarget(t["url"], t["shown"]) for t in row.notify["targets"]),
        attach_picture=bool(row.notify["attach_picture"]),
        base_url=row.notify["base_url"],
        picture=None if row.picture is None else media / row.picture,
        covered=row.covered,
        tracks=tuple(row.details["tracks"]),
        identity=row.details["identity"],
        photos=tuple(row.details["photos"]),
        past=row.details["past"],
        state="ended" if row.ended is not None else state,
        newest_model=newest,
        alerts=row.alerts or 0,
        unseen=(row.alerts or 0) - (row.seen or 0),
    )


def _query(row: AnyRow) -> PartEmbeddings:
    def half(blob: bytes, shape: tuple[int, ...]) -> FloatArray:
        return np.frombuffer(blob, "<f2").reshape(1, *shape).astype(np.float32)

    whole = (row.K, row.d)
    return PartEmbeddings(
        half(row.parts, whole),
        half(row.global_parts, whole),
        half(row.quality, (row.K,)),
        row.fingerprint,
    )
