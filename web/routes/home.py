"""Where a browser begins, and whether the server is well."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, RedirectResponse, Response

from web.access import Anybody, TheDesk, Viewer

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(who: Viewer) -> Response:
    """The live wall is the first page of everybody."""
    return RedirectResponse("/live", 303)


@router.get("/health")
def health(_: Anybody, desk: TheDesk) -> Response:
    """For a supervisor, which has no account: 200, or 503 while the store is away."""
    well = desk.healthy()
    return JSONResponse({"store": "ok" if well else "unreachable"}, 200 if well else 503)
