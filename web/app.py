"""The application: the routes behind the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware

from reid.errors import CrosscamError
from storage.runs import software_version
from web import static
from web.access import check_routes
from web.desk import Desk
from web.errors import answer
from web.gate import Gate
from web.jobs import Jobs
from web.played import Played
from web.room import SearchRoom
from web.routes import (
    account,
    alerts,
    api,
    api_cases,
    api_jobs,
    api_people,
    api_search,
    api_watches,
    audit,
    cases,
    decisions,
    docs,
    erasure,
    evidence,
    groups,
    holds,
    home,
    identities,
    live,
    pictures,
    replay,
    search,
    sign_in,
    timeline,
    users,
    watches,
)
from web.settings import WebSettings

# Every router of the application: a route in none of them does not exist.
ROUTERS = (
    static.router,
    home.router,
    sign_in.router,
    live.router,
    search.router,
    evidence.router,
    identities.router,
    timeline.router,
    decisions.router,
    pictures.router,
    replay.router,
    watches.router,
    alerts.router,
    cases.router,
    holds.router,
    erasure.router,
    account.router,
    users.router,
    groups.router,
    audit.router,
    docs.router,
    api.router,
    api_search.router,
    api_people.router,
    api_watches.router,
    api_cases.router,
    api_jobs.router,
)


HANDLED = (CrosscamError, HTTPException, RequestValidationError)  # the gate has the rest


def create_app(settings: WebSettings, store_url: str, media: Path | None = None) -> FastAPI:
    """Open the store and make the application; its end closes the store.

    Args:
        settings: how to serve.
        store_url: as for `Store.open`.
        media: the store's media folder; by default beside a SQLite file.

    Raises:
        StoreError: if the store cannot be opened.
        ConfigError: if htmx is not installed.
    """
    check_routes(ROUTERS)
    static.files()
    # A photo that somebody uploads stays in memory: never in a temporary file of the machine.
    MultiPartParser.spool_max_size = settings.upload_limit
    desk = Desk(settings, store_url, media)
    jobs = Jobs()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            jobs.close()
            desk.close()

    app = FastAPI(
        title="crosscam",
        version=software_version(),
        description="For programs: send `Authorization: Bearer TOKEN`; make the token under "
        "*Account*. Whatever is asked is written into the audit trail under the token's user.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=life,
        middleware=[Middleware(Gate, desk=desk, answer=answer)],
        exception_handlers=dict.fromkeys(
            (CrosscamError, HTTPException, RequestValidationError), answer
        ),
    )
    app.state.desk = desk
    app.state.jobs = jobs
    app.state.played = Played()
    app.state.watching = None  # `crosscam serve` puts its WatchThread here
    app.state.room = SearchRoom(desk)
    for router in ROUTERS:
        app.include_router(router)
    return app
