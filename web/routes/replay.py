"""The player: several cameras by one clock, with boxes; clips rendered for download or blurred."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from investigation.replay.clips import write_clip
from investigation.replay.footage import Footage, Span, check_window
from investigation.replay.remux import media_type, playback
from reid.errors import DataError, StoreError
from storage.models import iso_text
from web.access import Investigator
from web.ids import InForm, InQuery
from web.jobs import Job, Jobs, Progress
from web.pages import page
from web.played import Played
from web.player import LONGEST, Scene, boxes_json, clip_plan, plan_json, scene
from web.times import utc_seconds

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Query(max_length=500)]
LONGEST_PIECE = 120.0  # seconds; the player asks for less
ROUND = 1.0  # seconds that the player asks for beyond its stretch of time


@router.get("/replay")
def replay(
    request: Request,
    who: Investigator,
    identity: InQuery = None,
    track: InQuery = None,
    start: Annotated[str, Query(alias="from", max_length=60)] = "",
    end: Annotated[str, Query(alias="to", max_length=60)] = "",
    camera: Annotated[list[str] | None, Query(max_length=64)] = None,
) -> Response:
    """The player's page; without a person or times, the form that asks for them."""
    cameras = [c for c in camera or [] if c]
    asked: dict[str, Any] = {"identity": identity, "track": track, "cameras": cameras}
    known = [c for c in who.desk.reader.cameras() if who.may_see(c.id)]
    shown: dict[str, Any] = {"known": known, "asked": asked, "start": start, "end": end}
    if identity is None and track is None and not start and not end:
        return page(request, "replay_ask.html", problem=None, **shown)
    try:
        found = _scene(who, identity, track, start, end, cameras)
    except DataError as error:
        return page(request, "replay_ask.html", status=422, problem=str(error), **shown)
    _note(who, "play", found)
    span = Span(found.span.start - ROUND, found.span.end + ROUND)
    request.app.state.played.add(who.name, found.cameras, span)
    return page(request, "replay.html", scene=found, plan=plan_json(who, found), **shown)


@router.get("/replay/boxes")
def boxes(
    who: Investigator,
    camera: Text,
    start: Annotated[float, Query(alias="from")],
    end: Annotated[float, Query(alias="to")],
    identity: InQuery = None,
    track: InQuery = None,
) -> dict[str, Any]:
    """Boxes of one camera, for the player's script."""
    _check(who, camera, start, end)
    marked: frozenset[int] = frozenset()
    if identity is not None or track is not None:
        found = scene(who, identity=identity, track=track, start=start, end=end, cameras=[camera])
        marked = frozenset(found.marked)
    return boxes_json(who, camera, start, end, marked)


@router.get("/replay/video")
def video(
    request: Request,
    who: Investigator,
    camera: Text,
    start: Annotated[float, Query(alias="from")],
    end: Annotated[float, Query(alias="to")],
    hevc: bool = False,
) -> Response:
    """A piece of one camera's footage for the player's script: a fragmented MP4, sent as it comes.

    Everybody in it can be seen. The headers say what the script must know before the first byte:
    `crosscam-origin`, the capture time of second 0; `crosscam-start`, that of the first picture;
    `crosscam-copied`, whether it is the camera's own; the content type names the coding. `hevc`
    says that the browser plays HEVC, which is then sent as it is.
    """
    _check(who, camera, start, end)
    if end - start > LONGEST_PIECE:
        raise DataError(f"one piece holds {LONGEST_PIECE:.0f} s at most, not {end - start:.0f} s")
    piece = playback(Footage(who.desk.reader), camera, start, end, hevc=hevc)
    chunks = _until_closed(piece.chunks)
    head = next(chunks, b"")
    kind = media_type(head)
    played: Played = request.app.state.played
    if not played.covers(who.name, camera, Span(start, end)):
        times = {"from": iso_text(start), "to": iso_text(end)}
        who.note("play", f"camera {camera}", details=times)
        played.add(who.name, [camera], Span(start, end))
    headers = {
        "cache-control": "no-store",
        "crosscam-origin": f"{piece.origin:.6f}",
        "crosscam-start": f"{piece.start:.6f}",
        "crosscam-copied": str(int(piece.copied)),
    }
    return StreamingResponse(chain([head], chunks), media_type=kind, headers=headers)


