"""The API's watches and alerts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from reid.errors import ConfigError
from storage.watches.alerts import AlertRow, alerts, mark_seen
from storage.watches.edit import end_watch
from storage.watches.rows import WatchRow, watches
from web.access import Investigator, Visitor
from web.ids import BEYOND, Id, InPath, InQuery
from web.room import TheRoom
from web.routes.api import ERRORS, ProblemAnswer
from web.routes.api_search import PICTURES
from web.watch import WatchWishes, find_alert, find_watch, make, picture_of, scope, visible, whom
from web.words import one_line

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS
    | {404: {"model": ProblemAnswer, "description": "There is none that may be seen"}},
)


class WatchAnswer(BaseModel):
    """A standing query."""

    model_config = ConfigDict(extra="allow")

    watch: int
    name: str
    state: str = Field(description="active; ended; other model: nothing is compared.")
    level: str = Field(description="The verdict that raises an alert: strong, or possible (both).")
    created: str
    expires: str
    ended: str | None
    reason: str
    cameras: list[str] | None = Field(description="Only these; null: all.")
    notify: list[str] = Field(description="Where alerts are sent, without secrets.")
    tracks: list[int] = Field(description="Of which the query was made; empty: of photos.")
    identity: int | None
    past: dict[str, int] | None = Field(description="found, raised; null: not looked through yet.")
    alerts: int
    unseen: int


class AlertAnswer(BaseModel):
    """A track that looks like somebody who is watched for; it looks alike, no more."""

    model_config = ConfigDict(extra="allow")

    alert: int
    watch: int
    track: int
    identity: int | None
    camera: str
    time: str = Field(description="Of the picture, ISO 8601 UTC.")
    distance: float
    verdict: str = Field(description="strong or possible.")
    why: str
    picture: str | None = Field(description=f"Where the crop is: {PICTURES}/N.")
    seen: str | None
    seen_by: str | None


class WatchRequest(BaseModel):
    """A watch to be made in the name of the token's user, of a track or an identity."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    expires: str = Field(max_length=40, description="90m, 12h, 2d from now, or ISO 8601.")
    track: Id | None = None
    identity: Id | None = None
    level: Literal["strong", "possible"] = "strong"
    cameras: list[str] = Field(default=[], max_length=1000, description="Empty: all of yours.")
    notify: list[str] = Field(
        default=[],
        description="https://, mqtt[s]://, mailto[s]://, ntfy[s]://, json[s]://, or "
        "${CROSSCAM_NOTIFY_NAME}: a whole address from the server's environment.",
    )
    attach_picture: bool = False


class Why(BaseModel):
    """The reason of a change; it goes into the audit trail."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


@router.get("/watches", tags=["watch list"])
def watch_list(who: Investigator, ended: bool = False) -> list[WatchAnswer]:
    """The watches that go on, with `ended` also those that are over; newest first."""
    who.note("view", "watch list")
    return [
        _watch(r) for r in visible(who, watches(who.desk.reader, active=None if ended else True))
    ]


@router.post("/watches", tags=["watch list"], status_code=201)
def add_watch(who: Investigator, room: TheRoom, wanted: WatchRequest) -> WatchAnswer:
    """Begin to watch: first what is stored, then all that is new."""
    query = whom(who, room, "", wanted.track, wanted.identity)
    wishes = WatchWishes(
        wanted.name, wanted.reason, wanted.expires, wanted.level, tuple(wanted.cameras),
        tuple(wanted.notify), wanted.attach_picture,
    )  # fmt: skip
    return _watch(find_watch(who, make(who, query, wishes)))


@router.get("/watches/{watch}", tags=["watch list"])
def one_watch(who: Investigator, watch: InPath) -> WatchAnswer:
    """One watch."""
    who.note("view", f"watch {watch}")
    return _watch(find_watch(who, watch))


@router.post("/watches/{watch}/end", tags=["watch list"])
def end(who: Investigator, watch: InPath, why: Why) -> WatchAnswer:
    """End a watch; its alerts stay."""
    find_watch(who, watch)
    end_watch(who.desk.store, watch, who.name, said(why), address=who.address)
    return _watch(find_watch(who, watch))


@router.get("/alerts", tags=["watch list"])
def alert_list(
    who: Investigator,
    watch: InQuery = None,
    unseen: bool = False,
    after: Annotated[
        int | None, Query(ge=0, lt=BEYOND, description="Only ids above: what is new.")
    ] = None,
    before: Annotated[
        int | None, Query(ge=1, lt=BEYOND, description="Only ids below, to page on.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AlertAnswer]:
    """Alerts, newest first."""
    if watch is not None:
        find_watch(who, watch)
    rows = alerts(
        who.desk.reader, watch=watch, unseen=unseen, cameras=who.cameras, watches=scope(who),
        after=after, before=before, limit=limit,
    )  # fmt: skip
    if rows:  # a program that asks every second would else bury the audit trail
        who.note("view", "alerts", details={"alerts": [row.id for row in rows]})
    return [_alert(who, row) for row in rows]


@router.get("/alerts/{alert}", tags=["watch list"])
def one_alert(who: Investigator, alert: InPath) -> AlertAnswer:
    """One alert with its evidence, part by part."""
    row, _ = find_alert(who, alert)
    who.note("view", f"alert {alert}", details={"watch": row.watch, "track": row.track})
    return _alert(who, row)


@router.post("/alerts/{alert}/seen", tags=["watch list"])
def seen(who: Investigator, alert: InPath) -> AlertAnswer:
    """Mark an alert as seen; who saw it first stays."""
    find_alert(who, alert)
    mark_seen(who.desk.store, [alert], who.name, address=who.address)
    return _alert(who, find_alert(who, alert)[0])


def said(why: Why) -> str:
    """The reason on one line.

    Raises:
        ConfigError: if nothing is left of it.
    """
    text = one_line(why.reason)
    if not text:
        raise ConfigError("the reason is empty")
    return text


def _watch(row: WatchRow) -> WatchAnswer:
    return WatchAnswer(**row.as_json())


def _alert(who: Visitor, row: AlertRow) -> AlertAnswer:
    picture = picture_of(who, row)
    if picture is not None and who.noted:
        who.shows([f"/pictures/{picture.id}"])
    shown: dict[str, Any] = row.as_json()
    shown.pop("sent")
    return AlertAnswer(**shown, picture=None if picture is None else f"{PICTURES}/{picture.id}")
