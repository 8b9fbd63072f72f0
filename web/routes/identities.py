"""Where an identity or a track was seen, and what can be decided about it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from storage.accounts.accounts import Role
from storage.decisions.decide import decisions
from storage.decisions.precision import precision
from storage.decisions.standing import merges, name_now
from storage.sightings import tracks_by_id
from web.access import Investigator, Viewer
from web.deciding import just_decided, visible
from web.ids import InPath, InQuery
from web.pages import page
from web.strips import strip
from web.ways import faces, itinerary, ledgers, said_of

router = APIRouter(include_in_schema=False)

MOST_DECISIONS = 50


@router.get("/identities/{identity}")
def identity(request: Request, who: Viewer, identity: InPath, decided: InQuery = None) -> Response:
    """The way of an identity, camera after camera."""
    reader = who.desk.reader
    way = itinerary(who, identity)
    if way is None:
        with reader.connection() as connection:
            now = name_now(identity, merges(connection))
        if now != identity and itinerary(who, now) is not None:
            return RedirectResponse(f"/identities/{now}?merged={identity}", 303)
        raise HTTPException(404, f"there is no identity {identity}")
    who.note("view", f"identity {identity}")
    may_decide = who.role >= Role.INVESTIGATOR
    rows = decisions(reader, identity=identity, limit=MOST_DECISIONS) if may_decide else []
    merged = request.query_params.get("merged", "")
    return page(
        request,
        "identity.html",
        identity=identity,
        way=way,
        strip=strip(way),
        ledgers=ledgers(who, way) if may_decide else {},
        may_decide=may_decide,
        decisions=visible(who, rows),
        decided_now=just_decided(who, decided),
        merged=merged if merged.isdecimal() and len(merged) < 20 else "",
    )


@router.get("/identities/{identity}/with/{other}")
def beside(request: Request, who: Investigator, identity: InPath, other: InPath) -> Response:
    """Two identities side by side, before they are merged."""
    ways = [itinerary(who, number) for number in (identity, other)]
    for number, way in zip((identity, other), ways, strict=True):
        if way is None:
            raise HTTPException(404, f"there is no identity {number}")
    if identity == other:
        raise HTTPException(422, f"identity {identity} is the same on both sides")
    who.note("view", f"identity {identity}", details={"beside": other})
    found = [way for way in ways if way is not None]
    return page(
        request, "identity_beside.html", identity=identity, other=other, ways=found,
        pictures=[faces(who, way) for way in found],
    )  # fmt: skip


@router.get("/identities/{identity}/with")
def choose_other(who: Investigator, identity: InPath, other: InQuery = None) -> Response:
    """From the number typed into the form to the page of both."""
    if other is None:
        raise HTTPException(422, "type the number of the other identity")
    return RedirectResponse(f"/identities/{identity}/with/{other}", 303)


@router.get("/tracks/{track}")
def track(request: Request, who: Viewer, track: InPath, decided: InQuery = None) -> Response:
    """One track: its pictures and what was decided about it."""
    reader = who.desk.reader
    rows = tracks_by_id(reader, [track])
    if not rows:
        raise HTTPException(404, f"there is no track {track}")
    who.check_camera(rows[0].camera, f"track {track}")
    who.note("view", f"track {track}")
    may_decide = who.role >= Role.INVESTIGATOR
    return page(
        request,
        "track.html",
        track=rows[0],
        pictures=reader.exemplars(track),
        said=said_of(who, track, rows[0].camera) if may_decide else [],
        may_decide=may_decide,
        decided_now=just_decided(who, decided),
    )


@router.get("/precision")
def precision_page(request: Request, who: Investigator, run: InQuery = None) -> Response:
    """How often people agreed with the links."""
    reader = who.desk.reader
    who.note("view", "precision", details={} if run is None else {"run": run})
    return page(
        request, "precision.html", found=precision(reader, run), run=run, runs=reader.runs()
    )