@router.post("/replay/clip")
def render(
    request: Request,
    who: Investigator,
    identity: InForm = None,
    track: InForm = None,
    start: Annotated[str, Form(alias="from", max_length=60)] = "",
    end: Annotated[str, Form(alias="to", max_length=60)] = "",
    camera: Annotated[list[str] | None, Form(max_length=64)] = None,
    blur: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Render the annotated clip, everybody else blurred if asked; answers with its page."""
    job = start_clip(
        _jobs(request), who, identity, track, start, end, camera or [], blurred=bool(blur)
    )
    return RedirectResponse(f"/replay/clip/{job.key}", 303)


def start_clip(
    jobs: Jobs,
    who: Investigator,
    identity: int | None,
    track: int | None,
    start: str,
    end: str,
    cameras: list[str],
    *,
    blurred: bool,
) -> Job:
    """Render a clip in the background, for pages and programs; the MP4 is the job's file."""
    found = _scene(who, identity, track, start, end, cameras)
    plan = clip_plan(found, blurred)
    reader = who.desk.reader

    def work(path: Path, progress: Progress) -> Any:
        return write_clip(reader, plan, path, progress)

    name = re.sub(r"[^a-z0-9]+", "-", f"crosscam {found.name}".lower()).strip("-") + ".mp4"
    title = f"Clip of {found.name}{', everybody else blurred' if blurred else ''}"
    job = jobs.start(who.name, title, name, work, {"blur": blurred})
    _note(who, "export", found, {"others_blurred": blurred})
    return job


@router.get("/replay/clip/{key}")
def clip(request: Request, who: Investigator, key: str) -> Response:
    """How far the clip is; the clip, once it is ready."""
    job = _clip(request, who, key)
    piece = request.headers.get("hx-request") == "true"
    return page(request, "replay_job.html" if piece else "replay_clip.html", job=job)


@router.get("/replay/clip/{key}/video")
def clip_video(request: Request, who: Investigator, key: str, download: bool = False) -> Response:
    """The rendered MP4, for the page or to keep."""
    job = _clip(request, who, key)
    if job.state != "ready":
        raise HTTPException(404, "the clip is not ready yet")
    if download:
        who.note("export", job.title, details={"downloaded": True})
    return FileResponse(
        job.file, media_type="video/mp4", filename=job.name,
        content_disposition_type="attachment" if download else "inline",
    )  # fmt: skip


def _clip(request: Request, who: Investigator, key: str) -> Job:
    """A clip that they asked for; other jobs of theirs are no clips.

    Raises:
        HTTPException: 404 if there is none.
    """
    job = _jobs(request).find(key, who.name, who.cameras)
    if "blur" not in job.details:
        raise HTTPException(404, "that is no clip")
    return job


def _scene(
    who: Investigator,
    identity: int | None,
    track: int | None,
    start: str,
    end: str,
    cameras: list[str],
) -> Scene:
    return scene(
        who,
        identity=identity,
        track=track,
        start=utc_seconds(start, "from"),
        end=utc_seconds(end, "to"),
        cameras=[c for c in cameras if c],
    )


def _check(who: Investigator, camera: str, start: float, end: float) -> None:
    """One camera and a stretch of time that may be played.

    Raises:
        HTTPException: 404 if it is not theirs.
        DataError: if the times are backwards or too far apart.
    """
    who.check_camera(camera, f"camera {camera!r}")
    if not (0 <= start <= 253402300799 and 0 <= end <= 253402300799):
        raise DataError(f"from {start} to {end} are no UTC seconds")
    check_window(start, end)
    if end - start > 2 * LONGEST:
        raise DataError(f"{end - start:.0f} s are too many to play at once")


def _note(
    who: Investigator, action: str, found: Scene, details: dict[str, Any] | None = None
) -> None:
    who.note(
        action,
        found.name if found.chosen else ", ".join(found.cameras) or "no camera",
        details={
            "cameras": list(found.cameras),
            "from": iso_text(found.span.start),
            "to": iso_text(found.span.end),
            **(details or {}),
        },
    )


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _until_closed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks to the end; recordings that vanish on the way end the video."""
    with suppress(StoreError):
        yield from chunks
