"""Stored crops, by the id of their row: never by a path, and only of cameras one may see."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from investigation.pictures import thumbnail
from storage.pictures import stored_picture
from web.access import Viewer, Visitor
from web.ids import InPath

router = APIRouter(include_in_schema=False)


@router.get("/pictures/{picture}")
def picture(who: Viewer, picture: InPath, small: bool = False) -> Response:
    """A crop as stored, or shrunk for a list."""
    return Response(crop(who, picture, small=small), media_type="image/jpeg")


def crop(who: Visitor, picture: int, *, small: bool = False) -> bytes:
    """The JPEG of a crop; written down as a view of its track.

    Raises:
        HTTPException: 404 if there is none that the visitor may see, or its file is gone.
    """
    found = stored_picture(who.desk.reader, picture)
    if found is None:
        raise HTTPException(404, f"there is no picture {picture}")
    who.check_camera(found.camera, f"picture {picture}")
    try:
        content = found.path.read_bytes()
    except OSError as error:
        raise HTTPException(404, f"the file of picture {picture} is no longer there") from error
    shown = thumbnail(content) if small else content
    if shown is None or not content.startswith(b"\xff\xd8"):
        raise HTTPException(404, f"the file of picture {picture} cannot be read")
    who.look(f"track {found.track}", f"/pictures/{picture}", details={"picture": picture})
    return shown
