"""All cameras of a run: one reader thread each, their queues, and what happens when one fails.

Every thread and queue of the sources lives here, with its policy:

- A file waits: its queue is bounded and its reader blocks while it is full. Files are merged
  by capture time (ties: the order of the cameras), and the merge waits for the slowest reader,
  so that threads and load never change what comes out.
- A live camera never waits: its queue has one slot, and a frame that is still there when the
  next one comes is replaced and counted as dropped.
- A camera that fails is a state of that camera. A live one reconnects with growing pauses.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from pipeline.clock import RateCap
from pipeline.config import CameraConfig
from pipeline.decode import decoder_threads, open_source
from pipeline.pictures import MODIFIED, Source
from pipeline.recorder import Recorder, Tape
from pipeline.records import CameraState, Frame
from reid.errors import SourceError
from storage.models import iso_text

log = logging.getLogger(__name__)

# Opens a file's camera: (camera, decoder threads, its tape).
Opener = Callable[[CameraConfig, int, Tape | None], Source]

_FPS_WINDOW = 5.0  # seconds
_JOIN = 2.0  # seconds a reader gets to end; one stuck in a read ends with the process


class Backoff:
    """Pauses between attempts: doubling from `least` to `most`, with jitter in between."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self._attempts = 0

    def next(self) -> float:
        """Return the next pause in seconds, within [least, most]."""
        ceiling = min(self._most, self._least * 2.0 ** min(self._attempts, 60))
        self._attempts += 1
        return random.uniform(max(self._least, ceiling / 2), ceiling)

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._attempts = 0


