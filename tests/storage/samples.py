"""Records for tests; every number can be told from every other."""

from __future__ import annotations

import numpy as np

from reid.records import PartEmbeddings
from storage.records import CameraRow
from trackers.records import Box, Exemplar, LinkDecision, Tracklet, TrackPoint

NOON = 1_700_000_000.25
K, D = 6, 8
CAMERAS = [
    CameraRow("door", "rtsp://guard:hunter2@10.0.0.1/live", "Front door", 1.5, -2.5),
    CameraRow("yard", "yard.mp4"),
]


def points(count: int, first: int = 0, offset: float = 0.0) -> list[TrackPoint]:
    return [
        TrackPoint(
            frame,
            NOON + frame / 10,
            Box(10.5 + frame + offset, 20.25, 40.5 + frame + offset, 100.75),
            0.5 + frame / 1000,
        )
        for frame in range(first, first + count)
    ]


def embedding(
    seed: int = 0, fingerprint: str = "model-a", k: int = K, d: int = D
) -> PartEmbeddings:
    random = np.random.default_rng(seed)
    return PartEmbeddings(
        random.normal(size=(1, k, d)).astype(np.float32),
        random.normal(size=(1, k, d)).astype(np.float32),
        random.uniform(size=(1, k)).astype(np.float32),
        fingerprint,
    )


def exemplar(frame: int, score: float = 1.0, jpeg: bytes | None = None) -> Exemplar:
    return Exemplar(
        frame=frame,
        time=NOON + frame / 10,
        box=Box(1.5, 2.5, 30.5, 80.5),
        jpeg=jpeg or b"\xff\xd8 picture of frame %d" % frame,
        quality=(0.9, 0.8, 0.7, 0.6, 0.5, 0.25),
        visible=(1.0, 1.0, 1.0, 1.0, 0.5, 0.0),
        score=score,
    )


def tracklet(
    track: int,
    camera: str = "door",
    count: int = 10,
    embedded: PartEmbeddings | None = None,
    exemplars: tuple[Exemplar, ...] = (),
) -> Tracklet:
    there = points(count)
    return Tracklet(
        track=track,
        camera=camera,
        start=there[0].time,
        end=there[-1].time,
        first=there[0],
        last=there[-1],
        boxes=count,
        embedding=embedded,
        exemplars=exemplars,
    )


def decision(track: int, identity: int, action: str = "create", **changes: object) -> LinkDecision:
    values: dict[str, object] = {
        "track": track,
        "identity": identity,
        "action": action,
        "time": NOON + 1,
        "candidate": None,
        "distance": None,
        "runner_up": None,
        "support": None,
        "threshold": 0.375,
        "reason": "nobody like this was known",
        "matcher": "test 1",
        **changes,
    }
    return LinkDecision(**values)  # type: ignore[arg-type]
