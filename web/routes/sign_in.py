"""Signing in and out; setting a password by a one-time link."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from reid.errors import AccountError
from storage.accounts.tokens import DEAD_LINK
from web.access import Anybody, TheDesk, Viewer
from web.pages import page

router = APIRouter(include_in_schema=False)

WRONG = "That name and password do not go together, or the account is disabled."


@router.get("/sign-in")
def form(request: Request, who: Anybody, next: str = "/", name: str = "") -> Response:
    """The form; whoever is signed in goes on. `name`: who just set a password by a link."""
    if who is not None:
        return RedirectResponse(local_path(next), 303)
    done = "The password is set. Sign in with it." if name else None
    shown: dict[str, Any] = {"done": done, "name": name[:64], "next": local_path(next)}
    return page(request, "sign_in.html", problem=None, **shown)


@router.post("/sign-in")
def sign_in(
    request: Request,
    desk: TheDesk,
    _: Anybody,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Check name and password; a stranger's request by nature."""
    address = request.client.host if request.client else ""
    shown: dict[str, Any] = {"done": None, "name": name[:64], "next": local_path(next)}
    wait = desk.attempts.begin(name, address)
    if wait > 0:
        minutes = math.ceil(wait / 60)
        problem = f"Too many failed attempts. Try again in {minutes} min."
        headers = {"retry-after": str(math.ceil(wait))}
        return page(request, "sign_in.html", status=429, headers=headers, problem=problem, **shown)
    cookie = desk.keys.sign_in(name, password, address or None)
    if cookie is None:
        return page(request, "sign_in.html", status=401, problem=WRONG, **shown)
    desk.attempts.succeeded(name, address)
    answer = RedirectResponse(local_path(next), 303)
    answer.set_cookie(
        desk.settings.cookie,
        cookie,
        max_age=int(desk.settings.session_longest),
        path="/",
        secure=desk.settings.secure,
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/sign-out")
def sign_out(who: Viewer) -> Response:
    """End this session."""
    who.desk.keys.sign_out(who.signed, who.by)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(
        who.desk.settings.cookie, "/", secure=who.desk.settings.secure, httponly=True
    )
    return answer


@router.get("/link/{secret}")
def link_form(request: Request, secret: str, desk: TheDesk, _: Anybody) -> Response:
    """Where a one-time link leads; looking does not use it up (mail programs look)."""
    user = desk.links.find(secret)
    if user is None:
        raise HTTPException(404, DEAD_LINK)
    return page(request, "set_password.html", name=user.name, problem=None)


@router.post("/link/{secret}")
def use_link(
    request: Request,
    secret: str,
    desk: TheDesk,
    _: Anybody,
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Set the password; the link is its own proof of who asks."""
    address = request.client.host if request.client else None
    user = desk.links.find(secret)
    try:
        if password != again:
            raise AccountError("the two passwords differ")
        user = desk.links.use(secret, password, address)
    except AccountError as error:
        if user is None:
            raise HTTPException(404, str(error)) from error
        return page(request, "set_password.html", status=422, name=user.name, problem=str(error))
    return RedirectResponse(f"/sign-in?name={user.name}", 303)


def local_path(path: str) -> str:
    """A path on this server, whatever was asked for: nobody is sent elsewhere after signing in."""
    if not path.startswith("/") or path.startswith(("//", "/\\", "/sign-in")):
        return "/"
    return path if path.isprintable() and "\\" not in path and len(path) < 2000 else "/"
