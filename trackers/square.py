"""N x N arrays that gain and lose rows often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


class Square(Generic[T]):
    """An (N, N) array whose N changes; growing copies only now and then.

    Args:
        dtype: of the values, as a numpy scalar type.
        fill: what new rows and columns hold.
    """

    def __init__(self, dtype: type[T], fill: float) -> None:
        self._fill = fill
        self._held: NDArray[T] = np.zeros((0, 0), dtype)
        self._size = 0

    @property
    def values(self) -> NDArray[T]:
        """(N, N) view, valid until the next `grow` or `keep`."""
        return self._held[: self._size, : self._size]

    def grow(self, size: int) -> None:
        """Have `size` rows and columns, the new ones filled."""
        old = self._size
        if size > len(self._held):
            room = size + size // 4 + 16
            held = np.full((room, room), self._fill, self._held.dtype)
            held[:old, :old] = self.values
            self._held = held
        self._size = size
        self._held[old:size, :size] = self._fill
        self._held[:size, old:size] = self._fill

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows and columns, ascending."""
        index = np.asarray(rows, np.int64)
        kept = self.values[np.ix_(index, index)]
        self._size = len(index)
        self._held[: self._size, : self._size] = kept
