"""What happens to one camera's frames between the detector and the embedder."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.config import CameraConfig
from pipeline.records import Frame
from pipeline.zones import inside
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings
from trackers.gaps import GapFiller
from trackers.records import Detection, TrackPoint
from trackers.single import Tracker
from trackers.tracklets import CropRequest, TrackletBuilder

WARN_EVERY = 60.0  # seconds

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Progress:
    """What one frame brought: new points per track, crops to embed, tracks that ended."""

    points: dict[int, list[TrackPoint]] = field(default_factory=dict)
    crops: list[CropRequest] = field(default_factory=list)
    finished: list[TrackletBuilder] = field(default_factory=list)


class CameraStage:
    """Tracks the people of one camera and chooses their crops."""

    def __init__(
        self,
        camera: CameraConfig,
        tracker: Tracker,
        filler: GapFiller,
        num_parts: int,
        settings: EmbeddingSettings,
    ) -> None:
        self._camera = camera
        self._tracker = tracker
        self._filler = filler
        self._num_parts = num_parts
        self._settings = settings
        self.builders: dict[int, TrackletBuilder] = {}
        self.people = 0
        self._heard = time.monotonic()
        self._warned = -math.inf

    @property
    def silence(self) -> float:
        """Seconds of this machine's time since the last frame."""
        return time.monotonic() - self._heard

    def process(self, frame: Frame, detections: Sequence[Detection]) -> Progress:
        """Take the camera's next frame with what the detector found in it."""
        self._heard = time.monotonic()
        height, width = frame.image.shape[:2]
        counted = [d for d in detections if inside(self._camera, d.box, width, height)]
        tracked = self._tracker.update(counted, frame.time, frame.image)
        self.people = len(tracked)
        progress = Progress()
        boxes = [t.box for t in tracked]
        for index, item in enumerate(tracked):
            builder = self._builder(item.track)
            point = TrackPoint(frame.index, frame.time, item.box, item.confidence)
            others = boxes[:index] + boxes[index + 1 :]
            request = builder.add(point, frame.image, others)
            if request is not None:
                progress.crops.append(request)
        for track, point in self._filler.update(frame.index, frame.time, tracked):
            progress.points.setdefault(track, []).append(point)
        progress.finished = self._take(self._tracker.finished())
        return progress

    def receive(self, request: CropRequest, embedding: PartEmbeddings) -> None:
        """Hand an embedded crop back to its track."""
        builder = self.builders.get(request.track)
        if builder is None or builder.receive(request, embedding):
            return
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY:
            self._warned = now
            log.warning(
                "camera %s: the model gave numbers that are NaN, infinite or beyond half precision "
                "for a picture of track %d; it is left out",
                self._camera.id,
                request.track,
            )

    def finish(self) -> list[TrackletBuilder]:
        """The stream ended: every open track ends with it."""
        self._tracker.reset()
        self.people = 0
        return self._take(sorted(self.builders))

    def _take(self, tracks: Sequence[int]) -> list[TrackletBuilder]:
        return [self.builders[t] for t in tracks if t in self.builders]

    def lasting(self, now: float, seconds: float) -> list[TrackletBuilder]:
        """Open tracks with an embedding that began at least `seconds` before `now`."""
        return [
            b
            for b in self.builders.values()
            if b.embedded and b.first is not None and now - b.first.time >= seconds
        ]

    def forget(self, track: int) -> None:
        """Drop a finished track once its last crop is embedded."""
        self.builders.pop(track, None)
        self._filler.forget([track])

    def _builder(self, track: int) -> TrackletBuilder:
        if track not in self.builders:
            self.builders[track] = TrackletBuilder(
                track, self._camera.id, self._num_parts, self._settings
            )
        return self.builders[track]
