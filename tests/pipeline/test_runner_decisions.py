"""A person decides while the run goes on: the run follows, and its end does not take it back."""

from __future__ import annotations

import threading

import pytest

from pipeline.config import load_cameras, load_pipeline
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner
from storage.decisions.decide import Decisions
from storage.store import Store
from tests.pipeline.test_runner import cameras_file
from tests.pipeline.walkers import ColourDetector, ColourEmbedder, write_walk


@pytest.fixture
def two_cameras(tmp_path):
    """Red walks through both cameras, green through the first, blue through the second."""
    left = write_walk(tmp_path / "left.mp4", {"red": (20, 20), "green": (20, 130)})
    right = write_walk(tmp_path / "right.mp4", {"red": (60, 30), "blue": (60, 140)})
    return cameras_file(tmp_path, left=left, right=right)


def run(store: Store, cameras, watch=None) -> None:
    embedder = ColourEmbedder()
    config = resolve_matching(load_pipeline(None), embedder)
    Runner(
        load_cameras(cameras).enabled,
        config,
        ColourDetector(),
        embedder,
        store,
        stop=threading.Event(),
        watch=watch,
    ).run()


def red(store: Store, number: int, camera: str) -> int | None:
    """The track of the person in red: the upper one in either camera."""
    for track in store.reader().tracks(number, camera):
        if next(store.reader().boxes(track.id)).box.top < 60:
            return track.id
    return None


def identity(store: Store, track: int | None) -> int | None:
    return next(t.identity for t in store.reader().tracks() if t.id == track)


def test_what_people_decide_meanwhile_holds_at_the_end(tmp_path, two_cameras):
    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        run(store, two_cameras)
        yesterday = identity(store, red(store, 1, "left"))
        assert yesterday == identity(store, red(store, 1, "right"))
        done: list[int] = []

        def person(status) -> None:
            store.flush()
            track = red(store, 2, "left")
            if track is not None and not done:
                done.append(track)
                Decisions(store).confirm(track, yesterday, "anna", "the same as yesterday")

        run(store, two_cameras, watch=person)
        assert done == [red(store, 2, "left")]
        assert identity(store, done[0]) == yesterday
        assert identity(store, red(store, 2, "right")) == yesterday, "linked to the confirmed one"
        assert [row.action for row in store.reader().ledger(done[0])] == ["confirm"]


def test_a_rejection_meanwhile_keeps_the_two_apart(tmp_path, two_cameras):
    with Store.open(f"sqlite:///{tmp_path / 'run.db'}") as store:
        run(store, two_cameras)
        somebody = identity(store, red(store, 1, "left"))
        done: list[int] = []

        def person(status) -> None:
            store.flush()
            left, right = red(store, 2, "left"), red(store, 2, "right")
            if left is not None and right is not None and not done:
                done.extend([left, right])
                desk = Decisions(store)
                desk.confirm(left, somebody, "anna", "x")
                desk.reject(right, somebody, "anna", "a twin")

        run(store, two_cameras, watch=person)
        assert done
        assert identity(store, done[0]) == somebody
        assert identity(store, done[1]) != somebody
