"""Standing queries as rows: added and ended, each with its audit row.

How they are read stands in `storage/watches/rows.py`, their hits in `storage/watches/alerts.py`.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from reid.errors import ConfigError, StoreError
from reid.records import PartEmbeddings
from storage.audit import Audit, record
from storage.desk_models import Watch
from storage.media import write_file
from storage.models import Camera, Model, Track, iso_text, to_microsecond
from storage.rows import check_time, embedding_row, json_value
from storage.selects import chunks
from storage.store import Store
from storage.watches.rows import NotifyTarget
from storage.watches.sending import give_up

LEVELS = ("strong", "possible")
LONGEST_DAYS = 366  # a watch on a person has to end, or be asked for again
NAME_LENGTH = 200


@dataclass(frozen=True, slots=True, eq=False)
class NewWatch:
    """A watch to be added.

    Attributes:
        name: for people.
        actor: who asks.
        reason: why.
        expires: UTC seconds; at most `LONGEST_DAYS` away.
        embedding: the query, N = 1.
        weights: K part weights 0..1 of a masked query; None trusts all alike.
        level: the verdict that raises an alert: `strong`, or `possible` for both.
        cameras: only these; None for all.
        targets: where alerts are sent.
        attach_picture: whether the crop goes with what is sent.
        base_url: the page's address for links, without a slash at its end.
        picture: JPEG of the query.
        tracks: the stored tracks the query was made of: these raise nothing.
        identity: the identity it was made of.
        photos: names of the photos it was made of.
        address: where the request came from, for the audit row.
    """

    name: str
    actor: str
    reason: str
    expires: float
    embedding: PartEmbeddings
    weights: tuple[float, ...] | None = None
    level: str = "strong"
    cameras: tuple[str, ...] | None = None
    targets: tuple[NotifyTarget, ...] = ()
    attach_picture: bool = False
    base_url: str | None = None
    picture: bytes | None = None
    tracks: tuple[int, ...] = ()
    identity: int | None = None
    photos: tuple[str, ...] = ()
    address: str | None = None


def add_watch(store: Store, new: NewWatch) -> int:
    """Store a watch with its audit row; returns its id. Nothing is compared yet.

    Raises:
        ConfigError: naming the value that is out of bounds.
        StoreError: if the model or a camera is unknown to the store, or one of the query's tracks
            is not there any more: its look was erased.
    """
    name, reason = new.name.strip(), new.reason.strip()
    _check(new, name, reason)
    now = time.time()
    query = embedding_row(0, new.embedding, f"watch {name!r}")
    details = {
        "tracks": sorted(new.tracks),
        "identity": new.identity,
        "photos": list(new.photos),
        "past": None,
    }
    path = None
    if new.picture is not None:
        # Written before its row: a crash leaves a picture without a watch, never the reverse.
        path = f"watches/{hashlib.sha256(new.picture).hexdigest()[:16]}-{time.time_ns()}.jpg"
        write_file(store.media / path, new.picture)
    row = {
        "name": name,
        "created": to_microsecond(now),
        "actor": new.actor,
        "reason": reason,
        "expires": check_time(new.expires, f"watch {name!r}, expires"),
        "ended": None,
        **{key: query[key] for key in ("model", "parts", "global_parts", "quality")},
        "weights": None if new.weights is None else [float(w) for w in new.weights],
        "level": new.level,
        "cameras": None if new.cameras is None else sorted(set(new.cameras)),
        # As they are: json_value would take the passwords out that are needed to send.
        "notify": {
            "targets": [{"url": target.url, "shown": target.shown} for target in new.targets],
            "attach_picture": new.attach_picture,
            "base_url": new.base_url,
        },
        "picture": path,
        "covered": 0,
        "details": json_value(details, f"watch {name!r}"),
    }

    def write(connection: Connection) -> int:
        _check_known(connection, new, store.url)
        watch = int(connection.execute(insert(Watch).values(row).returning(Watch.id)).scalar_one())
        shown = {
            "level": new.level,
            "expires": iso_text(new.expires),
            "cameras": row["cameras"],
            "notify": [target.shown for target in new.targets],
            **{key: details[key] for key in ("tracks", "identity", "photos")},
        }
        subject = f"watch {watch}"
        record(connection, Audit(new.actor, "watch", subject, reason, shown, new.address))
        return watch

    try:
        return store.write(write)
    except BaseException:
        if path is not None:
            (store.media / path).unlink(missing_ok=True)
        raise


def end_watch(
    store: Store, watch: int, actor: str, reason: str, *, address: str | None = None
) -> None:
    """End a watch now, with an audit row; its alerts stay, and those that wait are not sent.

    Raises:
        StoreError: if there is no such watch, or it has ended already.
    """

    def write(connection: Connection) -> None:
        found = connection.execute(select(Watch.ended).where(Watch.id == watch)).first()
        if found is None:
            raise StoreError(f"store {store.url} has no watch {watch}")
        if found.ended is not None:
            raise StoreError(f"watch {watch} ended already, at {iso_text(found.ended)}")
        ended = to_microsecond(time.time())
        connection.execute(update(Watch).where(Watch.id == watch).values(ended=ended))
        give_up(connection, watch)
        subject = f"watch {watch}"
        record(connection, Audit(actor, "watch", subject, reason, {"ended": True}, address))

    store.write(write)


def end_expired(store: Store, now: float) -> list[int]:
    """End the watches whose time is over, at the time it was; returns their ids."""
    over = Watch.ended.is_(None) & (Watch.expires <= now)
    with store.reader().connection() as connection:
        if connection.execute(select(Watch.id).where(over).limit(1)).first() is None:
            return []  # the usual case costs no write

    def write(connection: Connection) -> list[int]:
        found = connection.execute(select(Watch.id).where(over)).scalars().all()
        for watch in found:
            connection.execute(update(Watch).where(Watch.id == watch).values(ended=Watch.expires))
            entry = Audit("crosscam", "watch", f"watch {watch}", "it expired", {"ended": True})
            record(connection, entry)
        return list(found)

    return store.write(write)


def _check(new: NewWatch, name: str, reason: str) -> None:
    if not name or len(name) > NAME_LENGTH:
        raise ConfigError(f"a watch needs a name of 1 to {NAME_LENGTH} characters, not {name!r}")
    if not reason:
        raise ConfigError(f"watch {name!r} needs a reason: it follows a person")
    if new.level not in LEVELS:
        raise ConfigError(f"watch {name!r}: level {new.level!r} is none of {', '.join(LEVELS)}")
    days = (new.expires - time.time()) / 86_400
    if not 0 < days <= LONGEST_DAYS:
        raise ConfigError(
            f"watch {name!r} would expire in {days:.1f} days; allowed: above 0, at most "
            f"{LONGEST_DAYS}"
        )
    if new.weights is None:
        return
    parts = new.embedding.quality.shape[1]
    if len(new.weights) != parts or not all(math.isfinite(w) and 0 <= w <= 1 for w in new.weights):
        raise ConfigError(f"watch {name!r}: weights {new.weights} are not {parts} numbers in 0..1")
    if not any(new.weights):
        raise ConfigError(f"watch {name!r}: all part weights are 0: nothing is left to compare")


def _check_known(connection: Connection, new: NewWatch, shown: str) -> None:
    fingerprint, shape = new.embedding.fingerprint, new.embedding.parts.shape[1:]
    found = select(Model.parts, Model.dim).where(Model.fingerprint == fingerprint)
    model = connection.execute(found).first()
    if model is None:
        known = connection.execute(select(Model.fingerprint)).scalars().all()
        raise StoreError(
            f"store {shown} knows no model {fingerprint}; it has: {', '.join(known) or 'none'}"
        )
    if tuple(model) != shape:
        raise StoreError(f"model {fingerprint} has (K, d) {tuple(model)}, the query has {shape}")
    _check_tracks(connection, new, shown)
    if new.cameras is None:
        return
    cameras = sorted(connection.execute(select(Camera.id)).scalars().all())
    unknown = sorted(set(new.cameras) - set(cameras))
    if unknown or not new.cameras:
        raise StoreError(
            f"store {shown} has no camera {', '.join(unknown) or '(none was named)'}; it has: "
            f"{', '.join(cameras) or 'none'}"
        )


def _check_tracks(connection: Connection, new: NewWatch, shown: str) -> None:
    """An erasure may have come between the query and its watch, by another process as well."""
    there: set[int] = set()
    for some in chunks(sorted(set(new.tracks))):
        there |= set(connection.execute(select(Track.id).where(Track.id.in_(some))).scalars())
    if gone := sorted(set(new.tracks) - there):
        raise StoreError(
            f"store {shown} has no track {gone[0]} any more, which watch {new.name.strip()!r} "
            "would be made of: it was erased"
        )
