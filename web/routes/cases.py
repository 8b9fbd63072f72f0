"""Cases: folders of evidence, and their export as a ZIP file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from reid.errors import ConfigError, DataError
from storage.cases import Cases, cases
from web.access import Investigator, Visitor
from web.cases import (
    WhatToAdd,
    add,
    exports,
    find_case,
    open_cases,
    shown_items,
    start_export,
    visible,
    what,
)
from web.ids import BEYOND, InForm, InPath, InQuery
from web.jobs import Job, Jobs
from web.pages import page
from web.routes.sign_in import local_path
from web.words import one_line

router = APIRouter(include_in_schema=False)

Reason = Annotated[str, Form(max_length=2000)]


@router.get("/cases")
def listed(request: Request, who: Investigator) -> Response:
    """All cases, and the form for a new one."""
    return _list(request, who)


@router.post("/cases")
def create(request: Request, who: Investigator, name: Reason = "", reason: Reason = "") -> Response:
    """Open a case."""
    try:
        made = Cases(who.desk.store).create(one_line(name), who.name, one_line(reason), who.address)
    except ConfigError as error:
        return _list(request, who, str(error), name, reason)
    return RedirectResponse(f"/cases/{made.id}", 303)


@router.get("/cases/add")
def ask(
    request: Request,
    who: Investigator,
    track: InQuery = None,
    identity: InQuery = None,
    camera: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    start: Annotated[str, Query(alias="from", max_length=60)] = "",
    end: Annotated[str, Query(alias="to", max_length=60)] = "",
    back: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Into which case?"""
    wanted = what(who, track, identity, camera, start, end)
    return _ask(request, who, wanted, back)


@router.post("/cases/add")
def put(
    request: Request,
    who: Investigator,
    case: Annotated[str, Form(max_length=20)] = "",
    name: Reason = "",
    reason: Reason = "",
    note: Reason = "",
    track: InForm = None,
    identity: InForm = None,
    camera: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    start: Annotated[str, Form(alias="from", max_length=60)] = "",
    end: Annotated[str, Form(alias="to", max_length=60)] = "",
    back: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Add it to a case that is open, or to a new one."""
    wanted = what(who, track, identity, camera, start, end)
    try:
        if case == "new":
            number = Cases(who.desk.store).create(
                one_line(name), who.name, one_line(reason), who.address
            ).id  # fmt: skip
        elif case.isdecimal() and 0 < int(case) < BEYOND:
            number = find_case(who, int(case)).id
        else:
            raise ConfigError("choose a case")
        add(who, number, wanted, note)
    except (ConfigError, DataError) as error:
        said = {"case": case, "name": name, "reason": reason, "note": note}
        return _ask(request, who, wanted, back, str(error), said)
    return RedirectResponse(f"/cases/{number}", 303)


@router.get("/cases/{case}")
def one(request: Request, who: Investigator, case: InPath) -> Response:
    """What is in a case."""
    return _one(request, who, case)


@router.post("/cases/{case}/items/{item}/remove")
def remove(
    request: Request, who: Investigator, case: InPath, item: InPath, reason: Reason = ""
) -> Response:
    """Take something out again."""
    find_case(who, case)
    items, _ = shown_items(who, case)
    if not any(shown.row.id == item for shown in items):
        raise HTTPException(404, f"case {case} has no item {item}")
    try:
        Cases(who.desk.store).remove(case, item, who.name, one_line(reason), who.address)
    except ConfigError as error:
        return _one(request, who, case, str(error))
    return RedirectResponse(f"/cases/{case}", 303)


@router.post("/cases/{case}/close")
def close(request: Request, who: Investigator, case: InPath, reason: Reason = "") -> Response:
    """Close it: read only from now on."""
    find_case(who, case)
    try:
        Cases(who.desk.store).close(case, who.name, one_line(reason), who.address)
    except ConfigError as error:
        return _one(request, who, case, str(error))
    return RedirectResponse(f"/cases/{case}", 303)


@router.post("/cases/{case}/export")
def export(
    request: Request,
    who: Investigator,
    case: InPath,
    reason: Reason = "",
    blur: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Begin the export; answers with the page that shows how far it is."""
    row = find_case(who, case)
    try:
        job = start_export(_jobs(request), who, row, reason, bool(blur))
    except (ConfigError, DataError) as error:
        return _one(request, who, case, str(error))
    return RedirectResponse(f"/cases/{case}/exports/{job.key}", 303)


@router.get("/cases/{case}/exports/{key}")
def exporting(request: Request, who: Investigator, case: InPath, key: str) -> Response:
    """How far the export is; what it made, once it is ready."""
    job = _job(request, who, case, key)
    piece = request.headers.get("hx-request") == "true"
    return page(request, "case_job.html" if piece else "case_exporting.html", job=job, case=case)


@router.get("/cases/{case}/exports/{key}/file")
def file(request: Request, who: Investigator, case: InPath, key: str) -> Response:
    """The ZIP."""
    job = _job(request, who, case, key)
    if job.state != "ready":
        raise HTTPException(404, "the export is not ready yet")
    note_download(who, job)
    return FileResponse(job.file, media_type="application/zip", filename=job.name)


def note_download(who: Visitor, job: Job) -> None:
    """Write down that an export left the server."""
    who.note("export", f"case {job.details['case']}", details={"downloaded": job.name,
             "of": job.result.sha256})  # fmt: skip


def _list(
    request: Request,
    who: Visitor,
    problem: str | None = None,
    name: str = "",
    reason: str = "",
) -> Response:
    who.note("view", "cases")
    return page(
        request, "cases.html", status=422 if problem else 200, problem=problem, name=name,
        reason=reason, cases=visible(who, cases(who.desk.reader)),
    )  # fmt: skip


def _one(request: Request, who: Visitor, number: int, problem: str | None = None) -> Response:
    row = find_case(who, number)
    items, hidden = shown_items(who, number)
    who.note("view", f"case {number}")
    return page(
        request, "case.html", status=422 if problem else 200, problem=problem, case=row,
        items=items, hidden=hidden, whole=not hidden and all(item.whole for item in items),
        exports=exports(who, number),
    )  # fmt: skip


def _ask(
    request: Request,
    who: Visitor,
    wanted: WhatToAdd,
    back: str,
    problem: str | None = None,
    said: dict[str, str] | None = None,
) -> Response:
    empty = {"case": "", "name": "", "reason": "", "note": ""}
    return page(
        request, "case_add.html", status=422 if problem else 200, problem=problem, wanted=wanted,
        cases=open_cases(who), back=local_path(back) if back else "", said=said or empty,
    )  # fmt: skip


def _job(request: Request, who: Visitor, case: int, key: str) -> Job:
    job = _jobs(request).find(key, who.name, who.cameras)
    if job.details.get("case") != case:
        raise HTTPException(404, "this is not there any more; ask for it again")
    return job


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs
