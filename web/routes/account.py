"""One's own account: the password, and tokens for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from reid.errors import AccountError
from storage.accounts.passwords import check_password
from storage.accounts.tokens import tokens
from web.access import Viewer, Visitor
from web.ids import InPath
from web.pages import page

router = APIRouter(include_in_schema=False)

DAYS = {"30": 30.0, "90": 90.0, "365": 365.0, "never": None}


@router.get("/account")
def account(request: Request, who: Viewer, done: str = "") -> Response:
    """The page."""
    said = {"password": "The password is changed; your other sessions are over.",
            "revoked": "The token is revoked.",
            "sessions": "Your other sessions are over."}.get(done)  # fmt: skip
    return _page(request, who, done=said)


@router.post("/account/password")
def password(
    request: Request,
    who: Viewer,
    old: Annotated[str, Form()] = "",
    new: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Change it; guessing the old one here is counted as at sign-in."""
    address = who.address or ""
    try:
        if new != again:
            raise AccountError("the two new passwords differ")
        check_password(new, who.name)  # before the attempt: what is refused here guesses nothing
        if who.desk.attempts.begin(who.name, address) > 0:
            raise AccountError("too many failed attempts; try again in a quarter of an hour")
        who.desk.keys.set_password(who.signed, old, new, who.by)
    except AccountError as error:
        return _page(request, who, status=422, problem=str(error))
    who.desk.attempts.succeeded(who.name, address)
    return RedirectResponse("/account?done=password", 303)


@router.post("/account/sessions")
def end_sessions(who: Viewer) -> Response:
    """Sign out everywhere else."""
    who.desk.keys.end_other_sessions(who.signed, who.by)
    return RedirectResponse("/account?done=sessions", 303)


@router.post("/account/tokens")
def new_token(
    request: Request,
    who: Viewer,
    name: Annotated[str, Form()] = "",
    days: Annotated[str, Form()] = "90",
) -> Response:
    """Make a token and show it, this once."""
    try:
        if days not in DAYS:
            raise AccountError(f"days {days[:20]!r} is none of {', '.join(DAYS)}")
        secret = who.desk.tokens.issue(who.signed.user.id, name, who.by, DAYS[days])
    except AccountError as error:
        return _page(request, who, status=422, problem=str(error))
    return _page(request, who, secret=secret)


@router.post("/account/tokens/{token}/revoke")
def revoke_token(who: Viewer, token: InPath) -> Response:
    """End one of one's own tokens."""
    who.desk.tokens.revoke(token, who.by, owner=who.signed.user.id)
    return RedirectResponse("/account?done=revoked", 303)


def _page(
    request: Request,
    who: Visitor,
    *,
    status: int = 200,
    problem: str | None = None,
    done: str | None = None,
    secret: str | None = None,
) -> Response:
    mine = tokens(who.desk.reader, who.signed.user.id)
    return page(
        request, "account.html", status=status, tokens=mine, problem=problem, done=done,
        secret=secret,
    )  # fmt: skip