class Reader(threading.Thread):
    """Reads one camera. All fields below `changed` are written under it."""

    def __init__(
        self,
        camera: CameraConfig,
        queue: int,
        threads: int,
        stop: threading.Event,
        changed: threading.Condition,
        tape: Tape | None = None,
        opener: Opener = open_source,
    ) -> None:
        super().__init__(name=f"camera-{camera.id}", daemon=True)
        self.camera = camera
        self._capacity = queue
        self._decoder_threads = threads
        self._tape = tape
        self._opener = opener
        self._stop_event = stop
        self._closing = threading.Event()
        self._cap = RateCap(camera.max_fps)
        self.changed = changed
        kind = camera.url.kind
        # None: an HTTP address tells only once it is open.
        self.is_live: bool | None = camera.live if kind == "http" else kind != "file"
        self.state = "opening"
        self.error: str | None = None
        self.done = False
        self.reached = False
        self.queue: deque[Frame] = deque()
        self.decoded = self.dropped = self.frames = 0
        self.first: float | None = None
        self.last: float | None = None
        self._start: float | None = None
        self._duration: float | None = None
        self._frame_rate: float | None = None
        self._newest = float("-inf")
        self._handed: deque[float] = deque(maxlen=512)

    @property
    def stopping(self) -> bool:
        """True once the run stops or the sources close."""
        return self._closing.is_set() or self._stop_event.is_set()

    @property
    def keeps_running(self) -> bool:
        """True while a run should go on for this camera: never for one it could not reach."""
        return not self.done and (self.reached or self.state == "opening")

    def run(self) -> None:
        """Read until the file ends, the run stops, or (live) the camera is given up."""
        try:
            if self.is_live:
                self._read_live(None)
            else:
                self._read_file()
        except SourceError as error:
            self._set("failed", str(error))
        except Exception as error:
            # A fault of ours must not end in a thread that died unseen.
            log.exception("camera %s: the reader failed", self.camera.id)
            self._set("failed", self.camera.url.clean(f"{type(error).__name__}: {error}"))
        finally:
            with self.changed:
                if self.state in ("opening", "running"):
                    self.state = "ended"
                self.done = True
                self.changed.notify_all()

    def _read_file(self) -> None:
        source = self._opener(self.camera, self._decoder_threads, self._tape)
        if source.info.is_live:  # an HTTP address that turns out to be live
            self._read_live(source)
            return
        self.is_live = False
        if source.info.start_from == MODIFIED and source.info.start is not None:
            log.warning(
                "camera %s: nothing says when %s was filmed; taken for the time it was last "
                "modified, %s. Set start_time in cams.yaml",
                self.camera.id,
                self.camera.url,
                iso_text(source.info.start),
            )
        self._read(source)
        if not self.stopping:
            self._set("ended", None)

    def _read_live(self, source: Source | None) -> None:
        self.is_live = True
        backoff = Backoff(self.camera.reconnect_min, self.camera.reconnect_max)
        alive = time.monotonic()
        pause = 0.0
        while not self.stopping:
            began, before = time.monotonic(), self.decoded
            try:
                source = source or open_source(self.camera, tape=self._tape)
                self._read(source)
            except SourceError as error:
                if self.stopping:
                    return
                self._set("reconnecting" if self.reached else "failed", str(error))
            source = None
            if self.decoded > before:
                alive = time.monotonic()
                if alive - began > pause:  # a camera that falls over at once keeps its pauses
                    backoff.reset()
            limit = self.camera.give_up_after
            if self.reached and limit is not None and time.monotonic() - alive > limit:
                self._set("failed", f"{self.error}; given up after {limit:g} s")
                return
            pause = backoff.next()
            self._wait(pause)

    def _read(self, source: Source) -> None:
        """Read an open source to its end, or until the run stops; closes it."""
        info = source.info
        with self.changed:
            self._start, self._duration = info.start, info.duration
            self._frame_rate = info.frame_rate
        try:
            for picture in source.pictures(self._newest):
                if self.stopping:
                    return
                index, self.decoded = self.decoded, self.decoded + 1
                self._newest = picture.time
                if self.state != "running":
                    self.reached = True
                    self._set("running", None)
                if self._cap.takes(picture.time):
                    self._put(Frame(self.camera.id, index, picture.time, picture.image()))
        finally:
            source.close()

    def _put(self, frame: Frame) -> None:
        with self.changed:
            if self.is_live:
                if self.queue:
                    self.queue.clear()
                    self.dropped += 1
            else:
                while len(self.queue) >= self._capacity and not self.stopping:
                    self.changed.wait(0.2)
            self.queue.append(frame)
            self.changed.notify_all()

    def _set(self, state: str, error: str | None) -> None:
        with self.changed:
            if state != self.state:
                level = logging.WARNING if error else logging.INFO
                log.log(level, "%s", error or f"camera {self.camera.id}: {state}")
            self.state, self.error = state, error
            self.changed.notify_all()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            self._closing.wait(min(0.2, left))

    def take(self) -> Frame:
        """Hand over the oldest waiting frame; the caller holds `changed`."""
        frame = self.queue.popleft()
        self.frames += 1
        self.first = frame.time if self.first is None else self.first
        self.last = frame.time
        self._handed.append(time.monotonic())
        self.changed.notify_all()
        return frame

    def close(self) -> None:
        """Ask the thread to end."""
        self._closing.set()

    def _progress(self) -> float | None:
        if self.is_live is not False or not self._duration or self._start is None:
            return None
        if self.state == "ended" and not self.queue and not self.stopping:
            return 1.0
        passed = 0.0 if self.last is None else self.last - self._start
        return min(1.0, max(0.0, passed / self._duration))

    def snapshot(self) -> CameraState:
        """Return the state now; the caller holds `changed`."""
        now = time.monotonic()
        recent = [t for t in self._handed if now - t <= _FPS_WINDOW]
        span = now - recent[0] if len(recent) > 1 else 0.0
        return CameraState(
            camera=self.camera.id,
            state=self.state,
            error=self.error,
            frames=self.frames,
            dropped=self.dropped,
            decoded=self.decoded,
            fps=len(recent) / span if span > 0 else 0.0,
            first=self.first,
            last=self.last,
            progress=self._progress(),
            is_live=bool(self.is_live),
            frame_rate=self._frame_rate,
            recording=None if self._tape is None else self._tape.problem,
        )


