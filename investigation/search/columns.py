"""What a gallery knows of each row beside its vectors: track, camera, run and times, in arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from investigation.filters import Filters
from storage.vectors import VectorBlock

SMALLEST = 1024
FIELDS = {
    "track": np.int64, "run": np.int64, "camera": np.int32, "start": np.float64, "end": np.float64,
}  # fmt: skip


class Columns:
    """Arrays by row number. One thread appends, any number read.

    An array that is full is copied to a larger one: who reads keeps the old.
    """

    def __init__(self) -> None:
        self.filled = 0
        self._arrays = {name: np.zeros(SMALLEST, kind) for name, kind in FIELDS.items()}
        self._codes: dict[str, int] = {}  # of cameras
        self._places: dict[str, str | None] = {}

    def put(self, block: VectorBlock) -> None:
        """Write rows behind the last one; they count once `filled` was raised."""
        end = self.filled + len(block)
        size = len(self._arrays["track"])
        if end > size:
            self.reserve(max(end, size + size // 2))
        codes = [self._codes.setdefault(c, len(self._codes)) for c in block.cameras]
        values = (block.tracks, block.runs, codes, block.start, block.end)
        for name, value in zip(FIELDS, values, strict=True):
            self._arrays[name][self.filled : end] = value

    def reserve(self, size: int) -> None:
        """Make room for `size` rows in all."""
        larger = {name: np.zeros(size, kind) for name, kind in FIELDS.items()}
        for name, array in self._arrays.items():
            larger[name][: self.filled] = array[: self.filled]
        self._arrays = larger

    def place(self, places: Mapping[str, str | None]) -> None:
        """Where each camera stands."""
        self._places = dict(places)

    def grow(self, rows: Mapping[int, int], ends: Iterable[tuple[int, float, bool]],
             growing: set[int]) -> None:  # fmt: skip
        """Tracks that went on: (track, end, closed); those that are closed leave `growing`."""
        for track, end, closed in ends:
            if track in rows:
                self._arrays["end"][rows[track]] = end
            if closed:
                growing.discard(track)

    def tracks(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Their tracks; any for a row of -1."""
        return self._arrays["track"][np.maximum(rows, 0)]

    def passing(self, where: Filters) -> NDArray[np.bool_]:
        """(filled,) which rows pass."""
        filled, arrays = self.filled, self._arrays
        passed = np.ones(filled, np.bool_)
        if where.cameras is not None or where.places is not None:
            passed &= self._cameras(where)[arrays["camera"][:filled]]
        if where.runs is not None:
            passed &= np.isin(arrays["run"][:filled], list(where.runs))
        if where.start is not None:
            passed &= arrays["end"][:filled] >= where.start
        if where.end is not None:
            passed &= arrays["start"][:filled] <= where.end
        return passed

    def _cameras(self, where: Filters) -> NDArray[np.bool_]:
        """By camera code: whether it passes."""
        codes, places = dict(self._codes), self._places
        return np.array(
            [
                (where.cameras is None or camera in where.cameras)
                and (where.places is None or places.get(camera) in where.places)
                for camera in codes
            ],
            np.bool_,
        )
