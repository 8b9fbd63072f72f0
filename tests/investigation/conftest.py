"""A small store with everything a report shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from storage.queries import StoreReader
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, embedding, exemplar, points, tracklet


def crop(colour: int, height: int = 120) -> bytes:
    """A JPEG of one colour, 60 wide."""
    image = np.full((height, 60, 3), colour, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run: track 1 and 2 are linked, track 3 abstained, track 4 nobody decided."""
    folder = tmp_path_factory.mktemp("made") / "site"
    folder.mkdir()
    url = f"sqlite:///{folder / 'site.db'}"
    config = {"model": "abc123", "detector": "toy", "embedder": "torch, float32, cpu"}
    with Store.open(url) as store:
        run = store.begin_run(config, CAMERAS)
        store.register_model("model-a", 6, 8, {})
        for track, camera in ((1, "door"), (2, "yard"), (3, "yard"), (4, "yard")):
            store.add_points(run, camera, track, points(10))
            pictures = (exemplar(3, 2.0, crop(60 * track)), exemplar(7, 1.0, crop(61, 900)))
            pooled = embedding(track) if track < 4 else None
            store.save_tracklet(
                run,
                tracklet(track, camera, embedded=pooled, exemplars=pictures if track < 4 else ()),
            )
            store.close_track(track)
        store.link(run, decision(1, 1, reason="nobody known could have been here"))
        store.link(
            run,
            decision(2, 1, "link", candidate=1, distance=0.21, support=1.5, runner_up=0.6),
        )
        store.link(
            run,
            decision(
                3, 2, "abstain", candidate=1, distance=0.3, support=0.01,
                reason="not enough in common to tell: distance 0.300",
            ),
        )  # fmt: skip
        store.camera_state(run, "door", "ended", None, 10, 0, points(1)[0].time, points(10)[9].time)
        store.camera_state(run, "yard", "failed", "it <broke>", 0, 0, None, None)
        store.finish_run(run)
    return folder


@pytest.fixture
def store_url(made: Path, tmp_path: Path) -> str:
    """A copy of it that the test may spoil."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture
def reader(store_url: str) -> Iterator[StoreReader]:
    with StoreReader.open(store_url) as opened:
        yield opened
