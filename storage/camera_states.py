"""How the cameras are doing now: what the live wall shows."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, select

from storage.models import Camera, Run, RunCamera
from storage.queries import StoreReader

# A run says that it lives every five seconds; after this long without, something is wrong.
SILENT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class CameraNow:
    """A camera in its running run, else in its last one; times are UTC seconds.

    Attributes:
        state: as the pipeline says (`opening`, `running`, `reconnecting`, `ended`, `failed`), or
            `silent` (its run shows no sign of life), `off` (no run is on), `never` (it never ran).
        error: why it is not well; also of a run that is over.
        frames: handed to the pipeline in this run.
        dropped: live frames replaced by newer ones in this run.
        first: capture time of the run's first frame.
        last: capture time of the run's last frame.
        heard: last sign of life of the run.
    """

    camera: str
    place: str | None
    run: int | None
    state: str
    error: str | None
    frames: int
    dropped: int
    first: float | None
    last: float | None
    heard: float | None


def camera_states(
    reader: StoreReader, cameras: frozenset[str] | None = None, now: float | None = None
) -> list[CameraNow]:
    """The cameras (of a set), by id. Runs of recordings (`replay --rerun`) do not count.

    Args:
        reader: the store.
        cameras: only these; None for all.
        now: UTC seconds, for tests.
    """
    moment = time.time() if now is None else now
    # A running run goes before a later one that is over.
    order = func.max(func.coalesce(RunCamera.run, 0)).label("latest")
    of_run = select(RunCamera.camera, order).join(Run).where(Run.rerun_of.is_(None))
    running = of_run.where(Run.status == "running").group_by(RunCamera.camera)
    latest = of_run.group_by(RunCamera.camera)
    with reader.connection() as connection:
        chosen = {row.camera: row.latest for row in connection.execute(latest)}
        chosen |= {row.camera: row.latest for row in connection.execute(running)}
        found = connection.execute(select(Camera.id, Camera.place).order_by(Camera.id)).all()
        details = {
            (row.run, row.camera): row
            for row in connection.execute(
                select(*RunCamera.__table__.columns, Run.status, Run.heartbeat)
                .join(Run, Run.id == RunCamera.run)
                .where(RunCamera.run.in_(set(chosen.values())))
            )
        }
    states = []
    for camera, place in found:
        if cameras is not None and camera not in cameras:
            continue
        row = details.get((chosen.get(camera), camera))
        if row is None:
            states.append(CameraNow(camera, place, None, "never", None, 0, 0, None, None, None))
            continue
        state = row.state
        if row.status != "running":
            state = "failed" if row.state == "failed" else "off"
        elif moment - row.heartbeat > SILENT_SECONDS:
            state = "silent"
        states.append(
            CameraNow(
                camera, place, row.run, state, row.error, row.frames, row.dropped,
                row.first, row.last, row.heartbeat,
            )
        )  # fmt: skip
    return states
