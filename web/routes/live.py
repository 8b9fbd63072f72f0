"""The live wall."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from web.access import Viewer
from web.pages import page
from web.wall import Rates, picture, tiles

router = APIRouter(include_in_schema=False)
_RATES = Rates()  # only of what is on show; a restart knows them again after a second


@router.get("/live")
def live(request: Request, who: Viewer) -> Response:
    """The page; opening it is written down, its refreshing once an hour."""
    who.note("view", "live wall")
    return page(request, "live.html", tiles=tiles(who, _RATES), at=time.time())


@router.get("/live/wall")
def wall(request: Request, who: Viewer) -> Response:
    """The tiles alone, asked for every two seconds."""
    who.look("live wall")
    return page(request, "live_wall.html", tiles=tiles(who, _RATES), at=time.time())


@router.get("/live/picture")
def live_picture(who: Viewer, camera: Annotated[str, Query(max_length=500)]) -> Response:
    """The newest picture of a camera."""
    what = f"camera {camera!r}"
    who.check_camera(camera, what)
    if camera not in {row.id for row in who.desk.reader.cameras()}:
        raise HTTPException(404, f"there is no {what}")
    content = picture(who, camera)
    if content is None:
        raise HTTPException(404, f"{what} has no live picture")
    who.look(f"camera {camera}", "live wall", details={"live": True})
    return Response(content, media_type="image/jpeg")
