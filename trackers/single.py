"""The single-camera tracker: a small interface of ours around Ultralytics' trackers.

Ids come from the allocator that is handed in; the ids that Ultralytics counts stay inside, so two
trackers never disturb each other. Ultralytics is AGPL-3.0; its TrackTrack, ByteTrack,
BoT-SORT and OC-SORT follow the papers of those names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.quiet import no_reports
from trackers.allocator import IdAllocator
from trackers.records import Box, Detection, TrackedBox
from trackers.settings import TrackerSettings

STEPS = 9  # the last steps from frame to frame: their median is how often frames are looked at
LONGEST_STEP = 10.0  # seconds; a longer one is an outage, not the pace of a slow machine


class Tracker(Protocol):
    """Joins the detections of one camera to tracks, frame after frame."""

    def update(
        self, detections: Sequence[Detection], time: float, image: NDArray[np.uint8] | None = None
    ) -> list[TrackedBox]:
        """Take the next frame's detections; return the tracks seen in it, oldest id first.

        A person who was away for longer than the buffer comes back as another track, also where
        no frame came meanwhile. Where time steps back, all tracks end.

        Args:
            detections: the people found; boxes that are no boxes (zero area, NaN) are left out.
            time: capture time of the frame, UTC seconds.
            image: (H, W, 3) BGR uint8, needed only to follow a moving camera.
        """
        ...

    def finished(self) -> list[int]:
        """Ids of tracks that ended since the last call: they will never be returned again."""
        ...

    def reset(self) -> None:
        """End all tracks (see `finished`) and start afresh; other trackers are not touched."""
        ...


def build_tracker(
    settings: TrackerSettings, allocator: IdAllocator, frame_rate: float
) -> UltralyticsTracker:
    """Build the tracker of one camera.

    Args:
        settings: which tracker, and its thresholds.
        allocator: gives the ids; shared by all cameras of a run.
        frame_rate: frames per second that will be given to `update`, after any cap, as far as
            the stream says. The buffer holds in seconds also where other frames come.

    Raises:
        ConfigError: the frame rate is not a positive number.
    """
    if not np.isfinite(frame_rate) or frame_rate <= 0:
        raise ConfigError(f"tracker: frame_rate is {frame_rate}; it must be above 0")
    return UltralyticsTracker(settings, allocator, frame_rate)


class UltralyticsTracker:
    """One of Ultralytics' trackers for one camera; see `Tracker`."""

    def __init__(
        self, settings: TrackerSettings, allocator: IdAllocator, frame_rate: float
    ) -> None:
        self._allocator = allocator
        frames = max(1, round(settings.buffer * frame_rate))
        self._tracker = _build(settings, frames)
        # Ultralytics ends a lost track once more than `frames` passed, and lets it go one later:
        # the person has a last chance two frames after the buffer. Half a frame is for jitter.
        self._buffer = (frames + 0.5) / frame_rate
        self._longest = (frames + 2.5) / frame_rate
        self._times: deque[float] = deque()  # of the last frames, as long as they count
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._ids: dict[int, int] = {}  # Ultralytics' id -> ours, of tracks that are alive
        self._finished: list[int] = []

    def update(
        self, detections: Sequence[Detection], time: float, image: NDArray[np.uint8] | None = None
    ) -> list[TrackedBox]:
        """Take the next frame's detections; see `Tracker.update`."""
        self._pass_time(time)
        rows = [
            (d.box.left, d.box.top, d.box.right, d.box.bottom, d.confidence, 0.0)
            for d in detections
            if d.box.is_valid() and np.isfinite(d.confidence)
        ]
        table = np.array(rows, np.float32).reshape(-1, 6)
        output = self._tracker.update(_boxes(table), image)
        tracked = [self._tracked(row) for row in np.asarray(output, np.float64).reshape(-1, 8)]
        self._forget_ended()
        return sorted(tracked, key=lambda t: t.track)

    def finished(self) -> list[int]:
        """Ids of tracks that ended since the last call."""
        ended, self._finished = self._finished, []
        return ended

    def reset(self) -> None:
        """End all tracks and start afresh."""
        self._finished += sorted(self._ids.values())
        self._ids.clear()
        self._times.clear()
        self._tracker.reset()

    def _pass_time(self, time: float) -> None:
        """Tell Ultralytics, which counts frames, how many of them the buffer's seconds were.

        With as many frames as the stream promises that is always the same number. A slow machine
        looks at fewer: there the next frame is waited for at least, however late it comes.
        """
        step = time - self._times[-1] if self._times else 0.0
        if 0 < step <= LONGEST_STEP:
            self._steps.append(step)
        usual = median(self._steps) if self._steps else 0.0
        longest = max(self._longest, 2.5 * usual)
        if not 0 <= step <= longest:
            self.reset()
        while self._times and time - self._times[0] > longest:
            self._times.popleft()
        peer = self._tracker
        oldest = peer.frame_id + 1 - len(self._times)
        peer.lost_stracks = [t for t in peer.lost_stracks if t.end_frame >= oldest]
        buffer = max(self._buffer, 1.5 * usual)
        # TrackTrack's name for it, and the others'; both are read nowhere else.
        peer.max_time_lost = peer.max_frames_lost = sum(time - t <= buffer for t in self._times)
        self._times.append(time)

    def _tracked(self, row: NDArray[np.float64]) -> TrackedBox:
        """One row of Ultralytics: left, top, right, bottom, id, confidence, class, index."""
        theirs = int(row[4])
        if theirs not in self._ids:
            self._ids[theirs] = self._allocator.next_id()
        box = Box(*(float(v) for v in row[:4]))
        return TrackedBox(self._ids[theirs], box, float(row[5]))

    def _forget_ended(self) -> None:
        """Move ids that the tracker holds no longer, neither tracked nor lost, to `finished`."""
        alive = {t.track_id for t in self._tracker.tracked_stracks + self._tracker.lost_stracks}
        for theirs in [key for key in self._ids if key not in alive]:
            self._finished.append(self._ids.pop(theirs))


def _boxes(table: NDArray[np.float32]) -> Any:
    """(N, 6) left, top, right, bottom, confidence, class as Ultralytics' own record."""
    from ultralytics.engine.results import Boxes

    return Boxes(table, (1, 1))  # the frame's size serves normalised boxes only, unused here


def _build(settings: TrackerSettings, buffer: int) -> Any:
    """Ultralytics' tracker object; its arguments as in its own YAML files, `buffer` in frames."""
    no_reports()
    from ultralytics.trackers.bot_sort import BOTSORT
    from ultralytics.trackers.byte_tracker import BYTETracker
    from ultralytics.trackers.oc_sort import OCSORT
    from ultralytics.trackers.track_tracker import TRACKTRACK

    kinds = {
        "bytetrack": BYTETracker,
        "botsort": BOTSORT,
        "ocsort": OCSORT,
        "tracktrack": TRACKTRACK,
    }
    arguments = SimpleNamespace(
        tracker_type=settings.kind,
        track_high_thresh=settings.high,
        track_low_thresh=settings.low,
        new_track_thresh=settings.new,
        track_buffer=buffer,
        match_thresh=settings.match,
        fuse_score=settings.fuse_score,
        gmc_method="sparseOptFlow" if settings.moving_camera else "none",
        proximity_thresh=0.5,
        appearance_thresh=0.8,
        with_reid=False,
        model="auto",
        min_track_len=settings.min_hits,  # the rest: each tracker's own published defaults
    )
    return kinds[settings.kind](arguments)
