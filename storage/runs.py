"""What happens to a run's rows in the writer: tracks close, runs end, dead runs are found."""

from __future__ import annotations

import logging
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from storage.models import Run, Track, TrackBox
from storage.process import is_dead

log = logging.getLogger(__name__)

# A track's box count, from the boxes themselves: exact however often a point was sent.
_COUNT = select(func.count()).where(TrackBox.track == Track.id).scalar_subquery()
_CLOSE = update(Track).where(Track.id == bindparam("_id")).values(closed=True, boxes=_COUNT)


def close_track(track: int, connection: Connection, stale: list[Path]) -> None:
    """A track is complete."""
    connection.execute(_CLOSE, {"_id": track})


def finish(run: int, status: str, connection: Connection) -> None:
    """A run is over, and so are its tracks."""
    still_open = (Track.run == run) & Track.closed.is_(False)
    connection.execute(update(Track).where(still_open).values(closed=True, boxes=_COUNT))
    connection.execute(update(Run).where(Run.id == run).values(status=status, finished=time.time()))


def interrupt_dead(connection: Connection, now: float) -> None:
    """Mark the runs of processes that are gone; they ended at their last sign of life."""
    running = select(Run.id, Run.process, Run.heartbeat).where(Run.status == "running")
    for run, process, heartbeat in connection.execute(running).all():
        if is_dead(process, now - heartbeat):
            log.warning("run %d was interrupted: its process is gone", run)
            still_open = (Track.run == run) & Track.closed.is_(False)
            connection.execute(update(Track).where(still_open).values(boxes=_COUNT))
            connection.execute(
                update(Run).where(Run.id == run).values(status="interrupted", finished=heartbeat)
            )


def track_row(
    run: int, camera: str, track: int, start: float, end: float, boxes: int
) -> dict[str, Any]:
    """A row of `tracks`; `boxes` is added to what is there."""
    return {
        "id": track,
        "run": run,
        "camera": camera,
        "start": start,
        "end": end,
        "boxes": boxes,
        "closed": False,
    }


def camera_state(
    run: int,
    camera: str,
    state: str,
    error: str | None = None,
    frames: int = 0,
    dropped: int = 0,
    first: float | None = None,
    last: float | None = None,
) -> dict[str, Any]:
    """A row of `run_cameras`."""
    return {
        "run": run,
        "camera": camera,
        "state": state,
        "error": error,
        "frames": frames,
        "dropped": dropped,
        "first": first,
        "last": last,
    }


def software_version() -> str:
    """Of crosscam, as installed."""
    try:
        return version("crosscam")
    except PackageNotFoundError:
        return "unknown"
