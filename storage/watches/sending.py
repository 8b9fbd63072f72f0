"""Which alerts still have to be sent where: at least once each, with patience, never in a flood.

`alerts.sent` is `{"pending": bool, "targets": {"0": {...}, ...}}`, the keys being the places in the
watch's list of targets. A target's `state` is `waiting` (not before `next`), `sending` (somebody
does, until `next`: after a crash it is taken up again), `sent`, or `given up`.

A watch that a person ended sends nothing more; one that expired still sends what it raised in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, String, cast, select, update

from storage.desk_models import Alert, Watch
from storage.models import to_microsecond
from storage.queries import StoreReader
from storage.selects import AnyRow
from storage.store import Store

LEASE_SECONDS = 120.0  # longer than any attempt: a second process does not send what one sends
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0  # of one alert
LONGEST_SILENCE = 60.0  # of a target after a failure: one bad alert must not hold up the others
GIVE_UP_SECONDS = 7 * 86_400.0

# The column is JSON text; only rows with something left to do are read.
_PENDING = cast(Alert.sent, String).like('%"pending": true%')
# Who expires ends just then (`storage/watches/edit.py`); any other end is a person's.
_ENDED_BY_A_PERSON = Watch.ended.is_not(None) & (Watch.ended != Watch.expires)
ENDED = "the watch was ended"


@dataclass(frozen=True, slots=True)
class Job:
    """One alert for one target. `url` may hold a secret."""

    alert: int
    watch: int
    place: str
    url: str = field(repr=False)
    shown: str
    attempts: int
    attach_picture: bool
    base_url: str | None


def claim(store: Store, now: float, skip: Sequence[str] = ()) -> Job | None:
    """Take the oldest alert that has to be sent now; nobody else gets it for `LEASE_SECONDS`.

    After a failure its target is left in peace for a while; then one alert tries whether it is
    back, the one that waited longest, and the others follow.

    Args:
        store: where to look.
        now: UTC seconds.
        skip: addresses that had enough for the moment.
    """
    with store.reader().connection() as connection:
        if not _due(_pending(connection), now, skip):
            return None  # the usual case costs no write

    def write(connection: Connection) -> Job | None:
        due = _due(_pending(connection), now, skip)
        if not due:
            return None
        row, place = due[0]
        target = row.notify["targets"][int(place)]
        entry = row.sent["targets"][place]
        entry = {**entry, "state": "sending", "next": now + LEASE_SECONDS}
        _store(connection, row.id, row.sent, place, entry)
        return Job(
            alert=row.id,
            watch=row.watch,
            place=place,
            url=target["url"],
            shown=target["shown"],
            attempts=entry["attempts"],
            attach_picture=bool(row.notify["attach_picture"]),
            base_url=row.notify["base_url"],
        )

    return store.write(write)


def settle(
    store: Store, job: Job, now: float, error: str | None, *, for_good: bool = False
) -> None:
    """Remember how a job went; a failed one waits twice as long each time.

    Args:
        store: where to write.
        job: from `claim`.
        now: UTC seconds.
        error: why it failed, without secrets; None: it was sent.
        for_good: it failed and is not tried again.
    """

    def write(connection: Connection) -> None:
        found = select(Alert.id, Alert.sent, Alert.raised, _ENDED_BY_A_PERSON.label("ended"))
        found = found.join(Watch, Watch.id == Alert.watch).where(Alert.id == job.alert)
        row = connection.execute(found).first()
        if row is None:
            return  # erased meanwhile
        attempts = job.attempts + 1
        if error is None:
            entry = {"state": "sent", "attempts": attempts, "at": to_microsecond(now)}
        else:
            over = for_good or row.ended or now - row.raised > GIVE_UP_SECONDS
            entry = {
                "state": "given up" if over else "waiting",
                "attempts": attempts,
                "next": now + pause(attempts),
                "tried": to_microsecond(now),
                "error": error[:500],
            }
        _store(connection, row.id, row.sent, job.place, entry)

    store.write(write)


def give_up(connection: Connection, watch: int) -> None:
    """Send nothing more of a watch that a person ends; what is being sent now may arrive."""
    found = select(Alert.id, Alert.sent).where(Alert.watch == watch, _PENDING)
    for row in connection.execute(found).all():
        targets = {
            place: {**entry, "state": "given up", "error": ENDED}
            if entry["state"] == "waiting"
            else entry
            for place, entry in row.sent["targets"].items()
        }
        _put(connection, row.id, targets)


def pause(attempts: int) -> float:
    """Seconds to wait after so many failed attempts."""
    return float(min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE))


def waiting(reader: StoreReader) -> int:
    """How many alerts have to be sent to some target yet."""
    with reader.connection() as connection:
        return len(_pending(connection))


def _pending(connection: Connection) -> list[AnyRow]:
    found = (
        select(Alert.id, Alert.watch, Alert.sent, Watch.notify)
        .join(Watch, Watch.id == Alert.watch)
        .where(_PENDING, ~_ENDED_BY_A_PERSON)
        .order_by(Alert.id)
    )
    return list(connection.execute(found))


def _due(rows: Sequence[AnyRow], now: float, skip: Sequence[str]) -> list[tuple[AnyRow, str]]:
    """(alert, place) to be sent now, longest waiting first; nothing for a target in trouble."""
    busy: set[str] = set(skip)
    for row in rows:
        for place, entry in row.sent["targets"].items():
            if _holds_up(entry, now):
                busy.add(row.notify["targets"][int(place)]["url"])
    due = [
        (row, place)
        for row in rows
        for place, entry in row.sent["targets"].items()
        if entry["state"] in ("waiting", "sending")
        and entry["next"] <= now
        and row.notify["targets"][int(place)]["url"] not in busy
    ]
    return sorted(due, key=lambda job: (job[0].sent["targets"][job[1]]["next"], job[0].id))


def _holds_up(entry: Mapping[str, Any], now: float) -> bool:
    """Whether the other alerts for this target have to wait for this one."""
    if entry["state"] == "sending":
        return bool(entry["next"] > now)
    if entry["state"] != "waiting" or not entry["attempts"]:
        return False
    return bool(now < entry["tried"] + min(pause(entry["attempts"]), LONGEST_SILENCE))


def _store(
    connection: Connection, alert: int, sent: dict[str, Any], place: str, entry: dict[str, Any]
) -> None:
    _put(connection, alert, {**sent["targets"], place: entry})


def _put(connection: Connection, alert: int, targets: Mapping[str, Mapping[str, Any]]) -> None:
    pending = any(e["state"] in ("waiting", "sending") for e in targets.values())
    values = {"sent": {"pending": pending, "targets": targets}}
    connection.execute(update(Alert).where(Alert.id == alert).values(values))
