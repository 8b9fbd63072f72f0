"""Where an identity or a track was seen, and what can be decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from investigation.evidence import Evidence, explain
from investigation.itinerary import Itinerary, of_identity, of_track
from storage.accounts import Role
from storage.decisions import decisions
from storage.precision import precision
from storage.records import ExemplarRow, LedgerRow
from storage.sightings import tracks_by_id
from storage.standing import merges, name_now
from web.access import Investigator, Viewer, Visitor
from web.deciding import just_decided, visible
from web.ids import InPath, InQuery
from web.pages import page
from web.strips import strip

router = APIRouter(include_in_schema=False)

MOST_DECISIONS = 50
MOST_PICTURES = 6


@dataclass(frozen=True, slots=True)
class Said:
    """An entry of a track's ledger, and how it reads."""

    row: LedgerRow
    words: Evidence


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
        said=_said(who, track, rows[0].camera) if may_decide else [],
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


def itinerary(who: Visitor, identity: int) -> Itinerary | None:
    """The way of an identity as far as the visitor may see it; None if there is nothing."""
    tracks = who.desk.reader.tracks(identity=identity)
    if not any(who.may_see(row.camera) for row in tracks):
        return None
    return of_identity(who.desk.reader, identity, who.cameras)


def track_itinerary(who: Visitor, track: int) -> Itinerary:
    """The way of a track's identity, or of the track alone.

    Raises:
        HTTPException: 404 if there is no such track that the visitor may see.
    """
    rows = tracks_by_id(who.desk.reader, [track])
    if not rows:
        raise HTTPException(404, f"there is no track {track}")
    who.check_camera(rows[0].camera, f"track {track}")
    return of_track(who.desk.reader, track, who.cameras)


def faces(who: Visitor, way: Itinerary) -> list[ExemplarRow]:
    """The best pictures of an itinerary's tracks, one a track."""
    best = who.desk.reader.best_exemplars(way.tracks).values()
    return sorted(best, key=lambda row: -row.score)[:MOST_PICTURES]


def ledgers(who: Visitor, way: Itinerary) -> dict[int, list[Said]]:
    """The ledger of each track of an itinerary."""
    return {
        sighting.track.id: _said(who, sighting.track.id, step.camera)
        for step in way.steps
        for sighting in step.sightings
    }


def _said(who: Visitor, track: int, camera: str) -> list[Said]:
    return [Said(row, explain(row, camera)) for row in who.desk.reader.ledger(track)]
