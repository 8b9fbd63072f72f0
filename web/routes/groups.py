"""Camera groups: sets of cameras that users are given."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from reid.errors import AccountError
from storage.accounts import accounts
from web.access import Administrator, Visitor
from web.ids import InPath
from web.pages import page

router = APIRouter(include_in_schema=False)

Cameras = Annotated[list[str], Form()]


@router.get("/groups")
def groups(request: Request, who: Administrator) -> Response:
    """All groups with their cameras."""
    return _page(request, who)


@router.post("/groups")
def add(
    request: Request,
    who: Administrator,
    name: Annotated[str, Form()] = "",
    cameras: Cameras = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Make a group."""
    try:
        who.desk.accounts.add_group(name, who.by, _known(who, cameras))
    except AccountError as error:
        return _page(request, who, status=422, problem=str(error))
    return RedirectResponse("/groups", 303)


@router.post("/groups/{group}")
def change(
    request: Request,
    who: Administrator,
    group: InPath,
    name: Annotated[str, Form()] = "",
    cameras: Cameras = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Rename it, choose its cameras."""
    try:
        who.desk.accounts.change_group(group, who.by, name=name, cameras=_known(who, cameras))
    except AccountError as error:
        return _page(request, who, status=422, problem=str(error))
    return RedirectResponse("/groups", 303)


@router.post("/groups/{group}/remove")
def remove(request: Request, who: Administrator, group: InPath) -> Response:
    """Remove it."""
    try:
        who.desk.accounts.remove_group(group, who.by)
    except AccountError as error:
        return _page(request, who, status=422, problem=str(error))
    return RedirectResponse("/groups", 303)


def _known(who: Visitor, cameras: list[str]) -> list[str]:
    known = {row.id for row in who.desk.reader.cameras()}
    for camera in cameras:
        if camera not in known:
            raise AccountError(f"there is no camera {camera[:80]!r}")
    return cameras


def _page(
    request: Request, who: Visitor, *, status: int = 200, problem: str | None = None
) -> Response:
    return page(
        request,
        "groups.html",
        status=status,
        groups=accounts.groups(who.desk.reader),
        cameras=who.desk.reader.cameras(),
        users=accounts.users(who.desk.reader),
        problem=problem,
    )
