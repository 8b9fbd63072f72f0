"""Records that the `reid` room makes: part embeddings and their batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import FingerprintMismatch

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PartEmbeddings:
    """QPM embeddings of N crops (or N pooled tracklets) made by one model.

    Attributes:
        parts: (N, K, d) float32, the part features f_k, not normalised (Sec. III-A).
        global_parts: (N, K, d) float32, the RAP-pooled ISA features g~_k (input of Eq. 9).
        quality: (N, K) float32, the part qualities q_k in 0..1; meaningful only as ratios.
        fingerprint: identifies the weights that made them; never compare across two.
    """

    parts: FloatArray
    global_parts: FloatArray
    quality: FloatArray
    fingerprint: str

    def __post_init__(self) -> None:
        """Check that the three arrays agree on N and K."""
        n, k = self.quality.shape
        if self.parts.shape[:2] != (n, k) or self.global_parts.shape[:2] != (n, k):
            raise ValueError(
                f"parts {self.parts.shape}, global_parts {self.global_parts.shape} and "
                f"quality {self.quality.shape} disagree on (N, K)"
            )

    def __len__(self) -> int:
        return int(self.quality.shape[0])

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[np.int64]) -> PartEmbeddings:
        """Select rows; an integer keeps the leading axis (N = 1)."""
        rows = [index] if isinstance(index, int | np.integer) else index
        return PartEmbeddings(
            self.parts[rows], self.global_parts[rows], self.quality[rows], self.fingerprint
        )

    @staticmethod
    def concatenate(items: Sequence[PartEmbeddings]) -> PartEmbeddings:
        """Join batches of one model along N.

        Raises:
            FingerprintMismatch: if they come from more than one model.
            ValueError: if `items` is empty.
        """
        if not items:
            raise ValueError("nothing to concatenate")
        check_same_model(*items)
        return PartEmbeddings(
            np.concatenate([e.parts for e in items]),
            np.concatenate([e.global_parts for e in items]),
            np.concatenate([e.quality for e in items]),
            items[0].fingerprint,
        )


def check_same_model(*embeddings: PartEmbeddings) -> None:
    """Raise `FingerprintMismatch` unless all embeddings come from one model."""
    prints = {e.fingerprint for e in embeddings}
    if len(prints) > 1:
        raise FingerprintMismatch(
            "embeddings of different models cannot be compared: " + ", ".join(sorted(prints))
        )
