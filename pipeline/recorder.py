"""Keeps the cameras' own video: packets are copied into segments while the pipeline reads them.

Each camera's reader thread hands its packets to its own `Tape`. A new segment begins at the first
key frame after `recording.segment` seconds, after a reconnect, where time stamps jump, where the
host's clock is set, and where the picture's size changes. Its row says when it was captured
(`storage/footage/recordings.py`).

Trouble with recording (a full disk, a folder that may not be written) is a state of that camera's
recording: it is said once, tried again every half minute, and disturbs neither the run nor another
camera.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import av.error
from av.video.stream import VideoStream

from pipeline.clock import nominal_rate
from pipeline.config import CameraConfig
from pipeline.segments import Segment, codec_name, measure, suffix_for
from pipeline.settings import RecordingSettings
from reid.errors import ConfigError, CrosscamError, StoreError
from storage.footage.recordings import (
    RecordingRow,
    begin_recording,
    cut_off,
    drop_recording,
    grow_recording,
)
from storage.footage.retention import reserve
from storage.models import iso_text
from storage.store import Store

log = logging.getLogger(__name__)

GROW_SECONDS = 2.0  # how far the index may lie behind the file
RETRY_SECONDS = 30.0
_PATIENCE = 5.0
_JUMP = 10.0  # seconds between two packets that a segment does not bridge; as `LiveClock`'s
_STEP = 0.5  # seconds by which a live clock moves at once when the host's clock is set
_DAY = 86_400.0


class Recorder:
    """The recording of a run: a tape for each camera that is recorded."""

    def __init__(
        self,
        store: Store,
        run: int,
        settings: RecordingSettings,
        cameras: Sequence[CameraConfig],
    ) -> None:
        """Make the tapes; writes nothing yet.

        Raises:
            ConfigError: naming a camera whose video cannot be copied.
        """
        self._tapes: dict[str, Tape] = {}
        if not settings.enabled:
            return
        check_recordable(cameras)
        for camera in cameras:
            if camera.record:
                self._tapes[camera.id] = Tape(camera, store, run, settings)

    def tape(self, camera: str) -> Tape | None:
        """Where a camera's packets go; None if it is not recorded."""
        return self._tapes.get(camera)

    def problems(self) -> dict[str, str]:
        """Why, by camera id, for those whose recording is in trouble now."""
        return {name: tape.problem for name, tape in self._tapes.items() if tape.problem}

    def close(self) -> None:
        """Complete every segment; packets that still come are not recorded."""
        for tape in self._tapes.values():
            tape.close()


def check_recordable(cameras: Sequence[CameraConfig]) -> None:
    """Refuse to record what cannot be copied.

    Raises:
        ConfigError: naming the camera.
    """
    for camera in cameras:
        if camera.enabled and camera.record and camera.url.kind == "device":
            raise ConfigError(
                f"camera {camera.id} ({camera.url}) cannot be recorded: a device gives pictures, "
                "not packets that could be copied; set `record: false` on it, or recording.enabled "
                "to false"
            )


