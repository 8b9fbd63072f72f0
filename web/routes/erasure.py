"""Erasing an identity: what will go, what will still show the person, and the deed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import Response

from reid.errors import ConfigError, StoreError
from storage.decisions.standing import successor
from storage.erasure.erase import ErasureReport, Survey, survey
from storage.erasure.erase import erase as take
from web.access import Administrator, Visitor
from web.ids import InForm, InPath
from web.pages import page
from web.room import SearchRoom, TheRoom
from web.words import one_line

router = APIRouter(include_in_schema=False)

UNSEEN = (
    "identity {identity} was also seen by cameras that you may not see; an administrator who may "
    "has to erase it"
)


@router.get("/identities/{identity}/erase")
def ask(request: Request, who: Administrator, identity: InPath) -> Response:
    """What would go, and what would stay."""
    return _ask(request, who, identity)


@router.post("/identities/{identity}/erase")
def erase(
    request: Request,
    who: Administrator,
    room: TheRoom,
    identity: InPath,
    again: InForm = None,
    reason: Annotated[str, Form(max_length=1000)] = "",
    watches: Annotated[bool, Form()] = False,
) -> Response:
    """Erase it; answers with what went, which nobody can ask for again."""
    try:
        report = erase_now(who, room, identity, again, reason, watches=watches)
    except (ConfigError, StoreError) as error:
        if not who.desk.healthy():
            raise
        return _ask(request, who, identity, str(error))
    return page(request, "erased.html", report=report)


def erase_now(
    who: Visitor,
    room: SearchRoom,
    identity: int,
    again: int | None,
    reason: str,
    *,
    watches: bool,
) -> ErasureReport:
    """Erase an identity in the visitor's name.

    Raises:
        ConfigError: without a reason, or if the number typed again is another.
        HTTPException: 404 if it is not there, 403 if they may not see all of it, 409 if its
            tracks are another one's by now.
        StoreError: naming why it cannot be erased now.
    """
    found = look(who, identity)
    if again != identity:
        raise ConfigError(f"type the number {identity} again: an erasure cannot be taken back")
    why = one_line(reason)
    if not why:
        raise ConfigError("say why the identity is erased: the reason is all that stays")
    report = take(who.desk.store, identity, who.name, why, watches=watches, address=who.address)
    room.shelf.forget_tracks({track.id for track in found.tracks})
    return report


def look(who: Visitor, identity: int) -> Survey:
    """What an erasure would take.

    Raises:
        HTTPException: 404 if there is no such identity, 403 if they may not see all of it, 409,
            naming the one it went into, if its tracks are that one's by now.
    """
    try:
        found = survey(who.desk.reader, identity)
    except StoreError as error:
        if not who.desk.healthy():
            raise
        if _sees_successor(who, identity):
            raise HTTPException(409, str(error)) from None
        raise HTTPException(404, f"there is no identity {identity}") from None
    if not all(who.may_see(track.camera) for track in found.tracks):
        if not any(who.may_see(track.camera) for track in found.tracks):
            raise HTTPException(404, f"there is no identity {identity}")
        raise HTTPException(403, UNSEEN.format(identity=identity))
    return found


def _sees_successor(who: Visitor, identity: int) -> bool:
    """Whether the identity went into another one of which they may see something."""
    now = successor(who.desk.reader, identity)
    tracks = [] if now is None else who.desk.reader.tracks(identity=now)
    return any(who.may_see(track.camera) for track in tracks)


def _ask(request: Request, who: Visitor, identity: int, problem: str | None = None) -> Response:
    found = look(who, identity)
    who.note("view", f"identity {identity}", details={"before": "erase"})
    best = who.desk.reader.best_exemplars([track.id for track in found.tracks])
    return page(
        request, "erase.html", status=422 if problem else 200, problem=problem, found=found,
        pictures=list(best.values())[:6],
    )  # fmt: skip
