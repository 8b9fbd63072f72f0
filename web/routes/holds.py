"""Holds: footage that must not be deleted, whatever its age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from reid.errors import ConfigError, DataError
from storage.cases import cases
from storage.footage.holds import HoldRow, add_hold, holds, release_hold
from web.access import Administrator, Visitor
from web.ids import InForm, InPath
from web.pages import page
from web.times import utc_seconds
from web.words import one_line

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]


@router.get("/holds")
def listed(request: Request, who: Administrator, released: bool = False) -> Response:
    """The holds that hold, or with `released` also those that were let go."""
    who.note("view", "holds")
    return _page(request, who, released=released)


@router.post("/holds")
def add(
    request: Request,
    who: Administrator,
    camera: Annotated[str, Form(max_length=64)] = "",
    start: Annotated[str, Form(alias="from", max_length=60)] = "",
    end: Annotated[str, Form(alias="to", max_length=60)] = "",
    reason: Text = "",
    case: InForm = None,
) -> Response:
    """Keep footage from now on."""
    try:
        keep(who, camera, start, end, reason, case)
    except (ConfigError, DataError) as error:
        said = {"camera": camera, "from": start, "to": end, "reason": reason, "case": case}
        return _page(request, who, problem=str(error), said=said)
    return RedirectResponse("/holds", 303)


@router.post("/holds/{hold}/release")
def release(request: Request, who: Administrator, hold: InPath, reason: Text = "") -> Response:
    """Let footage go again."""
    find_hold(who, hold)
    try:
        release_hold(who.desk.store, hold, who.name, one_line(reason), address=who.address)
    except ConfigError as error:
        return _page(request, who, problem=str(error))
    return RedirectResponse("/holds", 303)


def keep(
    who: Administrator, camera: str, start: str, end: str, reason: str, case: int | None
) -> int:
    """Place a hold in the visitor's name; returns its id.

    Raises:
        ConfigError, DataError: naming what cannot be held.
        HTTPException: 404 for a camera that is not theirs.
    """
    first, last = utc_seconds(start, "from"), utc_seconds(end, "to")
    if first is None or last is None:
        raise DataError("a hold needs a time from and to")
    if camera:
        who.check_camera(camera, f"camera {camera!r}")
    elif who.cameras is not None:
        raise ConfigError("choose one of your cameras: all are not yours to hold")
    row = add_hold(
        who.desk.store, camera or None, first, last, who.name, one_line(reason),
        case=case, address=who.address,
    )  # fmt: skip
    return row.id


def find_hold(who: Visitor, number: int) -> HoldRow:
    """A hold of a camera that the visitor may see.

    Raises:
        HTTPException: 404 if there is none.
    """
    for row in holds(who.desk.reader, released=True):
        if row.id == number and (row.camera is None or who.may_see(row.camera)):
            return row
    raise HTTPException(404, f"there is no hold {number}")


def _page(
    request: Request,
    who: Administrator,
    *,
    released: bool = False,
    problem: str | None = None,
    said: Mapping[str, object] | None = None,
) -> Response:
    reader = who.desk.reader
    rows = [
        row
        for row in holds(reader, released=released)
        if row.camera is None or who.may_see(row.camera)
    ]
    empty = {"camera": "", "from": "", "to": "", "reason": "", "case": None}
    return page(
        request, "holds.html", status=422 if problem else 200, problem=problem, holds=rows,
        released=released, said=said or empty, cases=cases(reader, closed=False),
        cameras=[c for c in reader.cameras() if who.may_see(c.id)],
    )  # fmt: skip
