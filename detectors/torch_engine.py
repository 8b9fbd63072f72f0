"""Run one network through torch, pictures of one size batched (imports torch: import it late)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from detectors.base import Arrays


class TorchEngine:
    """Runs a network on uint8 pictures; see `Engine`.

    Args:
        module: the network; one input (N, 3, H, W), outputs with a batch axis first.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: `float32`, `float16` or `bfloat16`.
        batch: pictures per call, at most.
        scale: the network's input is `RGB picture * scale + shift`.
        shift: see `scale`.
    """

    def __init__(
        self,
        module: nn.Module,
        device: str,
        precision: str,
        *,
        batch: int,
        scale: float,
        shift: float,
    ) -> None:
        self._device, self._batch = device, batch
        self._scale, self._shift = scale, shift
        self._dtype: torch.dtype = getattr(torch, precision)
        self._module = module.eval().to(device=device, dtype=torch.float32)

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Arrays]:
        """Return the network's outputs, no batch axis, for each (H, W, 3) BGR uint8 picture."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(index)
        results: dict[int, Arrays] = {}
        for indices in by_size.values():
            for start in range(0, len(indices), self._batch):
                chosen = indices[start : start + self._batch]
                outputs = self._infer(np.stack([pictures[i] for i in chosen]))
                for row, index in enumerate(chosen):
                    results[index] = [output[row] for output in outputs]
        return [results[index] for index in range(len(pictures))]

    def _infer(self, stack: NDArray[np.uint8]) -> Arrays:
        """(B, H, W, 3) BGR uint8 to the outputs, (B, ...) float32 each."""
        kind = torch.device(self._device).type
        half = self._dtype != torch.float32
        # autocast, not a cast of the whole module: box coordinates stay in float32, where half
        # precisions would round them to whole pixels
        with torch.inference_mode(), torch.autocast(kind, self._dtype, enabled=half):
            bgr = torch.from_numpy(stack).to(self._device)
            rgb = bgr.flip(-1).permute(0, 3, 1, 2).float() * self._scale + self._shift
            outputs = self._module(rgb.contiguous())
            if isinstance(outputs, torch.Tensor):
                outputs = (outputs,)
            tensors = [o for o in outputs if isinstance(o, torch.Tensor)]
            return [np.asarray(t.float().cpu().numpy(), np.float32) for t in tensors]
