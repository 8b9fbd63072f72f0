"""What every request passes before its route: host, size and kind of body, who it is.

Also what every answer carries: the headers that keep a browser from doing what we never ask for.
Plain ASGI, so that a body is refused before anything reads it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reid.errors import CrosscamError
from storage import audit
from storage.accounts.keys import SignedIn
from web.access import API, SAFE, Visitor
from web.desk import Desk
from web.settings import WebSettings
from web.times import zone

STATIC = "/static/"
STRANGERS_BODY = 64 * 1024  # bytes: a sign-in form is small
# What every open page asks by itself: this is no use of a session.
UNASKED = "/alerts/unseen"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
PROGRAMS = ("application/json", "multipart/form-data")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; font-src 'none'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with it a browser sends "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
Answer = Callable[[Request, Exception], Awaitable[Response]]


class Gate:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, desk: Desk, answer: Answer) -> None:
        """Stand before an application.

        Args:
            app: what is behind.
            desk: to find out who asks.
            answer: makes the answer to an error.
        """
        self._app = app
        self._desk = desk
        self._answer = answer
        self._hosts = allowed_hosts(desk.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        finish = _with_headers(send, scope["path"].startswith(STATIC), self._desk.settings.secure)
        try:
            limit = await self._admit(request)
        except (HTTPException, CrosscamError) as error:
            response = await self._answer(request, error)
            await response(scope, receive, finish)
            return
        started = False

        async def begin(message: Message) -> None:
            nonlocal started
            started = True
            await finish(message)

        try:
            await self._app(scope, _limited(receive, limit), begin)
        except Exception as error:
            # Here and not in Starlette's own layer, which stands outside of our headers.
            if started:
                raise
            response = await self._answer(request, error)
            await response(scope, receive, finish)

    async def _admit(self, request: Request) -> int:
        """Check what can be checked before the body; returns how many bytes it may have."""
        request.state.visitor = None
        if not host_allowed(request.headers.get("host", ""), self._hosts):
            raise HTTPException(
                400, "this server does not go by that name; see `crosscam serve --allowed-host`"
            )
        path = request.url.path
        zone.set(UTC if path.startswith(API) else self._desk.settings.time_zone)
        if path.startswith(STATIC):
            return 0
        if request.method not in SAFE:
            _check_origin(request)
            _check_kind(request)
            _check_letters(request)
        signed = await self._who(request)
        if signed is not None:
            client = request.client
            address = None if client is None else client.host
            request.state.visitor = Visitor(signed, address, self._desk)
        by_token = signed is not None and signed.through != "session"
        audit.through.set(signed.through if signed is not None and by_token else "")
        limit = self._desk.settings.upload_limit if signed is not None else STRANGERS_BODY
        length = request.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise HTTPException(400, "Content-Length is not a number")
        if len(length) > 15 or int(length) > limit:
            raise too_large(limit)
        return limit

    async def _who(self, request: Request) -> SignedIn | None:
        if request.url.path.startswith(API):
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return await run_in_threadpool(lambda: self._desk.tokens.find(token.strip()))
            return None
        cookie = request.cookies.get(self._desk.settings.cookie)
        if not cookie:
            return None
        used = request.url.path != UNASKED
        return await run_in_threadpool(lambda: self._desk.keys.session(cookie, used=used))


def allowed_hosts(settings: WebSettings) -> frozenset[str]:
    """The names this server goes by."""
    base = urlsplit(settings.base_url or "").hostname
    names = {"localhost", settings.host, *settings.allowed_hosts, *([base] if base else [])}
    return frozenset(name.lower().strip("[]") for name in names)


def host_allowed(host: str, names: frozenset[str]) -> bool:
    """True for one of our names or any numeric address.

    A page of a stranger can make its own name point at us (DNS rebinding), but not a number.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def too_large(limit: int) -> HTTPException:
    """The answer to a body that is too large."""
    return HTTPException(413, f"too large: allowed are {limit / 2**20:.3g} MB for one request")


def _check_origin(request: Request) -> None:
    """A browser says which page a change comes from; only ours may make one."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    try:
        site = urlsplit(origin).netloc.lower()
    except ValueError:  # `http://[`
        site = ""
    if not site or site != request.headers["host"].lower():
        raise HTTPException(403, "this request comes from a page of another site")


def _check_kind(request: Request) -> None:
    allowed = PROGRAMS if request.url.path.startswith(API) else FORMS
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    empty = request.headers.get("content-length") in (None, "0") and (
        "transfer-encoding" not in request.headers
    )
    if kind not in allowed and not (empty and not kind):
        raise HTTPException(
            415, f"the body is {kind or 'of no kind'}; allowed: {' or '.join(allowed)}"
        )


def _check_letters(request: Request) -> None:
    """Take UTF-8 alone: other codecs of Python make letters that no database takes."""
    _, options = parse_options_header(request.headers.get("content-type"))
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in ("utf-8", "utf8"):
        raise HTTPException(415, f"the body is written in {charset[:40]!r}; allowed: utf-8")


def _limited(receive: Receive, limit: int) -> Receive:
    """Count the body as it comes: its length may be unsaid or untrue."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > limit:
                raise too_large(limit)
        return message

    return counted


def _with_headers(send: Send, is_static: bool, secure: bool) -> Send:
    async def finish(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if secure:
                headers.setdefault("strict-transport-security", "max-age=31536000")
            if not is_static:
                headers["cache-control"] = "no-store"
        await send(message)

    return finish
