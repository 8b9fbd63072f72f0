"""What an error looks like: a page, a piece of a page, or JSON; and which status it has."""

from __future__ import annotations

import logging
import secrets
from urllib.parse import quote

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from reid.errors import CrosscamError, FingerprintMismatch, ModelError, StoreError
from web.access import API, desk_of, visitor_of
from web.pages import page

log = logging.getLogger(__name__)

# Who asks cannot be known then, so where the store lies is for the log alone.
AWAY = (
    "the store behind these pages cannot be reached; the server's log says why. Nothing was "
    "changed, and this page works again when the store is back"
)
TITLES = {
    400: "That request makes no sense here",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    415: "Not a kind we take",
    422: "That does not work",
    429: "Too many attempts",
    500: "Our mistake",
    503: "The store cannot be reached",
}


async def answer(request: Request, error: Exception) -> Response:
    """The answer to an error, whatever it was and wherever it was raised."""
    status, message = await run_in_threadpool(_explain, request, error)
    headers = dict(getattr(error, "headers", None) or {})
    if status == 503 and isinstance(error, StoreError):
        headers.setdefault("retry-after", "2")
    if request.url.path.startswith(API):
        if status == 401:
            headers.setdefault("www-authenticate", "Bearer")
        body = {"error": {"status": status, "message": message}}
        return JSONResponse(body, status, headers)
    is_piece = request.headers.get("hx-request") == "true"
    if status == 401:
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"/sign-in?next={quote(there)}" if request.method == "GET" else "/sign-in"
        if is_piece:
            return Response(status_code=401, headers={"hx-redirect": "/sign-in"})
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(back, 303)
    template = "error_piece.html" if is_piece else "error.html"
    title = TITLES.get(status, "That did not work")
    if status == 503 and isinstance(error, ModelError):
        title = "The model cannot be used"
    return page(
        request, template, status=status, headers=headers, title=title, code=status, message=message
    )


def status_of(error: CrosscamError) -> int:
    """503 where the server has no model to work with, 422 where what was asked cannot be done."""
    no_model = isinstance(error, ModelError) and not isinstance(error, FingerprintMismatch)
    return 503 if no_model else 422


def _explain(request: Request, error: Exception) -> tuple[int, str]:
    """Status and sentence; looks after the store when it was the store's error."""
    if isinstance(error, StoreError):
        desk = desk_of(request)
        if desk.healthy() and not desk.was_away():
            return 422, desk.plain(str(error))
        desk.report(str(error))
        return 503, AWAY
    if isinstance(error, CrosscamError):
        return status_of(error), desk_of(request).plain(str(error))
    if isinstance(error, RequestValidationError):
        return 422, "; ".join(_field(problem) for problem in error.errors())
    if isinstance(error, HTTPException | StarletteHTTPException):
        default = {404: "there is nothing at this address", 405: "this cannot be done here"}
        detail = str(error.detail)
        plain = detail in ("Not Found", "Method Not Allowed")
        return error.status_code, default[error.status_code] if plain else detail
    number = secrets.token_hex(4)
    who = visitor_of(request)
    log.error(
        "error %s: %s %s by %s", number, request.method, request.url.path,
        who.name if who else "a stranger", exc_info=error,
    )  # fmt: skip
    return 500, f"something went wrong; the server's log has it as error {number}"


def _field(problem: dict[str, object]) -> str:
    """One wrong field, by name; not its value, which may be a password."""
    place = problem.get("loc")
    name = ".".join(str(part) for part in place[1:]) if isinstance(place, tuple) else "?"
    return f"{name or 'the request'}: {problem.get('msg', 'not valid')}"
