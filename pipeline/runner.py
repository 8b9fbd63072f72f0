"""The runner: joins sources, detector, trackers, embedder, matcher and store into one run.

    sources -> detector (one batch ahead) -> per camera: tracker, crops -> embedder (over cameras)
            -> tracklets -> matcher (every `matching.interval` seconds of capture time) -> store

Everything after the detector runs in one thread, in the order of capture
time, so that the same files give the same tracks and identities on every run.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from detectors.base import Detector
from pipeline.ahead import ahead
from pipeline.camera_stage import CameraStage, Progress
from pipeline.config import CameraConfig, PipelineConfig
from pipeline.decode import open_source
from pipeline.live import LivePictures
from pipeline.recorder import Recorder, check_recordable, repair
from pipeline.records import CameraState, Frame
from pipeline.sources import Opener, Sources
from pipeline.upkeep import Upkeep, write_states
from reid.embedding import Embedder
from reid.errors import StoreError
from storage.decisions.news import DecisionNews
from storage.records import CameraRow
from storage.store import Store
from trackers.gaps import GapFiller
from trackers.matcher import CrossCameraMatcher
from trackers.records import Detection, LinkDecision
from trackers.single import build_tracker
from trackers.tracklets import CropRequest, TrackletBuilder

log = logging.getLogger(__name__)

DEFAULT_FRAME_RATE = 25.0  # for a stream that does not say
IDLE = 1.0  # seconds without a frame of any camera, then the lost ones are looked after
IN_FLIGHT = 2.0  # seconds that a lost camera's last frames may take to get here


@dataclass(slots=True)
class Status:
    """How a run is doing, for the live display.

    Attributes:
        cameras: the sources' own states, by camera id.
        people: people in view, by camera id.
        tracks: finished tracks.
        identities: identities known to this run.
        frames: frames processed.
    """

    cameras: dict[str, CameraState] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    tracks: int = 0
    identities: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run found and how its cameras fared."""

    run: int
    cameras: dict[str, CameraState]
    frames: int
    tracks: int
    embedded_crops: int
    identities: int
    actions: dict[str, int]
    interrupted: bool

    @property
    def failed(self) -> dict[str, str]:
        """Why, by camera id, for those that failed."""
        return {
            name: state.error or state.state
            for name, state in self.cameras.items()
            if state.state in ("failed", "reconnecting") or (state.error and not state.frames)
        }


