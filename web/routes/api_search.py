"""The API's search: photos, a track or an identity in, hits out, as `crosscam search --json`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from investigation.search.desk import MOST, TOP
from investigation.search.hits import Hit
from investigation.search.photos import SeveralPeople, choose
from investigation.search.queries import Query, parse_parts
from reid.errors import ConfigError
from web.access import Investigator, Visitor
from web.ids import InForm
from web.room import SearchRoom, TheRoom
from web.routes.api import ERRORS, ProblemAnswer
from web.searching import (
    MOST_PHOTOS,
    ask,
    filters_of,
    from_photos,
    from_stored,
    read_photos,
    upload,
)
from web.shelf import Wishes

PICTURES = "/api/v1/pictures"
Words = Annotated[str, Form(max_length=1000)]

router = APIRouter(
    prefix="/api/v1",
    tags=["search"],
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS
    | {
        404: {"model": ProblemAnswer, "description": "There is none that may be seen"},
        413: {"model": ProblemAnswer, "description": "A photo or the request is too large"},
    },
)


class PartAnswer(BaseModel):
    """One part of the body, from the top, in query and hit."""

    model_config = ConfigDict(extra="allow")

    part: int = Field(description="From 1, from the top.")
    quality_query: float = Field(description="How well the query shows it, 0 to 1.")
    quality_hit: float = Field(description="How well the hit shows it, 0 to 1.")
    distance: float = Field(description="Cosine distance, 0 to 2.")
    weight: float = Field(description="How much it counts for this pair; all sum to 1.")
    share: float = Field(description="Its share of the part distance; all sum to 1, or are 0.")


class HitAnswer(BaseModel):
    """A track that looks like the query; it looks alike, which says not who it is."""

    model_config = ConfigDict(extra="allow")

    rank: int = Field(description="From 1, best first.")
    track: int
    identity: int | None = Field(description="As linked now; null: nobody decided yet.")
    camera: str
    place: str | None
    start: str = Field(description="First seen, ISO 8601 UTC.")
    end: str = Field(description="Last seen, ISO 8601 UTC.")
    time: str = Field(description="Of the picture shown, ISO 8601 UTC.")
    box: list[float] | None = Field(
        description="Of the picture shown: [left, top, width, height], pixels of the frame."
    )
    distance: float = Field(description="0 to 2, less is more alike.")
    support: float = Field(description="How much both show; only to compare hits of one search.")
    shared: float = Field(description="Whether both show the same parts, 0 to 1.")
    verdict: str = Field(description="strong, possible, or: not enough in common to tell.")
    why: str = Field(description="The verdict's reason, for people.")
    parts: list[PartAnswer]
    picture: str | None = Field(description=f"Where its picture is: {PICTURES}/N.")


SEVERAL = {
    "description": "A parameter cannot be used, nobody is in a photo, or several are and none was "
    "chosen: then `error.people` lists them as {person, box, confidence}.",
    "model": ProblemAnswer,
}


@router.post("/search", response_model=list[HitAnswer], responses={422: SEVERAL})
def search(
    who: Investigator,
    room: TheRoom,
    reason: Annotated[str, Form(max_length=500, description="Why; for the audit trail.")] = "",
    image: Annotated[
        list[UploadFile],
        File(description=f"Photos of the person, {MOST_PHOTOS} at most: JPEG, PNG, WebP, BMP."),
    ] = [],  # noqa: B006 - FastAPI copies it
    person: Annotated[
        list[int], Form(description="Who is meant, from 1; once for each image, in order.")
    ] = [],  # noqa: B006
    crop: Annotated[bool, Form(description="The images show one person, cut out.")] = False,
    track: InForm = None,
    identity: InForm = None,
    camera: Annotated[list[str], Form(description="Only these cameras.")] = [],  # noqa: B006
    place: Annotated[list[str], Form(description="Only these places.")] = [],  # noqa: B006
    start: Annotated[str, Form(alias="from", description="ISO 8601; seen then or later.")] = "",
    end: Annotated[str, Form(alias="to", description="ISO 8601; seen then or earlier.")] = "",
    top: Annotated[int, Form(description=f"Hits, 1 to {MOST}.")] = TOP,
    parts: Annotated[
        str, Form(description="Trust only: upper, lower, or 1,2,3 from the top; 1,2=0.5.")
    ] = "",
) -> Any:
    """Who looks like this? Give images, a track or an identity. Best first."""
    wishes = Wishes(reason, tuple(camera), tuple(place), start, end, top)
    filters_of(who, wishes)
    try:
        query = _query(who, room, image, person, crop, track, identity)
    except SeveralPeople as several:
        people = [p.as_json(number) for number, p in enumerate(several.people, 1)]
        message = f"{several.people[0].name} shows {len(people)} people: say which with `person`"
        error = {"status": 422, "message": message, "people": people}
        return JSONResponse({"error": error}, 422)
    if parts.strip():
        weights = parse_parts(parts, room.looking.parts)
        wishes = Wishes(reason, tuple(camera), tuple(place), start, end, top, weights)
    hits = ask(who, room, query, wishes).hits
    who.shows(f"/pictures/{hit.exemplar.id}" for hit in hits if hit.exemplar is not None)
    return [answer(hit) for hit in hits]


def answer(hit: Hit) -> dict[str, Any]:
    """A hit as the command line prints it, but for its picture: an address, not a path."""
    picture = None if hit.exemplar is None else f"{PICTURES}/{hit.exemplar.id}"
    return {**hit.as_json(), "picture": picture}


def _query(
    who: Visitor,
    room: SearchRoom,
    images: list[UploadFile],
    persons: list[int],
    crop: bool,
    track: int | None,
    identity: int | None,
) -> Query:
    sent = read_photos(images)
    given = [name for name, there in (("image", sent), ("track", track), ("identity", identity))
             if there]  # fmt: skip
    if len(given) != 1:
        raise ConfigError(f"give one of image, track and identity; given: {given or 'none'}")
    if not sent:
        return from_stored(who, room.looking, track, identity)
    if persons and len(persons) != len(sent):
        raise ConfigError(f"person is given {len(persons)} times for {len(sent)} images")
    photos = [upload(room.looking, name, data, crop=crop) for name, data in sent]
    for number, photo in enumerate(photos):
        chosen = choose(photo.people, persons[number] if persons else None)
        photo.chosen = photo.people.index(chosen)
    return from_photos(room.looking, photos)