class Sources:
    """All enabled cameras, read side by side.

    Use as a context manager: entering starts the readers, leaving ends them.
    """

    def __init__(
        self,
        cameras: Sequence[CameraConfig],
        *,
        queue: int = 8,
        stop: threading.Event,
        recorder: Recorder | None = None,
        opener: Opener = open_source,
    ) -> None:
        """Prepare one reader per enabled camera; nothing is opened yet.

        Args:
            cameras: the cameras, in the order that settles ties of capture time.
            queue: decoded frames that wait per file, at most.
            stop: set it to end the run.
            recorder: keeps the packets; closed by its owner.
            opener: opens files; another than the usual plays recordings of the store.
        """
        enabled = [c for c in cameras if c.enabled]
        files = sum(c.url.kind == "file" for c in enabled)
        self._stop = stop
        self._changed = threading.Condition()
        self._readers = [
            Reader(
                c,
                max(1, queue),
                decoder_threads(files),
                stop,
                self._changed,
                None if recorder is None else recorder.tape(c.id),
                opener,
            )
            for c in enabled
        ]

    def __enter__(self) -> Sources:
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all readers; one that hangs in a read is left to its time-out."""
        for reader in self._readers:
            reader.close()
        with self._changed:
            self._changed.notify_all()
        end = time.monotonic() + _JOIN
        for reader in self._readers:
            if reader.ident is not None:
                reader.join(max(0.0, end - time.monotonic()))

    def states(self) -> dict[str, CameraState]:
        """Return how every camera is doing, by id."""
        with self._changed:
            return {r.camera.id: r.snapshot() for r in self._readers}

    def batches(self, size: int, idle: float | None = None) -> Iterator[list[Frame]]:
        """Yield batches of up to `size` frames until all files ended and no camera is live.

        Frames of files come in the order of capture time, ties in the order of the cameras.
        With files alone every batch is full but the last, whatever the machine's load.
        Each live camera adds its newest frame, if it has a new one, on top of order and size
        shared with the files; live frames never wait for files.

        Args:
            size: of a batch, at most.
            idle: seconds without a batch after which an empty one is given, so that who takes
                them can look after cameras that are lost; None: never.
        """
        if size < 1:
            raise ValueError(f"size is {size}; it must be 1 or more")
        turn = 0
        pending: list[Frame] = []
        given = time.monotonic()
        while not self._stop.is_set():
            with self._changed:
                live, turn = self._take_live(size, turn)
                self._merge(pending, size - len(live))
                finished = self._finished()
                wait = not live and len(pending) < size and not finished
                if wait:
                    self._changed.wait(0.2)
            if wait:
                if idle is not None and time.monotonic() - given >= idle:
                    yield []
                    given = time.monotonic()
                continue
            batch = pending + live
            pending = []
            if batch:
                yield batch
                given = time.monotonic()
            if finished and not batch:
                return

    def _take_live(self, size: int, turn: int) -> tuple[list[Frame], int]:
        """Take the newest frame of each live camera, fairly by turns if there are many."""
        ready = [r for r in self._readers if r.is_live and r.queue]
        ready = ready[turn % len(ready) :] + ready[: turn % len(ready)] if ready else []
        taken = [r.take() for r in ready[:size]]
        return taken, turn + len(taken)

    def _merge(self, pending: list[Frame], size: int) -> None:
        """Move file frames into `pending`, oldest first, as long as no earlier one can come."""
        files = [r for r in self._readers if not r.is_live]
        while len(pending) < size:
            if any(not r.queue and not r.done for r in files):
                return  # the slowest reader may still bring an earlier frame
            heads = [r for r in files if r.queue]
            if not heads:
                return
            pending.append(min(heads, key=lambda r: r.queue[0].time).take())

    def _finished(self) -> bool:
        return all(not r.queue and not r.keeps_running for r in self._readers)
