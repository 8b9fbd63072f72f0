"""What the model saw in an image, and what a pair's distance is made of.

Numbers only, in frozen records: `reid.explain.picture` draws them, a page may
show them in its own way. `ImageEvidence` holds what Figs. 4 and 5 of the paper
show, `PairEvidence` takes Eqs. 2 and 15 apart, part by part.

Shapes: K parts, d dimensions; maps are (rows, columns) of the trunk's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.chance import Chance
from reid.distances import (
    TINY,
    combined_distance,
    global_distance,
    normalised_quality,
    pair_weights,
    part_distance,
    part_distances,
    support,
)
from reid.embedding import Deployed, resize_crop, weights_file
from reid.hardware import resolve_device
from reid.network.attention import attend
from reid.network.checkpoint import load_chance, load_model, load_thresholds
from reid.network.qpm import QPM
from reid.records import FloatArray, PartEmbeddings, check_same_model

MIN_SHARED = 0.5  # as the matcher's matching.min_support: below it, too little in common to tell


class Verdict(StrEnum):
    """What the evidence allows to say about a pair. It looks alike; it never *is* the same."""

    ALIKE = "looks alike"
    POSSIBLY = "possibly alike"
    DIFFERENT = "does not look alike"
    THIN = "not enough in common to tell"


@dataclass(frozen=True, slots=True)
class PartEvidence:
    """One part of a pair, from the top.

    Attributes:
        quality_p: q_k of the first image, 0..1.
        quality_g: q_k of the second image, 0..1.
        distance: d_k, the cosine distance of the two part features, 0..2.
        weight: Eq. 11's q~_k, 0..1: how much the part counts for this pair. Sums to 1.
        share: weight * distance / D_part, 0..1: how much of D_part the part holds. Sums to 1;
            0 for every part where D_part is 0 or the pair shares no quality at all.
    """

    quality_p: float
    quality_g: float
    distance: float
    weight: float
    share: float


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What the distance of two images, or of two pooled tracks, is made of.

    Attributes:
        parts: the K parts, from the top.
        part_distance: D_part of Eq. 2, 0..2.
        global_distance: D_global of Eqs. 9 and 10, 0..2; None where gamma is 1: it does not
            count, or the model has no global feature.
        distance: D of Eq. 15.
        gamma: D_part's share in D.
        support: sum_k q_k^p q_k^g. Means something only beside other pairs of the same model.
        shared: cosine of the two quality vectors, 0..1: do both show the same parts? Of a masked
            probe only over the trusted ones (see `in_common`).
        thresholds: distances calibrated for the model: below the first a pair looks alike, below
            the second possibly. None if the model was not calibrated.
        verdict: None if the model was not calibrated and the evidence is not thin either.
    """

    parts: tuple[PartEvidence, ...]
    part_distance: float
    global_distance: float | None
    distance: float
    gamma: float
    support: float
    shared: float
    thresholds: tuple[float, float] | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, eq=False)
class ImageEvidence:
    """What the model made of one image.

    Attributes:
        embedding: of the image alone (N = 1); what `pair_evidence` takes.
        quality: q_k, 0..1, from the top (Fig. 4). Not calibrated: compare, never threshold.
        weights: q^_k of Eq. 5, 0..1; sums to 1.
        response_before: norm of G at each place (rows, columns) float32; None if the model has
            no global feature.
        response_after: norm of G~ = M * G + G (Eq. 8, Fig. 5); None without attention.
        attention: M of Eq. 7, 0..1 (rows, columns) float32; None without attention.
    """

    embedding: PartEmbeddings
    quality: tuple[float, ...]
    weights: tuple[float, ...]
    response_before: FloatArray | None
    response_after: FloatArray | None
    attention: FloatArray | None


def pair_evidence(
    probe: PartEmbeddings,
    gallery: PartEmbeddings,
    gamma: float,
    thresholds: tuple[float, float] | None = None,
    min_shared: float = MIN_SHARED,
    weights: Sequence[float] | None = None,
) -> PairEvidence:
    """Take the distance of one pair apart (Eqs. 2, 9-11, 15), in float64.

    Args:
        probe: one embedding (N = 1).
        gallery: one embedding (N = 1) of the same model.
        gamma: D_part's share in Eq. 15.
        thresholds: see `PairEvidence.thresholds`.
        min_shared: smallest `shared` that allows a verdict.
        weights: K, 0..1, how far each part of the probe is trusted: its quality is multiplied by
            it. None: each fully.

    Raises:
        FingerprintMismatch: if two models made the embeddings.
        ValueError: if either holds more or less than one.
    """
    if len(probe) != 1 or len(gallery) != 1:
        raise ValueError(f"a pair is one and one embedding, not {len(probe)} and {len(gallery)}")
    check_same_model(probe, gallery)
    parts_p, global_p, quality_p = _doubles(probe)
    parts_g, global_g, quality_g = _doubles(gallery)
    mask = None if weights is None else torch.tensor(tuple(weights), dtype=torch.float64)
    shared = float(in_common(quality_p[0], quality_g, mask)[0])
    if mask is not None:
        quality_p = quality_p * mask
    # Rounding leaves -1e-16 between equal features: hence clamp_min.
    part = part_distance(parts_p, quality_p, parts_g, quality_g).clamp_min(0)
    overall = global_distance(global_p, quality_p, global_g, quality_g).clamp_min(0)
    distance = float(part if gamma == 1 else combined_distance(part, overall, gamma))
    counts = pair_weights(quality_p, quality_g)[0, 0]
    apart = part_distances(parts_p, parts_g)[0, 0].clamp_min(0)
    held = counts * apart
    held = held / held.sum() if held.sum() > 1e-12 else torch.zeros_like(held)
    columns = (quality_p[0], quality_g[0], apart, counts, held)
    return PairEvidence(
        parts=tuple(
            PartEvidence(*values)
            for values in zip(*(column.tolist() for column in columns), strict=True)
        ),
        part_distance=float(part),
        global_distance=None if gamma == 1 else float(overall),
        distance=distance,
        gamma=gamma,
        support=float(support(quality_p, quality_g)),
        shared=shared,
        thresholds=thresholds,
        verdict=_verdict(distance, shared, thresholds, min_shared),
    )


