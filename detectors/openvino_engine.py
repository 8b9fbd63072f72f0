"""Run one network on the CPU through OpenVINO, one compiled copy per input size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Arrays
from reid.quiet import no_reports

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)


def cpu_has_bfloat16() -> bool:
    """True where the CPU has bfloat16 in hardware; elsewhere it is far slower than float32."""
    no_reports()
    from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """Runs a network on uint8 pictures, each picture on its own.

    Pictures of one call run beside each other on all cores (OpenVINO's throughput mode), never as
    one tensor: what comes out for a picture does not depend on its neighbours, and sizes may mix.

    Args:
        model: the network; one float input, (N, 3, H, W).
        scale: the network's input is `RGB picture * scale + shift`.
        shift: see `scale`.
        bfloat16: run in bfloat16; only sensible where `cpu_has_bfloat16()`.
    """

    def __init__(
        self,
        model: openvino.Model,
        *,
        scale: float = 1 / 255,
        shift: float = 0.0,
        bfloat16: bool = False,
    ) -> None:
        no_reports()
        from openvino import Core

        self._core = Core()
        self._model = model
        self._scale, self._shift = scale, shift
        self._precision = "bf16" if bfloat16 else "f32"
        self._queues: dict[tuple[int, int], Any] = {}

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Arrays]:
        """Return the network's outputs, no batch axis, for each (H, W, 3) BGR uint8 picture."""
        results: list[Arrays] = [[] for _ in pictures]
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_size.setdefault((picture.shape[0], picture.shape[1]), []).append(index)
        for size, indices in by_size.items():
            queue = self._queue(size)
            queue.set_callback(
                lambda request, index: results[index].extend(
                    np.array(output.data[0], np.float32) for output in request.output_tensors
                )
            )
            for index in indices:
                queue.start_async({0: pictures[index][None]}, index)
            queue.wait_all()
        return results

    def _queue(self, size: tuple[int, int]) -> Any:
        """Compile for an input size, once."""
        if size not in self._queues:
            from openvino import AsyncInferQueue

            compiled = self._core.compile_model(
                self._with_preprocessing(size),
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_PRECISION_HINT": self._precision,
                },
            )
            logger.debug("compiled for %d x %d pixels, %s", size[1], size[0], self._precision)
            self._queues[size] = AsyncInferQueue(compiled)
        return self._queues[size]

    def _with_preprocessing(self, size: tuple[int, int]) -> openvino.Model:
        """A copy of the network that takes one BGR uint8 picture of this size."""
        from openvino import Layout, Type
        from openvino.preprocess import ColorFormat, PrePostProcessor

        model = self._model.clone()
        model.reshape([1, 3, *size])
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
        steps.input().tensor().set_color_format(ColorFormat.BGR)
        chain = steps.input().preprocess().convert_element_type(Type.f32)
        chain = chain.convert_color(ColorFormat.RGB)
        chain.mean(-self._shift / self._scale).scale(1 / self._scale)
        steps.input().model().set_layout(Layout("NCHW"))
        return steps.build()
