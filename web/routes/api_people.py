"""The API's tracks, identities and decisions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from storage.decisions.decide import decisions
from storage.decisions.precision import precision
from storage.models import iso_text
from storage.records import ExemplarRow, LedgerRow, TrackRow
from storage.sightings import tracks_by_id
from web.access import Investigator, Viewer
from web.deciding import decide, find, visible
from web.ids import BEYOND, Id, InPath, InQuery
from web.routes import timeline
from web.routes.api import ERRORS, ProblemAnswer
from web.routes.api_search import PICTURES
from web.routes.pictures import crop
from web.ways import itinerary
from web.words import ShownDecision, one_line

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS
    | {404: {"model": ProblemAnswer, "description": "There is none that may be seen"}},
)


class PictureAnswer(BaseModel):
    """A stored crop of a track."""

    picture: str = Field(description=f"Where it is: {PICTURES}/N.")
    time: str
    frame: int
    box: list[float] = Field(description="[left, top, width, height], pixels of the frame.")
    quality: list[float] = Field(description="Per part, from the top, 0 to 1.")
    visible: list[float] = Field(description="Share of each part that the frame showed.")
    sha256: str


class LedgerAnswer(BaseModel):
    """An entry of the ledger: who linked the track, and why. Entries are never changed."""

    id: int
    action: str
    identity: int
    candidate: int | None
    distance: float | None
    support: float | None
    threshold: float | None
    reason: str
    actor: str
    written: str
    decision: int | None = Field(description="The person's decision it belongs to.")


class TrackAnswer(BaseModel):
    """One person in one camera, without a break."""

    track: int
    run: int
    camera: str
    place: str | None
    start: str
    end: str
    boxes: int
    closed: bool = Field(description="False: it may still grow.")
    identity: int | None
    pictures: list[PictureAnswer]
    ledger: list[LedgerAnswer]


class ItineraryAnswer(BaseModel):
    """Where an identity was seen, camera after camera."""

    model_config = ConfigDict(extra="allow")

    identity: int | None
    name: str
    start: str
    end: str
    cameras: list[str]
    steps: list[dict[str, Any]] = Field(
        description="By start: step, camera, place, start, end, seconds, gap (seconds unseen "
        "before), overlap, tracks with their evidence, picture."
    )


class SeenAnswer(BaseModel):
    """Somebody who was seen in a stretch of time."""

    identity: int | None
    tracks: list[int]
    cameras: list[str]
    start: str
    end: str
    picture: str | None


class DecisionAnswer(BaseModel):
    """What a person decided, as far as the token's user may see it."""

    decision: int
    time: str
    actor: str
    action: str
    reason: str
    tracks: list[int]
    hidden: int = Field(description="Further tracks, of cameras that may not be seen.")
    identity: int | None
    other: int | None
    undoes: int | None
    undone_by: int | None = Field(description="The decision that took it back; null: it stands.")