class Runner:
    """One run over some cameras.

    Args:
        cameras: the enabled cameras.
        config: the pipeline's configuration, with `matching.threshold` and `gamma` resolved.
        detector: finds people.
        embedder: the QPM model.
        store: where results go; stays open.
        stop: set it to end the run after the batch in work.
        watch: called after every batch with the run's status; for displays.
        opener: opens the cameras' files.
        rerun_of: the run whose recordings this one plays again, if any: then nobody is looking
            at live pictures.
    """

    def __init__(
        self,
        cameras: Sequence[CameraConfig],
        config: PipelineConfig,
        detector: Detector,
        embedder: Embedder,
        store: Store,
        *,
        stop: threading.Event,
        watch: Callable[[Status], None] | None = None,
        opener: Opener = open_source,
        rerun_of: int | None = None,
    ) -> None:
        self._cameras = {c.id: c for c in cameras if c.enabled}
        self._config = config
        self._detector = detector
        self._embedder = embedder
        self._store = store
        self._stop = stop
        self._watch = watch or (lambda status: None)
        self._opener = opener
        self._rerun_of = rerun_of
        self._stages: dict[str, CameraStage] = {}
        self._pending: list[tuple[str, CropRequest]] = []
        self._early: set[int] = set()
        self._next_decision: dict[bool, float] = {}
        self._status = Status()
        self._actions: Counter[str] = Counter()
        self._identities: set[int] = set()
        self._embedded = 0
        self._run = 0
        self._live_cameras: set[str] = set()
        places = {c.id: _coordinates(c) for c in self._cameras.values()}
        identities = store.identity_allocator()
        # Live cameras (True) and files (False) apart: how fast files are read beside live cameras
        # depends on the machine's load, and what is decided must not.
        self._matchers = {
            live: CrossCameraMatcher(config.matching, identities, places) for live in (True, False)
        }

    def run(self) -> Summary:
        """Run until every file ended, or `stop`.

        Raises:
            ConfigError: if a camera is to be recorded that cannot be.
            StoreError: if the store cannot be written; what was committed stays.
        """
        cameras = list(self._cameras.values())
        if self._config.recording.enabled:
            check_recordable(cameras)
        self._begin()
        repair(self._store)
        recorder = Recorder(self._store, self._run, self._config.recording, cameras)
        live = self._config.runtime.live_pictures and self._rerun_of is None
        self._live = LivePictures(self._store.media, self._cameras if live else (), live)
        sources = Sources(
            cameras,
            queue=self._config.runtime.queue,
            stop=self._stop,
            recorder=recorder,
            opener=self._opener,
        )
        status = "failed"
        upkeep = Upkeep(self._store, self._run, sources.states, self._config.recording)
        try:
            with sources:
                self._sources = sources
                try:
                    self._work(sources)
                except StoreError:
                    raise
                except Exception:
                    self._save_what_can_be()
                    raise
                self._finish_tracks()
                states = sources.states()
            recorder.close()
            upkeep.close()
            write_states(self._store, self._run, states)
            status = "interrupted" if self._stop.is_set() else "finished"
        finally:
            recorder.close()
            upkeep.close()
            self._live.close()
            self._store.finish_run(self._run, status)
        return Summary(
            run=self._run,
            cameras=states,
            frames=self._status.frames,
            tracks=self._status.tracks,
            embedded_crops=self._embedded,
            identities=len(self._identities),
            actions=dict(self._actions),
            interrupted=status == "interrupted",
        )

    def _work(self, sources: Sources) -> None:
        """Until there are no more frames, or `stop`."""
        for frames, found in ahead(self._detected(sources), 2, "detector"):
            self._process(frames, found)
            self._report(sources)
            self._end_lost()
            if self._stop.is_set():
                break

    def _begin(self) -> None:
        rows = [
            CameraRow(c.id, str(c.url), c.place.name or None, c.place.x, c.place.y)
            for c in self._cameras.values()
        ]
        config = {
            "pipeline": self._config.model_dump(mode="json"),
            "cameras": [c.model_dump(mode="json") for c in self._cameras.values()],
            "detector": self._detector.name,
            "embedder": self._embedder.description,
            "model": self._embedder.fingerprint,
        }
        shape = self._embedder.config
        self._run = self._store.begin_run(config, rows, self._rerun_of)
        self._store.register_model(
            self._embedder.fingerprint, shape.num_parts, shape.dim, shape.model_dump(mode="json")
        )
        self._news = DecisionNews(self._store, self._run)

    def _detected(self, sources: Sources) -> Iterator[tuple[list[Frame], list[list[Detection]]]]:
        for frames in sources.batches(self._config.runtime.batch, idle=IDLE):
            yield frames, self._detector.process(frames) if frames else []

    def _process(self, frames: Sequence[Frame], found: Sequence[list[Detection]]) -> None:
        for frame, detections in zip(frames, found, strict=True):
            stage = self._stage(frame.camera)
            progress = stage.process(frame, detections)
            self._take(frame.camera, progress)
            self._live.show(frame)
            self._status.frames += 1
            self._status.people[frame.camera] = stage.people
            self._tick(frame.camera, frame.time)

    def _take(self, camera: str, progress: Progress) -> None:
        for track, points in progress.points.items():
            self._store.add_points(self._run, camera, track, points)
        self._pending += [(camera, request) for request in progress.crops]
        if len(self._pending) >= self._embedder.batch or progress.finished:
            self._embed()
        self._close(camera, progress.finished)

    def _embed(self) -> None:
        """Embed what waits, over all cameras in one batch."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        embeddings = self._embedder.embed([request.image for _, request in pending])
        for index, (camera, request) in enumerate(pending):
            self._stages[camera].receive(request, embeddings[index])
        self._embedded += len(pending)

    def _close(self, camera: str, finished: Sequence[TrackletBuilder]) -> None:
        for builder in finished:
            self._hand_in(builder)
            self._store.close_track(builder.track)
            self._stages[camera].forget(builder.track)
            self._early.discard(builder.track)
            self._status.tracks += 1

    def _hand_in(self, builder: TrackletBuilder) -> None:
        tracklet = builder.tracklet()
        self._store.save_tracklet(self._run, tracklet)
        if self._config.matching.enabled:
            self._matchers[tracklet.camera in self._live_cameras].add(tracklet)

    def _tick(self, camera: str, now: float) -> None:
        """Decide on identities every `matching.interval` seconds of capture time."""
        interval = self._config.matching.interval
        live = camera in self._live_cameras
        due = self._next_decision.setdefault(live, now + interval)
        if now < due - 2 * interval:
            due = self._next_decision[live] = now + interval
        if now < due:
            return
        self._next_decision[live] = now + interval
        self._embed()
        for stage in self._stages_of(live):
            for builder in stage.lasting(now, self._config.matching.early):
                if builder.track not in self._early:
                    self._early.add(builder.track)
                    self._hand_in(builder)
        self._decide(live)

    def _stages_of(self, live: bool) -> list[CameraStage]:
        """The stages of the live cameras, or of the files."""
        return [s for name, s in self._stages.items() if (name in self._live_cameras) is live]

    def _decide(self, live: bool) -> None:
        self._heed()
        matcher = self._matchers[live]
        matcher.still_open(
            {
                builder.track: builder.last
                for stage in self._stages_of(live)
                for builder in stage.builders.values()
                if builder.track in self._early and builder.last is not None
            }
        )
        for decision in matcher.decide():
            self._store.link(self._run, decision)
            self._count(decision)
        self._status.identities = len(self._identities)

    def _heed(self) -> None:
        """Follow what people decided about this run's tracks since the last time."""
        if self._config.matching.enabled and (rulings := self._news.rulings()) is not None:
            for matcher in self._matchers.values():
                matcher.heed(rulings)

    def _count(self, decision: LinkDecision) -> None:
        self._actions[decision.action] += 1
        self._identities.add(decision.identity)

    def _finish_tracks(self) -> None:
        self._embed()
        self._end_tracks()
        self._decide_all()
        self._heed()  # what people said meanwhile has the last word

    def _end_tracks(self) -> None:
        for camera, stage in self._stages.items():
            self._close(camera, stage.finish())

    def _decide_all(self) -> None:
        for live in self._matchers:
            self._decide(live)

    def _save_what_can_be(self) -> None:
        """After an error: what was seen of open tracks, as far as the error lets it."""
        for step in (self._embed, self._end_tracks, self._decide_all):
            try:
                step()
            except Exception:
                log.exception("while saving what was seen before the error below")

    def _end_lost(self) -> None:
        """End the tracks of live cameras that are lost: they may be back in an hour, or never."""
        silence = self._config.tracker.buffer + IN_FLIGHT
        for camera, stage in self._stages.items():
            state = self._status.cameras[camera]
            away = state.is_live and state.state != "running" and stage.silence > silence
            if away and stage.builders:
                self._embed()
                self._close(camera, stage.finish())
                self._status.people[camera] = 0
                self._decide(live=True)

    def _stage(self, camera: str) -> CameraStage:
        if camera not in self._stages:
            state = self._sources.states()[camera]
            if state.is_live:
                self._live_cameras.add(camera)
            rate = state.frame_rate or DEFAULT_FRAME_RATE
            cap = self._cameras[camera].max_fps
            tracker = build_tracker(
                self._config.tracker,
                self._store.track_allocator(),
                min(rate, cap) if cap else rate,
            )
            self._stages[camera] = CameraStage(
                self._cameras[camera],
                tracker,
                GapFiller(self._config.tracker.fill),
                self._embedder.config.num_parts,
                self._config.embedding,
            )
        return self._stages[camera]

    def _report(self, sources: Sources) -> None:
        self._status.cameras = sources.states()
        self._watch(self._status)


def _coordinates(camera: CameraConfig) -> tuple[float, float] | None:
    if camera.place.x is None or camera.place.y is None:
        return None
    return camera.place.x, camera.place.y
