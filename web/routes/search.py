"""Search by example: the form, who is meant in a photo, the hits."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Request, UploadFile
from starlette.responses import RedirectResponse, Response

from investigation.search.desk import MOST, described
from reid.errors import CrosscamError, ModelError
from storage.sightings import tracks_by_id
from web.access import Investigator, Visitor
from web.errors import status_of
from web.ids import InForm, InQuery
from web.pages import page
from web.room import SearchRoom, TheRoom
from web.searching import (
    again,
    ask,
    chosen_people,
    current,
    filters_of,
    from_photos,
    from_stored,
    jpeg,
    read_photos,
    upload,
)
from web.shelf import Asked, UploadedPhoto, Waiting, Wishes

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]
Names = Annotated[list[str], Form()]
STOP_POLLING = 286  # htmx: swap this in and ask no more


@router.get("/search")
def form(
    request: Request, who: Investigator, room: TheRoom, track: InQuery = None,
    identity: InQuery = None,
) -> Response:  # fmt: skip
    """The form; opening it begins to load the model."""
    room.warm()
    return _form(request, who, room, Wishes(), track=track, identity=identity)


@router.get("/search/ready")
def ready(request: Request, _: Investigator, room: TheRoom) -> Response:
    """How far loading is, asked for every second until it is done."""
    state = room.warm() if room.state().word == "cold" else room.state()
    status = 200 if state.word == "loading" else STOP_POLLING
    return page(request, "search_ready.html", status=status, state=state)


@router.post("/search")
def search(
    request: Request,
    who: Investigator,
    room: TheRoom,
    photos: Annotated[list[UploadFile], File()] = [],  # noqa: B006 - FastAPI copies it
    crop: Annotated[bool, Form()] = False,
    track: InForm = None,
    identity: InForm = None,
    query: Text = "",
    reason: Text = "",
    cameras: Names = [],  # noqa: B006
    places: Names = [],  # noqa: B006
    start: Text = "",
    end: Text = "",
    top: Annotated[int, Form()] = 20,
    weights: Annotated[list[float], Form()] = [],  # noqa: B006
) -> Response:
    """Search; or first ask who is meant, where a photo shows several people."""
    wishes = Wishes(reason, tuple(cameras), tuple(places), start, end, top, tuple(weights) or None)
    try:
        filters_of(who, wishes)  # before the photos: what is wrong here is told at once
        sent = read_photos(photos)
        if sent:
            uploaded = [upload(room.looking, name, data, crop=crop) for name, data in sent]
            return _with_photos(request, who, room, Waiting(tuple(uploaded), wishes))
        if query:
            asked = ask(who, room, again(who, room, query), wishes)
        else:
            asked = ask(who, room, from_stored(who, room.looking, track, identity), wishes)
    except CrosscamError as error:
        if request.headers.get("hx-request") == "true":
            raise  # into the form, which keeps what was typed and the photos chosen
        return _form(
            request, who, room, wishes, error=error, track=track, identity=identity, query=query
        )
    return _go(request, f"/search/{room.shelf.put(who.name, asked)}")


@router.get("/search/{key}/people")
def people(request: Request, who: Investigator, room: TheRoom, key: str) -> Response:
    """Who is meant in the next photo that shows several people."""
    waiting = room.shelf.find(key, who.name, Waiting)
    number = waiting.open
    if number is None:
        number = len(waiting.photos) - 1
    photo = waiting.photos[number]
    return page(request, "search_people.html", key=key, photo=photo, number=number,
                waiting=waiting)  # fmt: skip


@router.post("/search/{key}/people")
def choose(
    request: Request,
    who: Investigator,
    room: TheRoom,
    key: str,
    photo: Annotated[int, Form(ge=0, le=99)],
    person: Annotated[int, Form(ge=0, le=9999)],
) -> Response:
    """This one (from 1), or nobody in this photo (0); then the next photo, or the search."""
    waiting = room.shelf.find(key, who.name, Waiting)
    if photo >= len(waiting.photos) or person > len(waiting.photos[photo].people):
        raise HTTPException(422, f"photo {photo + 1} has no person {person}")
    waiting.photos[photo].chosen = person - 1
    if waiting.open is not None:
        return RedirectResponse(f"/search/{key}/people", 303)
    try:
        chosen_people(waiting.photos)
    except CrosscamError:
        room.shelf.drop(key)
        return RedirectResponse("/search", 303)
    return _with_photos(request, who, room, waiting, key)


@router.get("/search/{key}")
def results(request: Request, who: Investigator, room: TheRoom, key: str) -> Response:
    """The hits, best first."""
    asked = room.shelf.find(key, who.name, Asked)
    shown = current(who, asked, room)
    return page(
        request, "search_results.html", noted=True, key=key, asked=asked, shown=shown,
        filters=described(asked.filters), **_choices(who, room, asked.wishes),
    )  # fmt: skip


@router.get("/search/{key}/photo/{photo}")
def photo(who: Investigator, room: TheRoom, key: str, photo: int) -> Response:
    """A photo in which somebody is to be chosen."""
    return _jpeg(_photo(room.shelf.find(key, who.name, Waiting), photo).jpeg)


@router.get("/search/{key}/photo/{photo}/{person}")
def person(who: Investigator, room: TheRoom, key: str, photo: int, person: int) -> Response:
    """One of the people in it, from 1."""
    found = _photo(room.shelf.find(key, who.name, Waiting), photo).people
    if not 1 <= person <= len(found):
        raise HTTPException(404, f"there is no person {person} in this photo")
    return _jpeg(jpeg(found[person - 1].crop, 432))


@router.get("/search/{key}/picture/{number}")
def query_picture(who: Investigator, room: TheRoom, key: str, number: int) -> Response:
    """A picture of whom was searched for, from 0."""
    asked = room.shelf.find(key, who.name, Asked)
    current(who, asked, room)  # not of somebody who was erased since
    pictures = asked.query.pictures
    if not 0 <= number < len(pictures):
        raise HTTPException(404, f"this search has no picture {number}")
    return _jpeg(jpeg(pictures[number].image, 768))


def _photo(waiting: Waiting, number: int) -> UploadedPhoto:
    if not 0 <= number < len(waiting.photos):
        raise HTTPException(404, f"this search has no photo {number}")
    return waiting.photos[number]


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg")


def _with_photos(
    request: Request, who: Visitor, room: SearchRoom, waiting: Waiting, key: str | None = None
) -> Response:
    """Search, if it is clear in each photo who is meant; else ask."""
    if waiting.open is not None:
        return _go(request, f"/search/{room.shelf.put(who.name, waiting)}/people")
    asked = ask(who, room, from_photos(room.looking, waiting.photos), waiting.wishes)
    if key is not None:
        room.shelf.drop(key)
    return _go(request, f"/search/{room.shelf.put(who.name, asked)}")


def _go(request: Request, path: str) -> Response:
    """Send the browser on; htmx is told by a header, for it would swap the page in."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"hx-redirect": path})
    return RedirectResponse(path, 303)


