"""One hit beside the person searched for: why it looks alike, and what may be done about it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from investigation.evidence import explain
from investigation.search.hit_pictures import HitPictures, hit_pictures
from investigation.search.hits import Hit
from investigation.search.yardstick import thin
from reid.errors import StoreError
from storage.decisions.decide import decisions
from web.access import Investigator
from web.deciding import just_decided, visible
from web.ids import InPath, InQuery
from web.pages import page
from web.room import SearchRoom, TheRoom
from web.searching import current
from web.shelf import Asked

router = APIRouter(include_in_schema=False)

MOST_DRAWN = 12  # of one search, kept in memory


@router.get("/search/{key}/hit/{track}")
def evidence(
    request: Request,
    who: Investigator,
    room: TheRoom,
    key: str,
    track: InPath,
    decided: InQuery = None,
) -> Response:
    """The evidence page of a hit."""
    asked = room.shelf.find(key, who.name, Asked)
    shown = current(who, asked, room)
    hits = shown.hits
    place = next((i for i, hit in enumerate(hits) if hit.track == track), None)
    if place is None:
        raise HTTPException(404, f"track {track} is no hit of this search, or no longer")
    hit = hits[place]
    reader = who.desk.reader
    who.note("view", f"track {track}", details={"search": asked.query.subject})
    others = []
    if hit.identity is not None and hit.identity != shown.anchor:
        others = [t.id for t in reader.tracks(identity=hit.identity) if who.may_see(t.camera)]
    strongest = max((max(p.quality_p, p.quality_g) for p in hit.parts), default=0.0)
    return page(
        request,
        "evidence.html",
        key=key,
        asked=asked,
        hit=hit,
        anchor=shown.anchor,
        others=others,
        part_names=room.parts,
        strongest=strongest or 1.0,
        few=thin(asked.query.weights),
        ledger=[(row, explain(row, hit.camera)) for row in reader.ledger(track)],
        decided=visible(who, decisions(reader, track=track, limit=20)),
        decided_now=just_decided(who, decided),
        before=hits[place - 1] if place else None,
        after=hits[place + 1] if place + 1 < len(hits) else None,
        count=len(hits),
    )


@router.post("/search/{key}/hit/{track}/refuse")
def refuse(
    who: Investigator,
    room: TheRoom,
    key: str,
    track: InPath,
    refused: Annotated[bool, Form()] = True,
) -> Response:
    """Not the person of the photo, or take that back: there is no identity yet to decide about."""
    asked = room.shelf.find(key, who.name, Asked)
    if asked.hit(track) is None:
        raise HTTPException(404, f"track {track} is no hit of this search")
    said = "refused" if refused else "no longer refused"
    details = {"said": said, "for": asked.query.subject}
    who.note("decide", f"track {track}", asked.wishes.reason, details)
    if refused:
        asked.refused.add(track)
        asked.confirmed[:] = [t for t in asked.confirmed if t != track]
    else:
        asked.refused.discard(track)
    return RedirectResponse(f"/search/{key}/hit/{track}", 303)


@router.get("/search/{key}/hit/{track}/{which}")
def drawn(
    who: Investigator,
    room: TheRoom,
    key: str,
    track: InPath,
    which: Literal["query", "hit", "query-heat", "hit-heat"],
) -> Response:
    """A picture of the evidence: the crops at the model's size, and where the model looks."""
    asked = room.shelf.find(key, who.name, Asked)
    hit = next((h for h in current(who, asked, room).hits if h.track == track), None)
    if hit is None:
        raise HTTPException(404, f"track {track} is no hit of this search, or no longer")
    try:
        pictures = _draw(room, asked, hit)
    except (StoreError, OSError) as error:
        raise HTTPException(404, str(error)) from error
    content = {
        "query": pictures.query,
        "hit": pictures.hit,
        "query-heat": pictures.query_heat,
        "hit-heat": pictures.hit_heat,
    }[which]
    if content is None:
        raise HTTPException(404, "this model has no map of where it looks")
    kind = "image/png" if which.endswith("heat") else "image/jpeg"
    return Response(content, media_type=kind)


def _draw(room: SearchRoom, asked: Asked, hit: Hit) -> HitPictures:
    """All four at once, for the browser asks for all four at once."""
    with asked.lock:
        found = asked.drawn.get(hit.track)
        if found is None:
            found = hit_pictures(room.looking, asked.query, hit)
            asked.drawn[hit.track] = found
            while len(asked.drawn) > MOST_DRAWN:
                asked.drawn.popitem(last=False)
        return found
