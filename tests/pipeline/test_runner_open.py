"""Tracks that are open while something else happens: decisions, live cameras, an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline import sources
from pipeline.config import CameraConfig, load_pipeline
from pipeline.pictures import Picture, StreamInfo
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner
from reid.errors import SourceError
from storage.queries import StoreReader
from storage.store import Store
from tests.pipeline.walkers import COLOURS, ColourDetector, ColourEmbedder

START, FPS = 1_700_000_000.0, 5


@dataclass
class Shot:
    time: float
    colour: str | None

    def image(self) -> np.ndarray:
        image = np.full((240, 320, 3), 90, np.uint8)
        if self.colour:
            image[60:140, 100:132] = COLOURS[self.colour]
        return image


@dataclass
class Film:
    """Someone in one colour stands there from second `come` to second `go`."""

    come: float
    go: float
    length: float = 40.0
    colour: str = "red"
    start: float = START
    live: bool = False
    pause: float = 0.0
    info: StreamInfo = field(init=False)

    def __post_init__(self) -> None:
        start = None if self.live else self.start
        self.info = StreamInfo("raw", 320, 240, float(FPS), self.length, 0, self.live, start)

    def pictures(self, after: float) -> Iterator[Picture]:
        for i in range(int(self.length * FPS)):
            seconds = i / FPS
            time.sleep(self.pause)
            here = self.come <= seconds < self.go
            yield Shot(self.start + seconds, self.colour if here else None)

    def close(self) -> None:
        pass


def run(store: Store, films: dict[str, Film], detector=None, watch=None, **matching) -> None:
    cameras = [
        CameraConfig.model_validate(
            {
                "id": name,
                "url": f"/{name}.mp4",
                "place": {"x": 300.0 * i, "y": 0.0} if not film.live else {},
                "give_up_after": 2.5 if watch else 0.01,
                "reconnect_min": 0.1,
                "reconnect_max": 0.1,
            }
        )
        for i, (name, film) in enumerate(films.items())
    ]
    embedder = ColourEmbedder()
    config = resolve_matching(load_pipeline(None), embedder)
    changed = config.matching.model_copy(update=matching)
    Runner(
        cameras,
        config.model_copy(update={"matching": changed}),
        detector or ColourDetector(),
        embedder,
        store,
        stop=threading.Event(),
        watch=watch,
        opener=lambda camera, threads, tape: films[camera.id],
    ).run()


def found(reader: StoreReader) -> dict[str, tuple[int | None, list[str]]]:
    """Camera -> identity and the ledger's actions, of its only track."""
    return {
        t.camera: (t.identity, [row.action for row in reader.ledger(t.id)]) for t in reader.tracks()
    }


def test_who_still_stands_at_the_gate_is_not_in_the_yard(tmp_path) -> None:
    """Two alike, 300 m apart at one moment, were one person: the track at the gate had been handed
    in after `early` seconds and counted as ended then.
    """
    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        films = {"gate": Film(0, 40), "yard": Film(20, 26)}
        run(store, films, early=2.0, interval=1.0, view_reach=0.0, max_speed=20.0)
        got = found(store.reader())
    assert got["gate"][0] != got["yard"][0]
    assert got["yard"][1] == ["create"], "never linked, not even for a while"


def gone(*arguments: object, **keywords: object) -> Film:
    raise SourceError("camera live: no route to it")


def test_the_display_hears_of_a_lost_camera_though_no_picture_comes(tmp_path, monkeypatch) -> None:
    """The table went on to say `running` while all cameras were lost."""
    monkeypatch.setattr(sources, "open_source", gone)
    states: list[str] = []
    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        films = {"live": Film(0, 1, 1.0, live=True, start=time.time())}
        run(store, films, watch=lambda status: states.append(status.cameras["live"].state))
    assert "reconnecting" in states


def test_files_are_matched_alike_with_and_without_live_cameras(tmp_path, monkeypatch) -> None:
    """A live track put those of an archive outside the window: they lost their links."""
    monkeypatch.setattr(sources, "open_source", gone)
    archive = {"a": Film(0, 5, pause=0.05), "b": Film(16, 30, pause=0.05)}
    live = {"live": Film(8, 10, 14, "blue", time.time(), live=True, pause=0.05)}
    results = []
    for name, films in (("alone", archive), ("beside", live | archive)):
        with Store.open(f"sqlite:///{tmp_path / name}.db") as store:
            run(store, films, max_speed=100.0, interval=1.0)
            results.append(found(store.reader()))
    alone, beside = results
    assert alone["a"][0] == alone["b"][0]
    assert beside["a"][0] == beside["b"][0] != beside["live"][0]
    assert [beside[c][1] for c in "ab"] == [alone[c][1] for c in "ab"] == [["create"], ["link"]]


@pytest.mark.parametrize("broken", ["detector", "embedder"])
def test_an_error_leaves_what_was_seen_of_open_tracks(tmp_path, broken, monkeypatch) -> None:
    """Their boxes were in the store, but no embedding, no picture and no row of the ledger."""

    class Breaking(ColourDetector):
        frames = 0

        def process(self, frames):
            self.frames += len(frames)
            if self.frames > 30:
                if broken == "embedder":
                    monkeypatch.setattr(ColourEmbedder, "embed", self.fail)
                else:
                    self.fail()
            return super().process(frames)

        def fail(self, *_: object) -> None:
            raise RuntimeError(f"the {broken} is broken")

    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        with pytest.raises(RuntimeError, match=f"the {broken} is broken"):
            run(store, {"gate": Film(0, 40)}, detector=Breaking(), interval=1.0)
        reader = store.reader()
        assert reader.runs()[0].status == "failed"
        (track,) = reader.tracks()
        assert track.closed
        assert list(reader.exemplars(track.id))
        assert found(reader) == {"gate": (track.identity, ["create"])}