def _form(
    request: Request,
    who: Visitor,
    room: SearchRoom,
    wishes: Wishes,
    *,
    error: CrosscamError | None = None,
    track: int | None = None,
    identity: int | None = None,
    query: str = "",
) -> Response:
    status = 200 if error is None else status_of(error)
    pictures = []
    if track is not None:
        rows = tracks_by_id(who.desk.reader, [track])
        if not rows or not who.may_see(rows[0].camera):
            raise HTTPException(404, f"there is no track {track}")
        pictures = list(who.desk.reader.best_exemplars([track]).values())
    elif identity is not None:
        seen = [t for t in who.desk.reader.tracks(identity=identity) if who.may_see(t.camera)]
        if not seen:
            raise HTTPException(404, f"there is no identity {identity}")
        best = who.desk.reader.best_exemplars([t.id for t in seen]).values()
        pictures = sorted(best, key=lambda row: -row.score)[:4]
    return page(
        request, "search.html", status=status,
        problem=None if error is None else str(error), track=track, identity=identity,
        query=query, pictures=pictures, state=room.state(), **_choices(who, room, wishes),
    )  # fmt: skip


def _choices(who: Visitor, room: SearchRoom, wishes: Wishes) -> dict[str, Any]:
    """What the form offers."""
    cameras = [camera for camera in who.desk.reader.cameras() if who.may_see(camera.id)]
    try:
        parts = room.parts
    except ModelError:  # the page says so beside the button
        parts = ()
    return {
        "wishes": wishes,
        "all_cameras": cameras,
        "all_places": sorted({c.place for c in cameras if c.place is not None}),
        "part_names": parts,
        "most": MOST,
    }