class DecisionRequest(BaseModel):
    """A decision to be made in the name of the token's user."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["confirm", "reject", "merge", "split", "undo"]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    track: Id | None = Field(default=None, description="confirm, reject: the track.")
    identity: Id | None = Field(
        default=None, description="Confirmed, rejected, kept (merge) or left (split)."
    )
    other: Id | None = Field(default=None, description="merge: goes into `identity`.")
    tracks: list[Id] = Field(default=[], max_length=10_000, description="split: those that leave.")
    decision: Id | None = Field(default=None, description="undo: the one taken back.")


@router.get("/tracks/{track}", tags=["people"])
def track(who: Investigator, track: InPath) -> TrackAnswer:
    """A track with its pictures and its ledger."""
    reader = who.desk.reader
    rows = tracks_by_id(reader, [track])
    if not rows:
        raise HTTPException(404, f"there is no track {track}")
    who.check_camera(rows[0].camera, f"track {track}")
    who.note("view", f"track {track}")
    return _track(rows[0], reader.exemplars(track), reader.ledger(track))


@router.get("/identities", tags=["people"])
def identities(
    who: Viewer,
    start: Annotated[str, Query(alias="from", max_length=40, description="ISO 8601.")] = "",
    end: Annotated[str, Query(alias="to", max_length=40, description="ISO 8601.")] = "",
    camera: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> list[SeenAnswer]:
    """Who was seen in a stretch of time, 60 a page; without times in the last hour with anybody."""
    there = [row.id for row in who.desk.reader.cameras() if who.may_see(row.id)]
    chosen = timeline.check_cameras(camera, there) or who.cameras
    when = timeline.window(who, start, end)
    if when is None:
        return []
    found, _ = timeline.people(who, *when, chosen, page)
    timeline.note(who, when, camera, page)
    who.shows(f"/pictures/{seen.picture.id}" for seen in found if seen.picture is not None)
    return [
        SeenAnswer(
            identity=seen.identity,
            tracks=[row.id for row in seen.tracks],
            cameras=list(seen.cameras),
            start=iso_text(seen.start),
            end=iso_text(seen.end),
            picture=None if seen.picture is None else f"{PICTURES}/{seen.picture.id}",
        )
        for seen in found
    ]


@router.get("/identities/{identity}", tags=["people"])
def identity(who: Investigator, identity: InPath) -> ItineraryAnswer:
    """The way of an identity, as far as its cameras may be seen."""
    way = itinerary(who, identity)
    if way is None:
        raise HTTPException(404, f"there is no identity {identity}")
    who.note("view", f"identity {identity}")
    return ItineraryAnswer(**way.as_json())


@router.get(
    "/pictures/{picture}",
    tags=["people"],
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The picture"}},
)
def picture(who: Viewer, picture: InPath) -> Response:
    """A stored crop, a JPEG."""
    return Response(crop(who, picture), media_type="image/jpeg")


@router.post("/decisions", tags=["decisions"], status_code=201)
def make(who: Investigator, wanted: DecisionRequest) -> DecisionAnswer:
    """Decide in the name of the token's user; the identity shown follows at once."""
    made = decide(
        who,
        wanted.action,
        reason=one_line(wanted.reason),
        track=wanted.track,
        identity=wanted.identity,
        other=wanted.other,
        tracks=wanted.tracks,
        decision=wanted.decision,
    )
    return _decision(visible(who, [made])[0])


@router.get("/decisions", tags=["decisions"])
def all_decisions(
    who: Investigator,
    track: InQuery = None,
    identity: InQuery = None,
    actor: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=1, lt=BEYOND, description="To page on.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[DecisionAnswer]:
    """Decisions, the newest first."""
    found = decisions(
        who.desk.reader, before=before, limit=limit, track=track, identity=identity,
        actor=actor or None,
    )  # fmt: skip
    wanted = {"track": track, "identity": identity, "actor": actor or None, "before": before}
    chosen = {name: value for name, value in wanted.items() if value is not None}
    who.note("view", "decisions", details=chosen)
    return [_decision(row) for row in visible(who, found)]


@router.get("/decisions/{decision}", tags=["decisions"])
def one_decision(who: Investigator, decision: InPath) -> DecisionAnswer:
    """One decision, and whether it stands."""
    return _decision(find(who, decision))


@router.get("/precision", tags=["decisions"])
def precision_of(who: Investigator, run: InQuery = None) -> dict[str, Any]:
    """How often people agreed with the links, of one run or of all but re-runs."""
    who.note("view", "precision", details={} if run is None else {"run": run})
    return precision(who.desk.reader, run).as_json()


def _decision(row: ShownDecision) -> DecisionAnswer:
    return DecisionAnswer(**row.as_json(), hidden=row.hidden)


def _track(row: TrackRow, pictures: list[ExemplarRow], ledger: list[LedgerRow]) -> TrackAnswer:
    return TrackAnswer(
        track=row.id,
        run=row.run,
        camera=row.camera,
        place=row.place,
        start=iso_text(row.start),
        end=iso_text(row.end),
        boxes=row.boxes,
        closed=row.closed,
        identity=row.identity,
        pictures=[
            PictureAnswer(
                picture=f"{PICTURES}/{p.id}",
                time=iso_text(p.time),
                frame=p.frame,
                box=[p.box.left, p.box.top, p.box.width, p.box.height],
                quality=list(p.quality),
                visible=list(p.visible),
                sha256=p.sha256,
            )
            for p in pictures
        ],
        ledger=[
            LedgerAnswer(
                id=entry.id,
                action=entry.action,
                identity=entry.identity,
                candidate=entry.candidate,
                distance=entry.distance,
                support=entry.support,
                threshold=entry.threshold,
                reason=entry.reason,
                actor=entry.actor,
                written=iso_text(entry.written),
                decision=entry.decision,
            )
            for entry in ledger
        ],
    )