class Tape:
    """The recording of one camera. Fed by its reader thread, may be closed by another."""

    def __init__(
        self, camera: CameraConfig, store: Store, run: int, settings: RecordingSettings
    ) -> None:
        """Nothing is recorded before `connect`."""
        self._camera = camera.id
        self._store = store
        self._run = run
        self._settings = settings
        self._lock = threading.Lock()
        self._closed = False
        self._stream: VideoStream | None = None
        self._live = False
        self._suffix = ""
        self._step = 0.0
        self._current: _Current | None = None
        self._retry = 0.0
        self._failed = float("-inf")
        self.problem: str | None = None

    def connect(self, stream: VideoStream, live: bool) -> None:
        """Take packets of this stream from now on; the segment before it is complete.

        Args:
            stream: as opened.
            live: its clock may yet be set right, so that a segment's start may move.
        """
        with self._lock:
            self._finish()
            self._stream, self._live, self._suffix = stream, live, ""
            rate = nominal_rate(stream.average_rate, stream.guessed_rate)
            self._step = 1 / rate if rate else 0.04

    def packet(self, packet: Any, capture: float) -> None:
        """Record one packet; whatever goes wrong is `problem`, never an exception.

        Args:
            packet: as read; it is the same afterwards.
            capture: capture time of its pts, UTC seconds.
        """
        with self._lock:
            if self._closed or self._stream is None or not packet.size:
                return
            try:
                self._record(packet, capture, self._stream)
            except (av.error.FFmpegError, OSError, ValueError, CrosscamError) as error:
                self._fail(error)
            except Exception as error:
                # A fault of ours must not cost the camera its pictures as well.
                log.exception("camera %s: the recorder failed", self._camera)
                self._fail(error)

    def disconnect(self) -> None:
        """No more packets come from this stream: its segment is complete."""
        with self._lock:
            self._finish()
            self._stream = None

    def close(self) -> None:
        """End for good. A reader that hangs in a write to the disk is left to the process's end."""
        self._closed = True
        if not self._lock.acquire(timeout=_PATIENCE):
            log.warning("camera %s: its recording hangs; left as it is", self._camera)
            return
        try:
            self._finish()
        finally:
            self._lock.release()

    def _record(self, packet: Any, capture: float, stream: VideoStream) -> None:
        current = self._current
        if packet.is_keyframe and (current is None or self._due(current, packet, capture)):
            if current is not None:
                self._finish()
            current = self._begin(packet, capture, stream)
        if current is None:  # before the first key frame nothing could be played
            return
        current.write(packet, capture)
        now = time.monotonic()
        if now >= current.next_grow:
            self._check_room()
            current.next_grow = now + GROW_SECONDS
            current.grow(self._store)
            if self.problem is not None:
                log.info("camera %s: recording again", self._camera)
                self.problem = None

    def _due(self, current: _Current, packet: Any, capture: float) -> bool:
        """Whether a key frame should begin a new segment."""
        context = packet.stream.codec_context
        size = (context.width, context.height)
        return (
            current.parted
            or current.jumps(packet)
            or current.parts(packet, capture)
            or current.seconds(packet) >= self._settings.segment - 0.5 * self._step
            or size != (current.row.width, current.row.height)
        )

    def _begin(self, packet: Any, capture: float, stream: VideoStream) -> _Current | None:
        if time.monotonic() < self._retry:
            return None
        days = self._settings.keep_days
        if days is not None and capture < time.time() - days * _DAY:
            self._say(
                f"pictures of {iso_text(capture)} are not recorded: they are older than "
                f"recording.keep_days ({days:g})"
            )
            self._retry = time.monotonic() + RETRY_SECONDS
            return None
        self._check_room()
        self._suffix = self._suffix or suffix_for(stream)
        context = stream.codec_context
        row = begin_recording(
            self._store,
            camera=self._camera,
            run=self._run,
            start=capture,
            codec=codec_name(stream),
            width=context.width,
            height=context.height,
            suffix=self._suffix,
        )
        try:
            segment = Segment(row.path, stream)
        except (av.error.FFmpegError, OSError):
            drop_recording(self._store, row.id)
            with suppress(OSError):
                row.path.unlink()
            raise
        self._current = _Current(row, segment, packet, capture, self._step, self._live)
        return self._current

    def _check_room(self) -> None:
        """Leave the disk some room: the store often lies on it, and ends the run without any.

        Raises:
            StoreError: if there is too little.
        """
        media = self._store.media
        if not media.exists():  # made with the first segment
            return
        free = shutil.disk_usage(media).free
        if free < reserve(media, self._settings.keep_free) / 2:
            raise StoreError(
                f"only {free / 1e6:.0f} MB are free on the disk of {media} (recording.keep_free, "
                "recording.keep_gigabytes)"
            )

    def _finish(self) -> None:
        """Complete the segment in work."""
        current, self._current = self._current, None
        if current is None:
            return
        try:
            current.segment.close()
            current.grow(self._store, closed=True)
        except (av.error.FFmpegError, OSError, ValueError, CrosscamError) as error:
            self._current = current
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Give up the segment in work, keep what stands in it, and try again.

        At the next key frame, in case it was one bad packet; later if that fails soon as well.
        """
        now = time.monotonic()
        if now - self._failed < RETRY_SECONDS:
            self._retry = now + RETRY_SECONDS
        self._failed = now
        # FFmpeg's own text may hold the file's whole path; the reason is enough.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self._say(f"recording stopped: {reason}")
        current, self._current = self._current, None
        if current is None:
            return
        try:
            current.segment.close()
        except (av.error.FFmpegError, OSError, ValueError) as closing:
            log.debug("camera %s: %s: %s", self._camera, current.row.path, closing)
        try:
            settle(self._store, current.row)
        except (OSError, StoreError) as settling:
            log.debug("camera %s: %s: %s", self._camera, current.row.path, settling)

    def _say(self, problem: str) -> None:
        if self.problem is None:
            log.error(
                "camera %s: %s; tried again every %.0f s", self._camera, problem, RETRY_SECONDS
            )
        self.problem = problem


class _Current:
    """The segment in work and its times. Ticks: the stream's time base."""

    def __init__(
        self,
        row: RecordingRow,
        segment: Segment,
        packet: Any,
        capture: float,
        step: float,
        live: bool,
    ) -> None:
        self.row, self.segment = row, segment
        self.parted = False  # from the stream's or the host's clock: ends at the next key frame
        self.next_grow = time.monotonic() + GROW_SECONDS
        self._live = live
        self._base = float(packet.time_base)
        self._step = max(1, round(step / self._base))
        first = packet.pts if packet.pts is not None else packet.dts
        self._shift = -(first or 0)  # from the stream's ticks to the file's, whose first pts is 0
        self._start = capture  # of the file's first packet, as known by now
        self._last_dts: int | None = None
        self._last_capture = capture
        self._end = 0

    def seconds(self, packet: Any) -> float:
        """How far into the segment a packet lies."""
        ticks: int | None = packet.pts if packet.pts is not None else packet.dts
        return self._end * self._base if ticks is None else (ticks + self._shift) * self._base

    def jumps(self, packet: Any) -> bool:
        """Whether a packet's decoding time does not follow the one before."""
        if packet.dts is None or self._last_dts is None:
            return False
        ahead: int = packet.dts + self._shift - self._last_dts
        return ahead <= 0 or ahead * self._base > _JUMP

    def parts(self, packet: Any, capture: float) -> bool:
        """Whether the live clock was set since the packet before.

        A burst at a stream's start moves it as well, by a picture's time with each packet.
        """
        if not self._live or packet.pts is None:
            return False
        moved = abs(capture - self.seconds(packet) - self._start)
        return moved > max(_STEP, 2 * self._step * self._base)

    def write(self, packet: Any, capture: float) -> None:
        """Copy a packet; where the stream's time stamps jump, the capture times say how far."""
        if self.jumps(packet) and self._last_dts is not None:
            passed = max(1, round((capture - self._last_capture) / self._base))
            self._shift = self._last_dts + passed - packet.dts
            self.parted = True
        elif self.parts(packet, capture):
            self.parted = True
        pts, dts = self._times(packet)
        self.segment.write(packet, pts, dts)
        self._last_dts, self._last_capture = dts, capture
        self._end = max(self._end, pts + (packet.duration or self._step))
        if not self.parted and packet.pts is not None:
            self._start = capture - pts * self._base

    def _times(self, packet: Any) -> tuple[int, int]:
        """(pts, dts) for the file: dts rises and is never above pts, whatever is missing."""
        last = self._last_dts
        pts = None if packet.pts is None else packet.pts + self._shift
        if packet.dts is not None:
            dts = packet.dts + self._shift
        elif last is not None:
            dts = last + (self._step if pts is None else 1)
        else:  # room below for the pictures that will be decoded first and shown later
            dts = 0 if pts is None else pts - 4 * self._step
        if pts is None:
            pts = dts
        dts = min(dts, pts)
        if last is not None and dts <= last:
            dts = last + 1
        return max(pts, dts), dts

    def grow(self, store: Store, closed: bool = False) -> None:
        """Tell the store how far it has come.

        A live clock knows better with every packet when the pictures were captured (the burst at
        a stream's start comes late); so does the segment's start, until the clocks part.
        """
        start = self._start if self._live else self.row.start
        end = start + self._end * self._base
        grow_recording(store, self.row.id, start, end, self.segment.bytes, closed=closed)


def settle(store: Store, row: RecordingRow) -> None:
    """Close a segment that broke off, as long as it truly is; without a picture it goes.

    Raises:
        OSError: if the file cannot be read.
        StoreError: if the store cannot be written.
    """
    found = measure(row.path)
    if found is None:
        drop_recording(store, row.id)
        with suppress(FileNotFoundError, NotADirectoryError):
            row.path.unlink()
        return
    grow_recording(
        store, row.id, row.start, row.start + found.seconds, found.bytes, closed=True
    )  # fmt: skip


def repair(store: Store) -> int:
    """Close the segments that dead runs left open; returns how many.

    Raises:
        StoreError: if the store cannot be read or written.
    """
    rows = cut_off(store.reader())
    for row in rows:
        try:
            settle(store, row)
        except OSError as error:
            log.warning("camera %s: recording %s: %s", row.camera, row.path, error)
    if rows:
        store.flush()
        log.warning("closed %d recordings that a run that was killed left open", len(rows))
    return len(rows)
