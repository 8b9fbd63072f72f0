"""Many crops of one person to one embedding, part by part, by quality."""

from __future__ import annotations

import numpy as np

from reid.records import PartEmbeddings


def pool(crops: PartEmbeddings) -> PartEmbeddings:
    """Pool N crops to one: f_k = sum_t q_k^t f_k^t / sum_t q_k^t, and g~_k alike.

    The pooled quality is the quality-weighted mean sum q^2 / sum q: legs seen
    well in one frame keep their weight though ten others hid them.

    Raises:
        ValueError: if there is no crop.
    """
    if not len(crops):
        raise ValueError("no crop to pool")
    quality = crops.quality.astype(np.float64)
    total = np.maximum(quality.sum(0), 1e-12)
    weights = (quality / total)[..., None]
    return PartEmbeddings(
        (weights * crops.parts).sum(0, keepdims=True).astype(np.float32),
        (weights * crops.global_parts).sum(0, keepdims=True).astype(np.float32),
        ((quality**2).sum(0) / total)[None].astype(np.float32),
        crops.fingerprint,
    )
