"""Accuracy on the held-out identities while a model trains."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reid.datasets import Sample, load_images, split_queries
from reid.embedding import Embedder
from reid.evaluation.scores import evaluate
from reid.network.qpm import QPM
from reid.settings import EmbeddingSettings
from reid.training.config import TrainConfig


class HeldOut:
    """The held-out identities' images, decoded; each query is one identity seen by one camera."""

    def __init__(self, samples: Sequence[Sample], config: TrainConfig, device: str) -> None:
        """Split and decode.

        Raises:
            DataError: if an image cannot be decoded.
        """
        self._query, self._gallery = split_queries(samples)
        self._config, self._device = config, device
        size = (config.model.height, config.model.width)
        self._query_crops = list(load_images(self._query, *size)[..., ::-1])
        self._gallery_crops = list(load_images(self._gallery, *size)[..., ::-1])

    def figures(self, model: QPM, epoch: int) -> dict[str, float]:
        """Rank-1 and mAP after a number of epochs, embedded as in use; NaN where it is no turn."""
        config = self._config
        if epoch % config.evaluate_every and epoch != config.epochs:
            return {"rank1": math.nan, "mean_ap": math.nan}
        settings = EmbeddingSettings(device=self._device, backend="torch")
        embedder = Embedder(model, f"epoch {epoch}", settings)
        result = evaluate(
            embedder.embed(self._query_crops),
            embedder.embed(self._gallery_crops),
            self._query,
            self._gallery,
            gamma=config.model.gamma,
            top_n=config.model.top_n,
        )
        return {"rank1": float(result.cmc[0]), "mean_ap": result.mean_ap}
