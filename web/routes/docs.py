"""The API's description: for programs as OpenAPI, for people as a page without scripts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from web.access import Anybody, Viewer
from web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def openapi(request: Request, _: Anybody) -> Response:
    """The description; it is the program's, not a site's, so it needs no account."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request, who: Viewer) -> Response:
    """The same for people."""
    spec: dict[str, Any] = request.app.openapi()
    operations = [
        (method.upper(), path, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    ]
    return page(request, "docs.html", operations=operations, about=spec["info"]["description"])
