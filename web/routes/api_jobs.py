"""The API's clips, and what is made in the background: how far it is, and the file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from web.access import Investigator
from web.ids import BEYOND
from web.jobs import Job, Jobs
from web.routes.api import ERRORS, ProblemAnswer
from web.routes.cases import note_download
from web.routes.replay import start_clip

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of *Account*."))],
    responses=ERRORS
    | {404: {"model": ProblemAnswer, "description": "There is none that may be seen"}},
)

Id = Annotated[int, Field(ge=1, lt=BEYOND)]
KINDS = {".zip": "application/zip", ".mp4": "video/mp4"}


class JobAnswer(BaseModel):
    """Something that is made in the background; its file is kept for an hour."""

    job: str
    title: str
    state: str = Field(description="waiting, running, ready or failed.")
    done: float = Field(description="Share, 0 to 1.")
    problem: str | None
    file: str | None = Field(description="Where the file is, once it is ready.")
    sha256: str | None = Field(description="Of the file, for an export of a case.")
    notes: list[str] = Field(description="What is missing in it.")


class ClipRequest(BaseModel):
    """A clip: somebody's sightings, or a stretch of time of some cameras."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    identity: Id | None = None
    track: Id | None = None
    start: str = Field(default="", alias="from", max_length=60, description="ISO 8601.")
    end: str = Field(default="", alias="to", max_length=60, description="ISO 8601.")
    cameras: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=6)
    blur: bool = Field(default=True, description="Make everybody else unrecognisable.")


@router.post("/clips", tags=["replay"], status_code=202)
def clip(request: Request, who: Investigator, wanted: ClipRequest) -> JobAnswer:
    """Render an annotated clip; ask for its job until it is ready."""
    job = start_clip(
        jobs_of(request), who, wanted.identity, wanted.track, wanted.start, wanted.end,
        wanted.cameras, blurred=wanted.blur,
    )  # fmt: skip
    return job_answer(job)


@router.get("/jobs/{key}", tags=["replay"])
def job(request: Request, who: Investigator, key: str) -> JobAnswer:
    """How far one's own clip or export is."""
    return job_answer(jobs_of(request).find(key, who.name, who.cameras))


@router.get("/jobs/{key}/file", tags=["replay"], response_class=FileResponse)
def file(request: Request, who: Investigator, key: str) -> Response:
    """The clip (MP4) or the export (ZIP)."""
    found = jobs_of(request).find(key, who.name, who.cameras)
    if found.state != "ready":
        raise HTTPException(404, f"this is {found.state}, not ready")
    if "case" in found.details:
        note_download(who, found)
    else:
        who.note("export", found.title, details={"downloaded": True})
    return FileResponse(found.file, media_type=KINDS[found.file.suffix], filename=found.name)


def job_answer(job: Job) -> JobAnswer:
    """A job for programs."""
    ready = job.state == "ready"
    return JobAnswer(
        job=job.key,
        title=job.title,
        state=job.state,
        done=job.done,
        problem=job.problem,
        file=f"/api/v1/jobs/{job.key}/file" if ready else None,
        sha256=getattr(job.result, "sha256", None),
        notes=list(getattr(job.result, "notes", ())),
    )


def jobs_of(request: Request) -> Jobs:
    """The background work of the application."""
    jobs: Jobs = request.app.state.jobs
    return jobs
