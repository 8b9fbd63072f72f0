"""The API for programs, under /api/v1: a token instead of a cookie, JSON instead of pages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from storage.camera_states import camera_states
from web.access import Administrator, Viewer
from web.ids import BEYOND
from web.pages import iso
from web.routes.audit import Choice

Text = Annotated[str, Query(max_length=200)]


class Problem(BaseModel):
    """What went wrong."""

    status: int
    message: str = Field(description="For people: names what was wrong, and its value.")


class ProblemAnswer(BaseModel):
    """Every answer that is not a success."""

    error: Problem


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ProblemAnswer, "description": "No token, or one that is over"},
    403: {"model": ProblemAnswer, "description": "The token's user has not the role"},
    422: {"model": ProblemAnswer, "description": "A parameter cannot be used"},
    503: {"model": ProblemAnswer, "description": "The store cannot be reached"},
}
router = APIRouter(
    prefix="/api/v1",
    # Only for the description: the gate reads the token.
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS,
)


class Me(BaseModel):
    """Whose token it is."""

    name: str
    role: str
    cameras: list[str] | None = Field(description="Those that may be seen; null: all.")


class CameraAnswer(BaseModel):
    """A camera and how it is doing."""

    camera: str
    place: str | None
    state: str = Field(
        description="opening, running, reconnecting, ended, failed; silent: its run shows no sign "
        "of life; off: no run is on; never: it never ran."
    )
    error: str | None
    run: int | None
    frames: int = Field(description="Handed to the pipeline in this run.")
    dropped: int
    first: str | None = Field(description="Capture time of the run's first frame, ISO 8601 UTC.")
    last: str | None = Field(description="Capture time of the run's last frame, ISO 8601 UTC.")


class AuditAnswer(BaseModel):
    """One entry of the audit trail."""

    id: int
    time: str
    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any]
    address: str | None


@router.get("/me", tags=["account"])
def me(who: Viewer) -> Me:
    """Whose token this is, and what it may see."""
    cameras = None if who.cameras is None else sorted(who.cameras)
    return Me(name=who.name, role=who.role.word, cameras=cameras)


@router.get("/cameras", tags=["cameras"])
def cameras(who: Viewer) -> list[CameraAnswer]:
    """The cameras that may be seen, by id, with their states."""
    return [
        CameraAnswer(
            camera=now.camera,
            place=now.place,
            state=now.state,
            error=now.error,
            run=now.run,
            frames=now.frames,
            dropped=now.dropped,
            first=None if now.first is None else iso(now.first),
            last=None if now.last is None else iso(now.last),
        )
        for now in camera_states(who.desk.reader, who.cameras)
    ]


@router.get("/audit", tags=["audit"])
def audit(
    who: Administrator,
    actor: Text = "",
    action: Text = "",
    start: Annotated[str, Query(max_length=40, description="From, ISO 8601.")] = "",
    end: Annotated[str, Query(max_length=40, description="To, ISO 8601.")] = "",
    before: Annotated[
        int | None, Query(ge=1, lt=BEYOND, description="Only ids below, to page on.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditAnswer]:
    """The audit trail, newest first; administrators alone."""
    chosen = Choice(actor, action, start, end)
    found = chosen.page(who.desk.reader, before, limit)
    chosen.note(who, before)
    return [
        AuditAnswer(
            id=row.id, time=iso(row.time), actor=row.actor, action=row.action,
            subject=row.subject, reason=row.reason, details=row.details, address=row.address,
        )
        for row in found
    ]  # fmt: skip
