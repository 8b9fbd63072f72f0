"""Market-1501's images as tracklets: file names hold camera, sequence and frame.

`0001_c1s2_001051_03.jpg` is identity 1 on camera 1, sequence 2, frame 1051 of that file at 25 fps,
the fourth box of its detector. Images were kept once a second at most: every difference of two
frames of one person is a multiple of 25. A sequence is one *file* of one camera, so its frames
count from that file's own beginning; `benchmarks.market_clock` puts the files on one clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from reid.datasets import MARKET_NAME, Sample

FPS = 25.0

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Track:
    """Images of one person before one camera.

    Attributes:
        identity: as the data set numbers it; 0 for a distractor.
        camera: number of the camera.
        sequence: number of the camera's file; 0 where the name tells none.
        times: seconds since that file began, ascending, one per image.
        paths: the images, in the order of `times`.
    """

    identity: int
    camera: int
    sequence: int
    times: tuple[float, ...]
    paths: tuple[Path, ...]


def group_tracks(samples: Sequence[Sample], pause: float = math.inf) -> list[Track]:
    """Group images of one identity, camera and sequence; sorted by these three and by time.

    Distractors (identity 0) are different people or nobody: each image is a track of its own.

    Args:
        samples: images to group; a name that is not Market-1501's counts as sequence 0, time 0.
        pause: seconds without an image beyond which a new track begins.
    """
    groups: dict[tuple[int, int, int], list[tuple[float, Path]]] = {}
    for sample in samples:
        match = MARKET_NAME.match(sample.path.name)
        sequence, time = (int(match[3]), int(match[4]) / FPS) if match else (0, 0.0)
        key = (sample.identity, sample.camera, sequence)
        groups.setdefault(key, []).append((time, sample.path))
    tracks = []
    for key in sorted(groups):
        for part in _split(sorted(groups[key]), -1.0 if key[0] == 0 else pause):
            times, paths = zip(*part, strict=True)
            tracks.append(Track(*key, times, paths))
    return tracks


def _split(pictures: list[tuple[float, Path]], pause: float) -> list[list[tuple[float, Path]]]:
    parts = [[pictures[0]]]
    for before, now in pairwise(pictures):
        if now[0] - before[0] > pause:
            parts.append([])
        parts[-1].append(now)
    return parts


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` of the items, spread evenly from the first to the last."""
    if len(items) <= limit:
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, limit)]
