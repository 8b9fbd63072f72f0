"""The watch list: who is looked for, until when, and what it raised."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from investigation.search.queries import Query as Whom
from reid.errors import ConfigError, CrosscamError
from storage.watches.alerts import alerts
from storage.watches.edit import end_watch
from storage.watches.rows import watches
from web.access import Investigator
from web.ids import InForm, InPath, InQuery
from web.pages import page
from web.room import TheRoom
from web.searching import jpeg
from web.watch import SPANS, WatchWishes, find_watch, make, picture_of, visible, watching, whom
from web.words import one_line

router = APIRouter(include_in_schema=False)

SHOWN = 60  # alerts on the page of a watch
PICTURE_SIDE = 384

Key = Annotated[str, Query(max_length=64)]
KeyForm = Annotated[str, Form(max_length=64)]


@router.get("/watches")
def listed(request: Request, who: Investigator, ended: bool = False) -> Response:
    """The watches that are active, or with `ended` those that are over as well."""
    rows = visible(who, watches(who.desk.reader, active=None if ended else True))
    who.note("view", "watch list")
    return page(request, "watches.html", rows=rows, ended=ended, watching=watching(request))


@router.get("/watches/new")
def ask(
    request: Request,
    who: Investigator,
    room: TheRoom,
    query: Key = "",
    track: InQuery = None,
    identity: InQuery = None,
) -> Response:
    """The form: whom is known, the rest is asked."""
    if not query and track is None and identity is None:
        return page(request, "watch_whom.html")
    found = whom(who, room, query, track, identity)
    return _form(request, who, found, query, track, identity, WatchWishes())


@router.post("/watches")
def add(
    request: Request,
    who: Investigator,
    room: TheRoom,
    query: KeyForm = "",
    track: InForm = None,
    identity: InForm = None,
    name: Annotated[str, Form(max_length=200)] = "",
    reason: Annotated[str, Form(max_length=1000)] = "",
    expires: Annotated[str, Form(max_length=40)] = "2d",
    until: Annotated[str, Form(max_length=40)] = "",
    level: Annotated[str, Form(max_length=16)] = "strong",
    cameras: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    notify: Annotated[str, Form(max_length=10_000)] = "",
    attach_picture: Annotated[bool, Form()] = False,
) -> Response:
    """Begin to watch."""
    found = whom(who, room, query, track, identity)
    wishes = WatchWishes(
        name, reason, until.strip() or expires, level, tuple(cameras),
        tuple(notify.splitlines()), attach_picture,
    )  # fmt: skip
    try:
        made = make(who, found, wishes)
    except CrosscamError as error:
        if not who.desk.healthy():
            raise
        return _form(request, who, found, query, track, identity, wishes, problem=str(error))
    return RedirectResponse(f"/watches/{made}", 303)


@router.get("/watches/new/picture")
def asked_picture(
    who: Investigator,
    room: TheRoom,
    query: Key = "",
    track: InQuery = None,
    identity: InQuery = None,
) -> Response:
    """The picture that the watch would keep."""
    found = whom(who, room, query, track, identity)
    pictures = found.pictures
    if not pictures:
        raise HTTPException(404, "no picture is left")
    if not query:  # a search is in the audit trail
        who.look(found.subject)
    return Response(jpeg(pictures[0].image, PICTURE_SIDE), media_type="image/jpeg")


@router.get("/watches/{watch}")
def one(request: Request, who: Investigator, watch: InPath) -> Response:
    """One watch with its alerts."""
    return _one(request, who, watch)


@router.get("/watches/{watch}/picture")
def picture(who: Investigator, watch: InPath) -> Response:
    """The picture of the query."""
    row = find_watch(who, watch)
    try:
        content = None if row.picture is None else row.picture.read_bytes()
    except OSError:
        content = None
    if content is None:
        raise HTTPException(404, f"watch {watch} has no picture, or it is no longer there")
    who.look(f"watch {watch}", f"/watches/{watch}/picture")
    return Response(content, media_type="image/jpeg")


@router.post("/watches/{watch}/end")
def end(
    request: Request,
    who: Investigator,
    watch: InPath,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """End it now; its alerts stay."""
    find_watch(who, watch)
    try:
        why = one_line(reason)
        if not why:
            raise ConfigError("say why the watch ends: the reason is written down")
        end_watch(who.desk.store, watch, who.name, why, address=who.address)
    except CrosscamError as error:
        if not who.desk.healthy():
            raise
        return _one(request, who, watch, problem=str(error))
    return RedirectResponse(f"/watches/{watch}", 303)


def _one(request: Request, who: Investigator, watch: int, problem: str | None = None) -> Response:
    row = find_watch(who, watch)
    found = alerts(who.desk.reader, watch=watch, cameras=who.cameras, limit=SHOWN)
    who.note("view", f"watch {watch}")
    return page(
        request, "watch.html", status=422 if problem else 200, row=row, problem=problem,
        alerts=[(alert, picture_of(who, alert)) for alert in found], watching=watching(request),
    )  # fmt: skip


def _form(
    request: Request,
    who: Investigator,
    found: Whom,
    query: str,
    track: int | None,
    identity: int | None,
    wishes: WatchWishes,
    problem: str | None = None,
) -> Response:
    key, value = (
        ("query", query) if query else ("track", track) if track else ("identity", identity)
    )
    return page(
        request,
        "watch_new.html",
        status=422 if problem else 200,
        problem=problem,
        subject=found.subject,
        has_picture=bool(found.pictures),
        whom=(key, value),
        wishes=wishes,
        spans=SPANS,
        cameras=[c for c in who.desk.reader.cameras() if who.may_see(c.id)],
    )