def in_common(quality_p: Tensor, quality_g: Tensor, weights: Tensor | None = None) -> Tensor:
    """How far both show the same of what is trusted: (K,), (G, K), (K,) -> (G,), 0..1.

    It is the cosine of the two quality vectors. A mask is a wish, no lack of sight: so it is laid
    on both, and a picture has all in common with itself. But then a single part, hidden in one of
    them, would be all in common as well: hence times how alike the best trusted part stands to the
    best of all in either. Neither sees the scale of q, which is not calibrated.
    """
    if weights is None:
        return F.cosine_similarity(quality_p[None], quality_g)
    trusted_p, trusted_g = weights * quality_p, weights * quality_g
    cosine = F.cosine_similarity(trusted_p[None], trusted_g)
    shown_p = trusted_p.amax() / quality_p.amax().clamp_min(TINY)
    shown_g = trusted_g.amax(-1) / quality_g.amax(-1).clamp_min(TINY)
    lesser, larger = torch.minimum(shown_p, shown_g), torch.maximum(shown_p, shown_g)
    return cosine * lesser / larger.clamp_min(TINY)


def _verdict(
    distance: float, shared: float, thresholds: tuple[float, float] | None, min_shared: float
) -> Verdict | None:
    if shared < min_shared:
        return Verdict.THIN
    if thresholds is None:
        return None
    if distance < thresholds[0]:
        return Verdict.ALIKE
    return Verdict.POSSIBLY if distance < thresholds[1] else Verdict.DIFFERENT


def _doubles(embedding: PartEmbeddings) -> tuple[Tensor, Tensor, Tensor]:
    arrays = (embedding.parts, embedding.global_parts, embedding.quality)
    parts, overall, quality = (torch.from_numpy(np.asarray(a, np.float64)) for a in arrays)
    return parts, overall, quality


class Explainer:
    """Runs a model in the open: the same numbers as `Embedder`, and the maps on the way.

    Always PyTorch and float32: what is shown to a person is not worth a compiler's minute.

    Attributes:
        config: the model's configuration.
        fingerprint: of the weights.
        thresholds: calibrated for these weights, if they are.
        chance: how near different people come, if that was measured.
    """

    def __init__(
        self,
        model: QPM,
        fingerprint: str,
        thresholds: tuple[float, float] | None = None,
        device: str = "auto",
        *,
        chance: Chance | None = None,
    ) -> None:
        self.config = model.config
        self.fingerprint = fingerprint
        self.thresholds = thresholds
        self.chance = chance
        self._device = resolve_device(device)
        self._deployed = Deployed(model).eval().to(self._device)

    @staticmethod
    def from_weights(weights: str, device: str = "auto") -> Explainer:
        """Load `default` or a file.

        Raises:
            ModelError: if it is missing or does not fit.
        """
        path = weights_file(weights)
        model, fingerprint = load_model(path)
        thresholds = load_thresholds(path, fingerprint)
        return Explainer(
            model, fingerprint, thresholds, device, chance=load_chance(path, fingerprint)
        )

    def image(self, crop: NDArray[np.uint8]) -> ImageEvidence:
        """Explain one crop, (h, w, 3) uint8 BGR of any size.

        Raises:
            DataError: if it is empty or not (h, w, 3) uint8.
        """
        resized = torch.from_numpy(resize_crop(crop, self.config))[None].to(self._device)
        model = self._deployed.model
        with torch.inference_mode(), _outputs(model.global_conv) as g_maps:
            features = model(self._deployed.prepare(resized))
        parts, overall, quality = (
            np.asarray(t.float().cpu().numpy(), np.float32)
            for t in (features.parts, features.global_parts, features.quality)
        )
        attention = features.attention
        return ImageEvidence(
            embedding=PartEmbeddings(parts, overall, quality, self.fingerprint),
            quality=tuple(quality[0].tolist()),
            weights=tuple(normalised_quality(features.quality.float())[0].tolist()),
            response_before=_strength(g_maps[0]) if g_maps else None,
            response_after=None if attention is None else _strength(attend(g_maps[0], attention)),
            attention=None if attention is None else _strength(attention),
        )

    def pair(self, probe: ImageEvidence, gallery: ImageEvidence) -> PairEvidence:
        """Take the distance of two images apart, with this model's gamma and thresholds."""
        return pair_evidence(probe.embedding, gallery.embedding, self.config.gamma, self.thresholds)


@contextmanager
def _outputs(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """What a sub-module puts out while the block runs; nothing if the model lacks it."""
    seen: list[Tensor] = []
    if module is None:
        yield seen
        return
    hook = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()


def _strength(g_map: Tensor) -> FloatArray:
    """Norm over the channels, (1, d, H, W) -> (H, W); of one channel without signs, itself."""
    return np.asarray(g_map[0].float().norm(dim=0).cpu().numpy(), np.float32)
