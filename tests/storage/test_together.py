"""Pairs of strangers against a plain look at every box of every two tracks."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from storage import together
from storage.store import Store
from storage.together import CLEAR, LEAST_FRAMES, LEAST_SECONDS, seen_together
from tests.storage.samples import CAMERAS, NOON, embedding, tracklet
from trackers.records import Box, TrackPoint


def walk(left: float, first: int = 0, count: int = 20, step: float = 0.0) -> list[TrackPoint]:
    """A body 40 by 100 pixels that walks to the right, at ten frames a second."""
    frames = range(first, first + count)
    lefts = [left + step * (frame - first) for frame in frames]
    return [
        TrackPoint(frame, NOON + frame / 10, Box(x, 50, x + 40, 150), 0.9)
        for frame, x in zip(frames, lefts, strict=True)
    ]


def see(
    store: Store,
    run: int,
    track: int,
    there: list[TrackPoint],
    camera: str = "door",
    model: str = "model-a",
) -> None:
    store.add_points(run, camera, track, there)
    made = tracklet(track, camera, embedded=embedding(track, model))
    ends = {"first": there[0], "last": there[-1]}
    store.save_tracklet(run, replace(made, start=there[0].time, end=there[-1].time, **ends))


def test_who_is_surely_another(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        for model in ("model-a", "model-b"):
            store.register_model(model, 6, 8, {})
        run = store.begin_run({}, CAMERAS)
        see(store, run, 1, walk(0))
        see(store, run, 2, walk(100))
        see(store, run, 3, walk(300, step=-15))  # walks into both of them
        see(store, run, 4, walk(500), "yard")  # another camera
        see(store, run, 5, walk(600, first=100))  # later
        see(store, run, 6, walk(700), model="model-b")
        see(store, run, 7, walk(843, first=18))  # too short a moment together
        see(store, run, 8, walk(143))  # nearer to 2 than a tenth of a body
        again = store.begin_run({}, CAMERAS, rerun_of=run)
        see(store, again, 9, walk(900))
        see(store, again, 10, walk(1000))
        other = store.begin_run({}, CAMERAS)
        see(store, other, 11, walk(1100))
        store.flush()
        assert seen_together(store.reader(), "model-a", 100) == [(1, 2), (1, 8)]
        assert seen_together(store.reader(), "model-a", 1) in ([(1, 2)], [(1, 8)])
        assert seen_together(store.reader(), "model-b", 100) == []
        assert seen_together(store.reader(), "model-c", 100) == []


def test_an_empty_store_has_none(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        assert seen_together(store.reader(), "model-a", 100) == []


@pytest.mark.parametrize("each", [7, 1_000])
def test_a_crowd_as_a_plain_loop_finds_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    monkeypatch.setattr(together, "MOST_PARTNERS", 1_000)
    monkeypatch.setattr(together, "EACH", each)
    monkeypatch.setattr(together, "SAMPLES", 3)
    rng = np.random.default_rng(0)
    tracks = {}
    with Store.open(sqlite_url) as store:
        store.register_model("model-a", 6, 8, {})
        run = store.begin_run({}, CAMERAS)
        for track in range(1, 41):
            start, count = int(rng.integers(0, 60)), int(rng.integers(1, 40))
            there = walk(rng.uniform(0, 900), start, count, rng.uniform(-8, 8))
            camera = "door" if rng.uniform() < 0.7 else "yard"
            tracks[track] = camera, there
            see(store, run, track, there, camera)
        store.flush()
        found = seen_together(store.reader(), "model-a", 10_000)
    step = max(each, 40 / 3)
    starts = [1.0]
    while starts[-1] + step <= 40:
        starts.append(starts[-1] + step)
    looked = [set(range(int(b), int(b) + each)) for b in starts]
    expected = [
        (a, b)
        for a, b in combinations(tracks, 2)
        if any({a, b} <= some for some in looked) and apart(*tracks[a], *tracks[b])
    ]
    assert found == expected
    assert len(found) > 5


def apart(camera: str, one: list[TrackPoint], other_camera: str, other: list[TrackPoint]) -> bool:
    """One box after the other."""
    if camera != other_camera:
        return False
    later = max(one[0].time, other[0].time)
    if min(one[-1].time, other[-1].time) - later < LEAST_SECONDS - 1e-9:
        return False
    there = {p.frame: p.box for p in other}
    common = [(p.box, there[p.frame]) for p in one if p.frame in there]
    dx = [max(a.left, b.left) - min(a.right, b.right) for a, b in common]
    dy = [max(a.top, b.top) - min(a.bottom, b.bottom) for a, b in common]
    clear = [x >= CLEAR * 40 or y >= CLEAR * 100 for x, y in zip(dx, dy, strict=True)]
    return len(common) >= LEAST_FRAMES and all(clear)
