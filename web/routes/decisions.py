"""Decisions as people make them on the pages: they look alike, they do not, and undo."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from storage.decisions.decide import DecisionRow, decisions
from web.access import Investigator
from web.deciding import decide, visible
from web.ids import Id, InForm, InQuery
from web.pages import page
from web.room import TheRoom
from web.routes.sign_in import local_path
from web.shelf import Asked
from web.words import one_line

router = APIRouter(include_in_schema=False)

PAGE = 50


@router.post("/decisions")
def make(
    who: Investigator,
    room: TheRoom,
    action: Annotated[str, Form(max_length=16)],
    track: InForm = None,
    identity: InForm = None,
    other: InForm = None,
    tracks: Annotated[list[Id], Form()] = [],  # noqa: B006 - FastAPI copies it
    decision: InForm = None,
    reason: Annotated[str, Form(max_length=1000)] = "",
    search: Annotated[str, Form(max_length=64)] = "",
    back: Annotated[str, Form(max_length=500)] = "/decisions",
) -> Response:
    """Decide, then back to the page it was decided on, which offers the undo."""
    asked = room.shelf.find(search, who.name, Asked) if search else None
    why = one_line(reason)
    if not why:
        why = "taken back on the page" if action == "undo" else "looked at on the page"
        if asked is not None:
            why = f"search for {asked.query.subject}: {asked.wishes.reason}"
    made = decide(
        who, action, reason=why, track=track, identity=identity, other=other, tracks=tracks,
        decision=decision,
    )  # fmt: skip
    if asked is not None:
        remember(asked, made)
    path = local_path(back)
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}decided={made.id}", 303)


@router.get("/decisions")
def shown(
    request: Request, who: Investigator, before: InQuery = None, decided: InQuery = None
) -> Response:
    """All decisions, the newest first."""
    found = decisions(who.desk.reader, before=before, limit=PAGE + 1)
    who.note("view", "decisions", details={} if before is None else {"before": before})
    more = found[PAGE - 1].id if len(found) > PAGE else None
    return page(
        request, "decisions.html", decisions=visible(who, found[:PAGE]), more=more,
        decided=decided,
    )  # fmt: skip


def remember(asked: Asked, made: DecisionRow) -> None:
    """Take note of a decision in the search that it was made from."""
    if made.action in ("confirm", "merge"):
        asked.confirmed.extend(t for t in made.tracks if t not in asked.confirmed)
        asked.refused.difference_update(made.tracks)
    elif made.action == "reject":
        asked.refused.update(made.tracks)
        asked.confirmed[:] = [t for t in asked.confirmed if t not in made.tracks]
    elif made.action == "undo":
        asked.confirmed[:] = [t for t in asked.confirmed if t not in made.tracks]
        asked.refused.difference_update(made.tracks)
