"""When and where tracklets were: gaps and conflicts of one with all, without a loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trackers.constraints import Coordinates
from trackers.records import Tracklet, TrackPoint
from trackers.settings import MatchingSettings

# Columns of the table: a tracklet's time, then foot point, height and time of both its ends.
START, END, FIRST, LAST = 0, 1, slice(2, 6), slice(6, 10)


class Whereabouts:
    """The rows of a gallery in time and space.

    Args:
        places: map coordinates per camera id, metres, None where unknown.
        settings: tolerances and speeds.
    """

    def __init__(
        self, places: Mapping[str, Coordinates | None], settings: MatchingSettings
    ) -> None:
        self._places, self._settings = places, settings
        self._cameras: dict[str, int] = {}
        self._camera = np.zeros(0, np.int64)
        self._table = np.zeros((0, 10))
        self._metres = np.zeros((0, 0))
        self._size = 0

    def put(self, row: int, tracklet: Tracklet) -> None:
        """Set or add a row."""
        if row >= len(self._table):
            more = row + 16
            self._table = np.concatenate([self._table, np.zeros((more, 10))])
            self._camera = np.concatenate([self._camera, np.zeros(more, np.int64)])
        self._size = max(self._size, row + 1)
        if tracklet.camera not in self._cameras:
            self._cameras[tracklet.camera] = len(self._cameras)
            self._metres = self._distances()
        self._camera[row] = self._cameras[tracklet.camera]
        ends = (*_end(tracklet.first), *_end(tracklet.last))
        self._table[row] = (tracklet.start, tracklet.end, *ends)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows."""
        index = np.asarray(rows, np.int64)
        self._size = len(index)
        for array in (self._table, self._camera):
            array[: self._size] = array[index]

    def gaps(self, rows: Sequence[int], *, same_camera: bool) -> NDArray[np.float64]:
        """Seconds from each of R rows to all N, 0 where they overlap: (R, N).

        Infinite for two of one camera, unless `same_camera`.
        """
        gap = np.maximum(self._gap(rows), 0.0)
        if not same_camera:
            camera = self._camera[: self._size]
            gap[camera[rows][:, None] == camera[None]] = np.inf
        return gap

    def conflicts(self, row: int) -> NDArray[np.bool_]:
        """`trackers.constraints.conflict` of one row with all N: (N,), False with itself."""
        settings, camera = self._settings, self._camera[: self._size]
        gap = self._gap([row])[0]
        same = camera == camera[row]
        found = same & (-gap > settings.overlap_tolerance)
        found |= same & (gap > 0) & (self._speed(row) > settings.max_image_speed)
        metres = self._metres[camera[row], camera]  # NaN where unknown: never a conflict
        far = metres > settings.max_speed * np.maximum(gap, 0.0) + settings.view_reach
        found |= ~same & far
        found[row] = False
        return np.asarray(found)

    def relations(self, row: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """What one row is to all N in time and place: conflicts and seconds between, (N,) each."""
        return self.conflicts(row), np.maximum(self._gap([row])[0], 0.0)

    def _gap(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """Seconds between; negative: so long do they overlap."""
        start, end = self._table[: self._size, START], self._table[: self._size, END]
        later = np.maximum(start[rows][:, None], start[None])
        return np.asarray(later - np.minimum(end[rows][:, None], end[None]))

    def _speed(self, row: int) -> NDArray[np.float64]:
        """`trackers.constraints.picture_speed` between one row and all that do not overlap it."""
        table, own = self._table[: self._size], self._table[row]
        before = (own[END] <= table[:, START])[:, None]
        end = np.where(before, own[LAST], table[:, LAST])
        start = np.where(before, table[:, FIRST], own[FIRST])
        pixels = np.hypot(end[:, 0] - start[:, 0], end[:, 1] - start[:, 1])
        height = np.maximum((end[:, 2] + start[:, 2]) / 2, 1e-9)
        seconds = np.maximum(start[:, 3] - end[:, 3], 1e-3)
        return np.asarray(np.maximum(pixels / height - 1.0, 0.0) / seconds)

    def _distances(self) -> NDArray[np.float64]:
        """(C, C) metres between the cameras seen so far; NaN where a place is unknown."""
        places = [self._places.get(name) for name in self._cameras]
        return np.array(
            [[math.dist(a, b) if a and b else math.nan for b in places] for a in places]
        )


def _end(point: TrackPoint) -> tuple[float, float, float, float]:
    return (*point.box.foot, point.box.height, point.time)
