"""Watches and alerts as pages and programs ask for them, as far as a visitor may see them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from fastapi import HTTPException, Request

from investigation.asking import choose_filters
from investigation.search.queries import Query, from_identity, from_track
from investigation.search.yardstick import Yardstick
from investigation.watching.crops import crop_of
from investigation.watching.new_watch import expiry, new_watch
from investigation.watching.targets import read_targets
from investigation.watching.thread import WatchThread
from reid.errors import ConfigError, StoreError
from storage.records import ExemplarRow
from storage.sightings import tracks_by_id
from storage.watches.alerts import AlertRow, count_unseen, one_alert
from storage.watches.edit import add_watch
from storage.watches.rows import WatchRow, watches
from web.access import Visitor
from web.room import SearchRoom
from web.searching import again
from web.times import with_offset
from web.words import one_line

# Whom a server on the inside of a network posts to is chosen by whoever may add a watch. These
# services read no file of the server and reach nothing but the host that they name; the others
# are for the command line, or for a variable of the environment.
SERVICES = ("https", "http", "jsons", "json", "mqtts", "mqtt", "mailtos", "mailto", "ntfys", "ntfy")
VARIABLE = re.compile(r"\$\{CROSSCAM_NOTIFY_[A-Z0-9_]+\}")
# Of mailto://: with a library for PGP at hand they have files of the server read, and hosts asked
# that the sender of a key names.
NOT_OVER_THE_NETWORK = re.compile(r"pgp\w*|wkd")
SPANS = {"12h": "12 hours", "1d": "a day", "2d": "2 days", "7d": "a week", "30d": "30 days"}


@dataclass(frozen=True, slots=True)
class WatchWishes:
    """What somebody asked for beside the person, as they wrote it; shown again in the form.

    Attributes:
        name: for people.
        reason: why.
        expires: as `investigation.watching.new_watch.expiry` reads it.
        level: `strong` or `possible`.
        cameras: ids; none is all they may see.
        notify: addresses.
        attach_picture: whether the crop is sent as well.
    """

    name: str = ""
    reason: str = ""
    expires: str = "2d"
    level: str = "strong"
    cameras: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    attach_picture: bool = False


def whom(
    who: Visitor, room: SearchRoom, query: str, track: int | None, identity: int | None
) -> Query:
    """Whom a watch is to look for.

    Args:
        who: asks; sees what the query is made of.
        room: keeps the searches.
        query: key of a search; empty for none.
        track: of the store.
        identity: of the store.

    Raises:
        ConfigError: if not exactly one is named.
        HTTPException: 404 if it is not there or not theirs.
        DataError: if no picture of it was good enough to be compared.
    """
    if sum((bool(query), track is not None, identity is not None)) != 1:
        raise ConfigError("a watch is made of one search, one track or one identity")
    if query:
        return again(who, room, query)
    reader = who.desk.reader
    fingerprint = yardstick(who).fingerprint
    if track is not None:
        rows = tracks_by_id(reader, [track])
        if not rows:
            raise HTTPException(404, f"there is no track {track}")
        who.check_camera(rows[0].camera, f"track {track}")
        return from_track(reader, track, fingerprint)
    assert identity is not None  # noqa: S101 - one of three, counted above
    if not any(who.may_see(row.camera) for row in reader.tracks(identity=identity)):
        raise HTTPException(404, f"there is no identity {identity}")
    return from_identity(reader, identity, fingerprint, who.cameras)


def yardstick(who: Visitor) -> Yardstick:
    """Of the model that this server searches with."""
    return Yardstick.from_weights(who.desk.settings.weights)


def make(who: Visitor, query: Query, wishes: WatchWishes) -> int:
    """Add a watch in the visitor's name, within the cameras they may see; returns its id.

    Raises:
        ConfigError: naming the value that cannot be used; never shows a secret.
        DataError, FingerprintMismatch, StoreError: if it cannot be compared or written.
    """
    cameras = choose_filters(who.desk.reader, wishes.cameras, visible=who.cameras).cameras
    if cameras is not None and not cameras:
        raise ConfigError("you see no camera, so that nothing can be watched for you")
    new = new_watch(
        query,
        yardstick(who),
        name=one_line(wishes.name),
        actor=who.name,
        reason=one_line(wishes.reason),
        expires=expiry(with_offset(wishes.expires, last=True)),
        level=wishes.level,
        cameras=sorted(cameras or ()),
        targets=read_targets(check_notify(wishes.notify)),
        attach_picture=wishes.attach_picture,
        base_url=None if who.desk.settings.base_url is None else who.desk.settings.base_url,
    )
    return add_watch(who.desk.store, replace(new, address=who.address))


def check_notify(addresses: Sequence[str]) -> list[str]:
    """Addresses that may come over the network, without empty ones.

    A variable stands for a whole address: else whoever names the host could have any secret of
    the server's environment sent there.

    Raises:
        ConfigError: naming the rule; never shows the address.
    """
    found = [text.strip() for text in addresses if text.strip()]
    for text in found:
        scheme = text.partition("://")[0].lower()
        if "${" in text:
            if not VARIABLE.fullmatch(text):
                raise ConfigError(
                    "a notify address from the environment is ${CROSSCAM_NOTIFY_NAME} alone, "
                    "without anything around it"
                )
        elif scheme not in SERVICES:
            raise ConfigError(
                f"notify address {scheme[:20]!r}...: here these are allowed: "
                f"{', '.join(f'{name}://' for name in SERVICES)}; others by `crosscam watch add`, "
                "or in a variable ${CROSSCAM_NOTIFY_NAME} of the server"
            )
        elif scheme in ("mailto", "mailtos"):
            _check_mail(text)
    return found


def _check_mail(address: str) -> None:
    """Refuse what would make the server read its files; names are read as apprise reads them."""
    for option in re.split(r"[?&;]", address)[1:]:
        name = unquote(option.partition("=")[0]).strip().lower()
        if NOT_OVER_THE_NETWORK.fullmatch(name):
            raise ConfigError(
                f"notify address mailto://...: the option {name[:20]} is not taken here; it is "
                "by `crosscam watch add`, or in a variable ${CROSSCAM_NOTIFY_NAME} of the server"
            )


def visible(who: Visitor, rows: Sequence[WatchRow]) -> list[WatchRow]:
    """Those whose picture and alerts the visitor may all see."""
    if who.cameras is None:
        return list(rows)
    tracks = {track for row in rows for track in row.tracks}
    outside = {t.id for t in tracks_by_id(who.desk.reader, tracks) if not who.may_see(t.camera)}
    return [
        row
        for row in rows
        if row.cameras is not None
        and who.cameras.issuperset(row.cameras)
        and outside.isdisjoint(row.tracks)
    ]


def find_watch(who: Visitor, number: int) -> WatchRow:
    """A watch that the visitor may see.

    Raises:
        HTTPException: 404 if there is none.
    """
    found = visible(who, watches(who.desk.reader, watch=number))
    if not found:
        raise HTTPException(404, f"there is no watch {number}")
    return found[0]


def scope(who: Visitor) -> list[int] | None:
    """The watches whose alerts the visitor may see; None for all."""
    if who.cameras is None:
        return None
    return [row.id for row in visible(who, watches(who.desk.reader))]


def unseen(who: Visitor) -> int:
    """How many alerts that the visitor may see nobody marked as seen."""
    return count_unseen(who.desk.reader, cameras=who.cameras, watches=scope(who))


def find_alert(who: Visitor, number: int) -> tuple[AlertRow, WatchRow]:
    """An alert that the visitor may see, and its watch.

    Raises:
        HTTPException: 404 if there is none.
    """
    missing = HTTPException(404, f"there is no alert {number}")
    try:
        row = one_alert(who.desk.reader, number)
    except StoreError:
        if who.desk.healthy():
            raise missing from None
        raise
    found = visible(who, watches(who.desk.reader, watch=row.watch))
    if not found or not who.may_see(row.camera):
        raise missing
    return row, found[0]


def picture_of(who: Visitor, alert: AlertRow) -> ExemplarRow | None:
    """The crop that raised an alert; the track's best where that was replaced since."""
    return crop_of(who.desk.reader, alert)


def watching(request: Request) -> WatchThread | None:
    """What looks at new tracklets in this server; None: it was started without."""
    found: WatchThread | None = getattr(request.app.state, "watching", None)
    return found
