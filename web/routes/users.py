"""Users: who may sign in, as what, and what they see."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from reid.errors import AccountError
from storage.accounts import accounts
from storage.accounts.accounts import Role, UserRow
from storage.accounts.tokens import tokens
from web.access import Administrator, Visitor
from web.ids import Id, InPath
from web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/users")
def users(request: Request, who: Administrator) -> Response:
    """All users."""
    return _list(request, who)


@router.post("/users")
def add(
    request: Request,
    who: Administrator,
    name: Annotated[str, Form()] = "",
    role: Annotated[str, Form()] = "viewer",
    cameras: Annotated[str, Form()] = "groups",
    groups: Annotated[list[Id], Form()] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Make a user and show the one-time link."""
    try:
        user = who.desk.accounts.add_user(
            name, Role.named(role), who.by, all_cameras=cameras == "all", groups=groups
        )
    except AccountError as error:
        return _list(request, who, status=422, problem=str(error), name=name[:64])
    return _link(request, who, user)


@router.get("/users/{user}")
def user_page(request: Request, who: Administrator, user: InPath) -> Response:
    """One user."""
    return _one(request, who, _find(who, user))


@router.post("/users/{user}")
def change(
    request: Request,
    who: Administrator,
    user: InPath,
    role: Annotated[str, Form()],
    cameras: Annotated[str, Form()] = "groups",
    groups: Annotated[list[Id], Form()] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Change role and cameras."""
    found = _find(who, user)
    try:
        who.desk.accounts.change_user(
            user, who.by, role=Role.named(role), all_cameras=cameras == "all", groups=groups
        )
    except AccountError as error:
        return _one(request, who, found, status=422, problem=str(error))
    return RedirectResponse(f"/users/{user}?done=saved", 303)


@router.post("/users/{user}/disabled")
def disable(
    request: Request,
    who: Administrator,
    user: InPath,
    disabled: Annotated[bool, Form()],
) -> Response:
    """Disable or enable; who is disabled is signed out at once."""
    found = _find(who, user)
    try:
        who.desk.accounts.change_user(user, who.by, disabled=disabled)
    except AccountError as error:
        return _one(request, who, found, status=422, problem=str(error))
    return RedirectResponse(f"/users/{user}?done=saved", 303)


@router.post("/users/{user}/link")
def link(request: Request, who: Administrator, user: InPath) -> Response:
    """A new one-time link, for a forgotten password."""
    return _link(request, who, _find(who, user))


@router.post("/users/{user}/tokens/{token}/revoke")
def revoke(who: Administrator, user: InPath, token: InPath) -> Response:
    """End a program's token."""
    who.desk.tokens.revoke(token, who.by, owner=user)
    return RedirectResponse(f"/users/{user}?done=revoked", 303)


def _find(who: Visitor, user: int) -> UserRow:
    try:
        return accounts.find_user(who.desk.reader, user)
    except AccountError as error:
        raise HTTPException(404, str(error)) from error


def _list(
    request: Request, who: Visitor, *, status: int = 200, problem: str | None = None, name: str = ""
) -> Response:
    return page(
        request,
        "users.html",
        status=status,
        users=accounts.users(who.desk.reader),
        groups=accounts.groups(who.desk.reader),
        problem=problem,
        name=name,
    )


def _one(
    request: Request, who: Visitor, user: UserRow, *, status: int = 200, problem: str | None = None
) -> Response:
    said = {"saved": "Saved.", "revoked": "The token is revoked."}
    return page(
        request,
        "user.html",
        status=status,
        user=user,
        groups=accounts.groups(who.desk.reader),
        tokens=tokens(who.desk.reader, user.id),
        problem=problem,
        done=said.get(request.query_params.get("done", "")),
    )


def _link(request: Request, who: Visitor, user: UserRow) -> Response:
    settings = who.desk.settings
    secret = who.desk.links.issue(user.id, who.by, settings.link_hours)
    base = (settings.base_url or str(request.base_url)).rstrip("/")
    return page(
        request, "user_link.html", user=user, link=f"{base}/link/{secret}",
        hours=settings.link_hours,
    )  # fmt: skip
