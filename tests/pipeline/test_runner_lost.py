"""A live camera that is lost in the middle of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline import sources
from pipeline.config import CameraConfig, load_pipeline
from pipeline.pictures import Picture, StreamInfo
from pipeline.redact import SourceUrl
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner, Status
from reid.errors import SourceError
from storage.store import Store
from tests.pipeline.walkers import COLOURS, ColourDetector, ColourEmbedder


class Still:
    """Someone in red who stands there."""

    def __init__(self) -> None:
        self.time = time.time()

    def image(self) -> np.ndarray:
        image = np.full((240, 320, 3), 90, np.uint8)
        image[60:140, 100:132] = COLOURS["red"]
        return image


class Dying:
    """A camera that is lost after some pictures and never found again."""

    info = StreamInfo("raw", 320, 240, 10.0, None, 0, True, None)
    opened = 0

    def pictures(self, after: float) -> Iterator[Picture]:
        for _ in range(15):
            time.sleep(0.1)
            yield Still()
        raise SourceError("camera a: gone")

    def close(self) -> None:
        pass


def test_a_lost_cameras_tracks_end_without_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: who stood there when the camera died was nobody until it came back, and no watch
    could see them: a track ended only with a later frame of its camera.
    """
    openings = iter([Dying()])

    def open_source(*arguments: object, **keywords: object) -> Dying:
        try:
            return next(openings)
        except StopIteration:
            raise SourceError("camera a: no route to it") from None

    monkeypatch.setattr(sources, "open_source", open_source)
    stop = threading.Event()
    seen: list[tuple[int, int, int]] = []

    def watch(status: Status) -> None:
        seen.append((status.tracks, status.identities, status.people.get("a", 0)))
        if status.tracks and seen[-2][0]:  # the state after
            stop.set()

    embedder = ColourEmbedder()
    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        runner = Runner(
            [CameraConfig(id="a", url=SourceUrl("rtsp://127.0.0.1/x"), reconnect_max=1.0)],
            resolve_matching(load_pipeline(None), embedder),
            ColourDetector(),
            embedder,
            store,
            stop=stop,
            watch=watch,
        )
        emergency = threading.Timer(20, stop.set)
        emergency.start()
        runner.run()
        emergency.cancel()
    assert (0, 0, 1) in seen, "followed while the camera was there"
    assert seen[-1] == (1, 1, 0), "one track, decided on, and nobody in view"
