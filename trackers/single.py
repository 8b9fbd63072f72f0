"""The single-camera tracker: a small interface of ours around Ultralytics' trackers.

Ids come from the allocator that is handed in; the ids that Ultralytics counts stay inside, so two
trackers never disturb each other. Ultralytics is AGPL-3.0; its TrackTrack, ByteTrack,
BoT-SORT and OC-SORT follow the papers of those names.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.quiet import no_reports
from trackers.allocator import IdAllocator
from trackers.records import Box, Detection, TrackedBox
from trackers.settings import TrackerSettings


class Tracker(Protocol):
    """Joins the detections of one camera to tracks, frame after frame."""

    def update(
        self, detections: Sequence[Detection], image: NDArray[np.uint8] | None = None
    ) -> list[TrackedBox]:
        """Take the next frame's detections; return the tracks seen in it, oldest id first.

        Args:
            detections: the people found; boxes that are no boxes (zero area, NaN) are left out.
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
        frame_rate: frames per second that will be given to `update`, after any cap.

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
        self._tracker = _build(settings, frame_rate)
        self._ids: dict[int, int] = {}  # Ultralytics' id -> ours, of tracks that are alive
        self._finished: list[int] = []

    def update(
        self, detections: Sequence[Detection], image: NDArray[np.uint8] | None = None
    ) -> list[TrackedBox]:
        """Take the next frame's detections; see `Tracker.update`."""
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
        self._tracker.reset()

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


def _build(settings: TrackerSettings, frame_rate: float) -> Any:
    """Ultralytics' tracker object; its arguments as in its own YAML files."""
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
        track_buffer=max(1, round(settings.buffer * frame_rate)),
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
