"""The API's cases, their export, and holds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from storage.cases import CaseRow, Cases, cases
from storage.footage.holds import HoldRow, holds, release_hold
from storage.models import iso_text
from web.access import Administrator, Investigator, Visitor
from web.cases import add, exports, find_case, shown_items, start_export, visible, what
from web.ids import Id, InPath
from web.routes.api import ERRORS, ProblemAnswer
from web.routes.api_jobs import JobAnswer, job_answer, jobs_of
from web.routes.api_watches import Why, said
from web.routes.holds import find_hold, keep
from web.words import one_line

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS
    | {404: {"model": ProblemAnswer, "description": "There is none that may be seen"}},
)

Time = Annotated[str, Field(max_length=60)]


class CaseAnswer(BaseModel):
    """A case without what it holds."""

    id: int
    name: str
    created: str
    by: str
    reason: str
    closed: str | None
    items: int


class ItemAnswer(BaseModel):
    """Something in a case."""

    id: int
    kind: str = Field(description="track, identity or clip.")
    track: int | None
    identity: int | None
    camera: str | None
    start: str | None
    end: str | None
    note: str
    added: str
    by: str


class ExportAnswer(BaseModel):
    """An export that was made."""

    time: str
    by: str
    reason: str
    bytes: int | None
    sha256: str
    others_blurred: bool | None


class WholeCaseAnswer(CaseAnswer):
    """A case with what of it may be seen."""

    holds: list[ItemAnswer]
    hidden: int = Field(description="Items of cameras that the token's user may not see.")
    exports: list[ExportAnswer]


class CaseRequest(BaseModel):
    """A case to be opened."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=2000)]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class ItemRequest(BaseModel):
    """What goes into a case: a track, an identity, or footage of cameras."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    track: Id | None = None
    identity: Id | None = None
    cameras: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=100)
    start: Time = Field(default="", alias="from", description="Of footage, ISO 8601.")
    end: Time = Field(default="", alias="to", description="Of footage, ISO 8601.")
    note: Annotated[str, Field(max_length=2000)] = ""


class ExportRequest(Why):
    """An export to be made."""

    blur: bool = Field(default=True, description="Make everybody else unrecognisable.")


class HoldAnswer(BaseModel):
    """Footage that is kept whatever its age."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    id: int
    camera: str | None = Field(description="null: all cameras.")
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    reason: str
    case: int | None
    created: str
    by: str
    released: str | None


class HoldRequest(Why):
    """Footage to be kept."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    camera: Annotated[str, Field(max_length=64)] = Field(default="", description="Empty: all.")
    start: Time = Field(alias="from", description="ISO 8601.")
    end: Time = Field(alias="to", description="ISO 8601.")
    case: Id | None = None


@router.get("/cases", tags=["cases"])
def case_list(who: Investigator, closed: bool = True) -> list[CaseAnswer]:
    """The cases, newest first; without `closed` those that are open."""
    who.note("view", "cases")
    return [_case(row) for row in visible(who, cases(who.desk.reader, closed=closed))]


@router.post("/cases", tags=["cases"], status_code=201)
def open_case(who: Investigator, wanted: CaseRequest) -> CaseAnswer:
    """Open a case."""
    writer = Cases(who.desk.store)
    name, reason = one_line(wanted.name), one_line(wanted.reason)
    return _case(writer.create(name, who.name, reason, who.address))


@router.get("/cases/{case}", tags=["cases"])
def one_case(who: Investigator, case: InPath) -> WholeCaseAnswer:
    """One case with what it holds and the exports that were made of it."""
    row = find_case(who, case)
    who.note("view", f"case {case}")
    return _whole(who, row)


@router.post("/cases/{case}/items", tags=["cases"], status_code=201)
def add_items(who: Investigator, case: InPath, wanted: ItemRequest) -> list[ItemAnswer]:
    """Put something into a case; footage becomes an item for each camera."""
    find_case(who, case)
    found = what(who, wanted.track, wanted.identity, wanted.cameras, wanted.start, wanted.end)
    return [ItemAnswer(**row.as_json()) for row in add(who, case, found, wanted.note)]


@router.post("/cases/{case}/items/{item}/remove", tags=["cases"])
def remove_item(who: Investigator, case: InPath, item: InPath, why: Why) -> WholeCaseAnswer:
    """Take something out of a case."""
    find_case(who, case)
    if not any(shown.row.id == item for shown in shown_items(who, case)[0]):
        raise HTTPException(404, f"case {case} has no item {item}")
    Cases(who.desk.store).remove(case, item, who.name, said(why), who.address)
    return _whole(who, find_case(who, case))


@router.post("/cases/{case}/close", tags=["cases"])
def close_case(who: Investigator, case: InPath, why: Why) -> CaseAnswer:
    """Close a case: it is read only then, and its footage may age."""
    find_case(who, case)
    return _case(Cases(who.desk.store).close(case, who.name, said(why), who.address))


@router.post("/cases/{case}/export", tags=["cases"], status_code=202)
def export(request: Request, who: Investigator, case: InPath, wanted: ExportRequest) -> JobAnswer:
    """Export a case as a ZIP file; ask for its job until it is ready."""
    row = find_case(who, case)
    return job_answer(start_export(jobs_of(request), who, row, wanted.reason, wanted.blur))


@router.get("/holds", tags=["cases"])
def hold_list(who: Administrator, released: bool = False) -> list[HoldAnswer]:
    """The holds that hold, with `released` also those that were let go."""
    who.note("view", "holds")
    rows = holds(who.desk.reader, released=released)
    return [_hold(row) for row in rows if row.camera is None or who.may_see(row.camera)]


@router.post("/holds", tags=["cases"], status_code=201)
def add_hold(who: Administrator, wanted: HoldRequest) -> HoldAnswer:
    """Keep footage from now on."""
    made = keep(who, wanted.camera, wanted.start, wanted.end, wanted.reason, wanted.case)
    return next(_hold(row) for row in holds(who.desk.reader) if row.id == made)


@router.post("/holds/{hold}/release", tags=["cases"])
def release(who: Administrator, hold: InPath, why: Why) -> HoldAnswer:
    """Let footage go; retention may delete it within a minute."""
    find_hold(who, hold)
    return _hold(release_hold(who.desk.store, hold, who.name, said(why), address=who.address))


def _case(row: CaseRow) -> CaseAnswer:
    return CaseAnswer(**row.as_json())


def _whole(who: Visitor, row: CaseRow) -> WholeCaseAnswer:
    items, hidden = shown_items(who, row.id)
    made: list[dict[str, Any]] = [
        {
            "time": iso_text(entry.time),
            "by": entry.actor,
            "reason": entry.reason,
            "bytes": entry.details.get("bytes"),
            "sha256": entry.details["sha256"],
            "others_blurred": entry.details.get("others_blurred"),
        }
        for entry in exports(who, row.id)
    ]
    return WholeCaseAnswer(
        **row.as_json(),
        holds=[ItemAnswer(**item.row.as_json()) for item in items],
        hidden=hidden,
        exports=[ExportAnswer(**one) for one in made],
    )


def _hold(row: HoldRow) -> HoldAnswer:
    return HoldAnswer(
        **{"from": iso_text(row.start), "to": iso_text(row.end)},
        id=row.id,
        camera=row.camera,
        reason=row.reason,
        case=row.case,
        created=iso_text(row.created),
        by=row.actor,
        released=None if row.released is None else iso_text(row.released),
    )
