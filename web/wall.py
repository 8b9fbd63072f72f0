"""What the live wall shows of each camera: its state in words, its speed, its newest picture."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from reid.errors import StoreError
from storage.camera_states import CameraNow, camera_states
from storage.media import safe_name
from web.access import Visitor

RATE_SECONDS = 12.0
OLD_SECONDS = 10.0  # a live picture is written once a second
LARGEST_PICTURE = 8 * 1024 * 1024

# state -> (how it is marked, in words)
WORDS = {
    "running": ("good", "Running"),
    "opening": ("doubt", "Opening"),
    "reconnecting": ("bad", "Lost, reconnecting"),
    "failed": ("bad", "Failed"),
    "silent": ("bad", "No sign of life"),
    "ended": ("off", "Ended"),
    "off": ("off", "Off"),
    "never": ("off", "Never ran"),
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One camera on the wall.

    Attributes:
        mark: `good`, `doubt`, `bad` or `off`.
        words: its state in words.
        fps: frames a second over the last seconds; None if not known yet.
        picture: version of the newest picture; None if there is none.
        age: seconds since that picture was written; None if there is none.
    """

    now: CameraNow
    mark: str
    words: str
    fps: float | None
    picture: int | None
    age: float | None

    @property
    def key(self) -> str:
        """Tells tiles apart in the page; a camera's id may hold what an element's may not."""
        return hashlib.sha256(self.now.camera.encode()).hexdigest()[:12]

    @property
    def is_old(self) -> bool:
        """True if the picture is not what the camera sees now."""
        return self.age is not None and (self.age > OLD_SECONDS or self.mark == "off")


class Rates:
    """Frames a second, from how the counted frames rise. Safe to share by threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._seen: dict[str, tuple[int, deque[tuple[float, int]]]] = {}
        self._lock = threading.Lock()

    def rate(self, camera: str, run: int, frames: int, moment: float) -> float | None:
        """Take note of a count and return the rate over the last seconds.

        Args:
            camera: its id.
            run: counts of two runs do not belong together.
            frames: counted so far.
            moment: seconds of a clock that only rises.
        """
        with self._lock:
            known, counts = self._seen.get(camera, (run, deque()))
            if known != run:
                counts = deque()
            self._seen[camera] = (run, counts)
            counts.append((moment, frames))
            while len(counts) > 2 and counts[1][0] <= moment - RATE_SECONDS:
                counts.popleft()
            since, before = counts[0]
            return (frames - before) / (moment - since) if moment - since >= 1 else None


def tiles(who: Visitor, rates: Rates) -> list[Tile]:
    """The cameras that somebody may see, those in trouble first, then by id."""
    clock, now = time.monotonic(), time.time()
    made = []
    for state in camera_states(who.desk.reader, who.cameras, now):
        mark, words = WORDS.get(state.state, ("doubt", state.state))
        fps = None
        if state.run is not None and state.state == "running":
            fps = rates.rate(state.camera, state.run, state.frames, clock)
        try:
            written = picture_path(who, state.camera).stat().st_mtime_ns
        except OSError:
            written = None
        age = None if written is None else max(0.0, now - written / 1e9)
        made.append(Tile(state, mark, words, fps, written, age))
    return sorted(made, key=lambda tile: tile.mark != "bad")


def picture_path(who: Visitor, camera: str) -> Path:
    """Where the pipeline puts a camera's newest picture."""
    return who.desk.media / "live" / f"{safe_name(camera)}.jpg"


def picture(who: Visitor, camera: str) -> bytes | None:
    """The newest picture of a camera, a JPEG; None if there is none.

    Raises:
        StoreError: if the file is not one.
    """
    path = picture_path(who, camera)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_PICTURE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the live picture of camera {camera}: {error}") from error
    if len(content) > LARGEST_PICTURE or not content.startswith(b"\xff\xd8"):
        raise StoreError(f"the live picture of camera {camera} ({path.name}) is not a JPEG file")
    return content
