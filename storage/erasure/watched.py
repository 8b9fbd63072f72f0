"""Watches and erasure: those made of the erased, those that found them, and removing one for good.

A watch holds a look, and often a photo. It may be somebody's standing order for another person, so
an erasure takes only those that were made of the identity, and only when told to; one made of a
photo that found the identity's tracks is named, for a person to judge.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from reid.errors import StoreError
from storage import scrub
from storage.audit import Audit, record
from storage.desk_models import Alert, Watch
from storage.erasure.records import DoomedTrack, Going, Remain
from storage.models import iso_text
from storage.selects import AnyRow, chunks
from storage.store import Store

REMOVE = "remove it with: crosscam erase --watch {}"
_LEFT = {"sent": "was sent", "sending": "is being sent"}


@dataclass(frozen=True, slots=True)
class ErasedWatch:
    """What went with a watch.

    Attributes:
        watch: the one that is gone.
        counts: rows removed, by what they were: `alerts`, `watches`; and `files`.
        problems: what has to be done again, in sentences (`crosscam erase --finish`).
    """

    watch: int
    counts: dict[str, int]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"watch": self.watch, "removed": self.counts, "problems": list(self.problems)}


def watches_of(
    connection: Connection, identities: Collection[int], tracks: Sequence[DoomedTrack]
) -> dict[int, str]:
    """Watches whose query was made of the identities or the tracks: id -> name."""
    ids = {track.id for track in tracks}
    rows = connection.execute(select(Watch.id, Watch.name, Watch.details).order_by(Watch.id))
    return {
        number: name
        for number, name, details in rows
        if details.get("identity") in identities or ids & set(details.get("tracks") or ())
    }


def kept(watches: dict[int, str]) -> Iterator[Remain]:
    """What to say of watches made of the identity that stay."""
    for number, name in watches.items():
        what = f"watch {number} ({name}) was made of it and holds its look"
        yield Remain("watch", f"{what}; {REMOVE.format(number)}")


def told(
    connection: Connection, tracks: Sequence[DoomedTrack], made_of: Collection[int]
) -> Iterator[Remain]:
    """Pictures that alerts sent out of the house, and watches by photo that found the tracks.

    Args:
        connection: the store.
        tracks: those that go.
        made_of: watches that were made of the identity: they are told elsewhere.
    """
    rows = _alerts(connection, [track.id for track in tracks])
    for row in rows:
        yield from _sent(row)
    found: dict[int, list[AnyRow]] = {}
    for row in rows:
        if row.details.get("photos") and row.watch not in made_of:
            found.setdefault(row.watch, []).append(row)
    for watch, alerts in sorted(found.items()):
        photos = ", ".join(alerts[0].details["photos"])
        ids = ", ".join(str(row.track) for row in alerts)
        yield Remain(
            "watch",
            f"watch {watch} ({alerts[0].name}) was made of {photos} and raised alerts on tracks "
            f"{ids}: if that is the person, it holds their photo and look, also once it has "
            f"ended; {REMOVE.format(watch)}",
        )


def erase_watch(
    store: Store,
    watch: int,
    actor: str,
    reason: str,
    *,
    rewrite: bool = False,
    address: str | None = None,
) -> ErasedWatch:
    """Remove a watch for good: its photo, its look and its alerts; one audit entry stays.

    Args:
        store: where.
        watch: which.
        actor: who erases, for the audit entry.
        reason: why, for the audit entry.
        rewrite: as in `storage.erasure.erase.erase`.
        address: where the request came from.

    Raises:
        StoreError: if there is no such watch, the actor or the reason is empty, or the store
            cannot be written. Nothing is erased then.
    """
    check_words(actor, reason)

    def write(connection: Connection) -> Going:
        if connection.execute(select(Watch.id).where(Watch.id == watch)).first() is None:
            raise StoreError(f"store {store.url} has no watch {watch}")
        going = Going()
        take_watches(connection, [watch], going)
        details = {"removed": going.counts}
        record(connection, Audit(actor, "erase", f"watch {watch}", reason, details, address))
        scrub.note_files(store.media, watch, going.paths)
        return going

    going = store.write(write)
    problems = scrub.finish(store, rewrite=rewrite)
    return ErasedWatch(watch, going.counts | {"files": len(going.paths)}, tuple(problems))


def check_words(actor: str, reason: str) -> None:
    """Refuse an erasure that does not say who and why.

    Raises:
        StoreError: naming what is empty.
    """
    for name, text in (("actor", actor), ("reason", reason)):
        if not text.strip():
            raise StoreError(f"erase: the {name} is empty; an erasure says who and why")


def take_watches(connection: Connection, watches: Iterable[int], going: Going) -> None:
    """Delete watches with their alerts; their pictures are noted in `going`."""
    for watch in watches:
        picture = connection.execute(select(Watch.picture).where(Watch.id == watch)).scalar()
        going.paths += [] if picture is None else [picture]
        gone = connection.execute(delete(Alert).where(Alert.watch == watch))
        going.count("alerts", gone.rowcount)
        going.count("watches", connection.execute(delete(Watch).where(Watch.id == watch)).rowcount)


def _alerts(connection: Connection, tracks: Sequence[int]) -> list[AnyRow]:
    rows: list[AnyRow] = []
    for some in chunks(tracks):
        found = (
            select(Alert.id, Alert.watch, Alert.track, Alert.sent)
            .add_columns(Watch.name, Watch.notify, Watch.details)
            .join(Watch, Watch.id == Alert.watch)
            .where(Alert.track.in_(some))
        )
        rows += connection.execute(found.order_by(Alert.id))
    return rows


def _sent(alert: AnyRow) -> Iterator[Remain]:
    """Where a picture of the track went, or may have gone."""
    if not alert.notify.get("attach_picture"):
        return
    for place, entry in alert.sent.get("targets", {}).items():
        if entry["state"] in _LEFT:
            target = alert.notify["targets"][int(place)]["shown"]  # never the address: secrets
            when = f", {iso_text(entry['at'])}" if "at" in entry else ""
            yield Remain(
                "sent picture",
                f"a picture of track {alert.track} {_LEFT[entry['state']]} to {target} (alert "
                f"{alert.id} of watch {alert.watch}, {alert.name}{when})",
            )
