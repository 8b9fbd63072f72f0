"""Work that takes longer than a request: rendered clips, exported cases. One at a time.

A job belongs to the person who asked for it. What it made is a file in a folder of ours that goes
with the process, or after `KEPT` seconds. The queue is bounded: who comes when it is full is told.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import HTTPException

from reid.errors import CrosscamError

log = logging.getLogger(__name__)

WAITING = 20  # jobs that may wait or run
KEPT = 3600.0  # seconds that a finished job's file stays
Progress = Callable[[float, float], None]
Work = Callable[[Path, Progress], Any]


class Cancelled(Exception):  # noqa: N818 - not an error: the server ends
    """The server ends while the job runs."""


@dataclass(slots=True)
class Job:
    """One piece of work and how far it is.

    Attributes:
        key: names it in addresses; cannot be guessed.
        owner: the user who asked.
        title: what it is, in words.
        name: of the file that it makes.
        folder: where that file lies, with nothing else.
        done: share 0..1.
        state: `waiting`, `running`, `ready` or `failed`.
        problem: why it failed.
        result: what the work returned; its `cameras` are those whose pictures the file shows.
        finished: monotonic seconds.
        details: for the page that shows it.
    """

    key: str
    owner: str
    title: str
    name: str
    folder: Path
    done: float = 0.0
    state: str = "waiting"
    problem: str | None = None
    result: Any = None
    finished: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """What it makes."""
        return self.folder / self.name

    def within(self, cameras: Collection[str] | None) -> bool:
        """Whether the file shows only these cameras; None is all."""
        shown = getattr(self.result, "cameras", ())
        return cameras is None or all(camera in cameras for camera in shown)

    @property
    def over(self) -> bool:
        """True once it is ready or failed."""
        return self.state in ("ready", "failed")


class Jobs:
    """The one worker. Safe to share by threads."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._closing = threading.Event()

    def start(
        self, owner: str, title: str, name: str, work: Work, details: dict[str, Any] | None = None
    ) -> Job:
        """Queue some work.

        Args:
            owner: the user it is for; nobody else gets to see it.
            title: what it is, for people.
            name: of the file it makes, without a folder.
            work: called with that file's path and a function that takes (done, total).
            details: for the page that shows it.

        Raises:
            HTTPException: 503 if too much waits already.
        """
        with self._lock:
            self._forget()
            if sum(not job.over for job in self._jobs.values()) >= WAITING:
                raise HTTPException(503, "too much waits to be rendered; try again in a minute")
            if self._folder is None or self._pool is None:
                self._folder = Path(tempfile.mkdtemp(prefix="crosscam-web-"))
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="job")
            key = secrets.token_urlsafe(16)
            folder = self._folder / key
            folder.mkdir(mode=0o700)
            job = Job(key, owner, title, name, folder, details=details or {})
            self._jobs[key] = job
            # With the request's context: whose token asked is written into the audit trail.
            self._pool.submit(copy_context().run, self._run, job, work)
        return job

    def find(self, key: str, owner: str, cameras: Collection[str] | None) -> Job:
        """A job of a person's own.

        Args:
            key: of the job.
            owner: who asks.
            cameras: those that they may see now; None is all.

        Raises:
            HTTPException: 404 if there is none, it is somebody else's, its time is over, or it
                shows a camera that its owner may not see any more.
        """
        with self._lock:
            self._forget()
            job = self._jobs.get(key)
        if job is None or job.owner != owner or not job.within(cameras):
            raise HTTPException(404, "this is not there any more; ask for it again")
        return job

    def close(self) -> None:
        """End: what runs is stopped at its next step, files are removed."""
        self._closing.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, job: Job, work: Work) -> None:
        def progress(done: float, total: float) -> None:
            if self._closing.is_set():
                raise Cancelled
            job.done = min(1.0, done / total) if total > 0 else 0.0

        job.state = "running"
        try:
            job.result = work(job.file, progress)
            job.done, job.state = 1.0, "ready"
        except CrosscamError as error:
            job.problem, job.state = str(error), "failed"
        except Cancelled:
            job.problem, job.state = "the server ended", "failed"
        except Exception as error:
            log.exception("%s failed", job.title)
            job.problem, job.state = f"{type(error).__name__}; the server's log says more", "failed"
        finally:
            job.finished = time.monotonic()

    def _forget(self) -> None:
        """Let go of what finished long ago; the caller holds the lock."""
        now = time.monotonic()
        for key, job in list(self._jobs.items()):
            if job.finished is not None and now - job.finished > KEPT:
                del self._jobs[key]
                shutil.rmtree(job.folder, ignore_errors=True)
