"""A store of real people: crops of PETS from its ground truth, embedded by the shipped model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.explain.explanation import Explainer
from reid.pooling import pool
from reid.records import PartEmbeddings
from storage.records import CameraRow
from storage.store import Store
from trackers.bodies import crop
from trackers.records import Box, Exemplar, LinkDecision, Tracklet, TrackPoint

BEGINS = 1_700_000_000.0  # 2023-11-14T22:13:20Z
FPS = 10
PEOPLE = (1, 2, 4, 6, 7, 8, 16, 17)  # seen by both cameras; no two of them are one person
CROPS = 3


@dataclass(frozen=True)
class Filmed:
    """One person on one camera: frames and boxes of the kept crops, best first."""

    track: int
    camera: str
    person: int
    frames: tuple[int, ...]
    boxes: tuple[Box, ...]


def read(shared: Path, camera: str) -> tuple[list[NDArray[np.uint8]], dict[int, list[tuple]]]:
    """All frames of a camera, and per person (frame from 0, box)."""
    capture = cv2.VideoCapture(str(shared / "footage" / f"pets_{camera}.mp4"))
    frames = []
    while (found := capture.read())[0]:
        frames.append(found[1])
    truth: dict[int, list[tuple]] = defaultdict(list)
    for line in (shared / "footage" / f"pets_{camera}_gt.txt").read_text().splitlines():
        number, person, left, top, width, height = (float(v) for v in line.split(",")[:6])
        truth[int(person)].append((int(number) - 1, Box(left, top, left + width, top + height)))
    return frames, truth


def fill(shared: Path, url: str, explainer: Explainer) -> tuple[list[Filmed], list, dict]:
    """Fill a store: a track for each person and camera, every track an identity of its own.

    Returns what was filmed, and frames and ground truth of the right camera.
    """
    films = []
    with Store.open(url) as store:
        cameras = [
            CameraRow("left", "l.mp4", "West path"),
            CameraRow("right", "r.mp4", "East path"),
        ]
        run = store.begin_run({}, cameras)
        store.register_model(explainer.fingerprint, 6, 256, explainer.config.model_dump())
        for camera in ("left", "right"):
            frames, truth = read(shared, camera)
            for person in PEOPLE:
                film = _film(store, run, camera, person, frames, truth[person], explainer)
                films.append(film)
        store.finish_run(run)
    return films, frames, truth


def _film(
    store: Store, run: int, camera: str, person: int, frames: list, there: list, model: Explainer
) -> Filmed:
    track = store.track_allocator().next_id()
    points = [TrackPoint(f, BEGINS + f / FPS, box, 0.9) for f, box in there]
    store.add_points(run, camera, track, points)
    inside = [p for p in points if p.box.left > 3 and p.box.right < frames[0].shape[1] - 3]
    chosen = [inside[i] for i in np.linspace(0, len(inside) - 1, CROPS + 2).astype(int)[1:-1]]
    embedded, exemplars = [], []
    for order, point in enumerate(chosen):
        cut = crop(frames[point.frame], point.box, 0.04)
        embedded.append(model.image(cut).embedding)
        exemplars.append(
            Exemplar(
                point.frame, point.time, point.box, cv2.imencode(".jpg", cut)[1].tobytes(),
                tuple(map(float, embedded[-1].quality[0])), (1.0,) * 6, float(CROPS - order),
            )
        )  # fmt: skip
    store.save_tracklet(
        run,
        Tracklet(
            track, camera, points[0].time, points[-1].time, points[0], points[-1], len(points),
            pool(PartEmbeddings.concatenate(embedded)), tuple(exemplars),
        ),
    )  # fmt: skip
    store.close_track(track)
    identity = store.identity_allocator().next_id()
    store.link(
        run,
        LinkDecision(track, identity, "create", points[0].time, None, None, None, None, None,
                     "nobody known", "test"),
    )  # fmt: skip
    return Filmed(
        track, camera, person, tuple(p.frame for p in chosen), tuple(p.box for p in chosen)
    )


def portrait(frames: list, truth: dict[int, list[tuple]], person: int) -> NDArray[np.uint8]:
    """The person's largest view with nobody else near, with some of the scene around it, x 3."""
    where: dict[int, list[Box]] = defaultdict(list)
    for there in truth.values():
        for frame, box in there:
            where[frame].append(box)
    height, width = frames[0].shape[:2]
    best = None
    for frame, box in truth[person]:
        dx, dy = 0.8 * box.width, 0.2 * box.height
        around = Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)
        inside = around.left > 0 and around.top > 0
        inside = inside and around.right < width and around.bottom < height
        alone = all(other is box or around.intersection(other) == 0 for other in where[frame])
        if inside and alone and (best is None or box.area > best[2]):
            best = (frame, around, box.area)
    assert best is not None, person
    frame, around, _ = best
    cut = crop(frames[frame], around)
    return cv2.resize(cut, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
