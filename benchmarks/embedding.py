"""Crops per second of QPM's embedding beside the bare trunk in the same precision (the limit).

    python -m benchmarks.embedding [--seconds 10]

ResNet-50 at 384x128, last stride 1, d = 256, random weights (speed does not
depend on them). The bare trunk runs through the same engines; ours includes
preprocessing from uint8 and every head.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import print_table
from reid.embedding import Embedder
from reid.hardware import cpu_has_bfloat16
from reid.network.backbones import build_backbone
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.settings import EmbeddingSettings

BATCH = 16


def rate(work: Callable[[], object], seconds: float) -> float:
    """Crops per second of `work`, which handles one batch."""
    work()
    work()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        work()
        count += BATCH
    return count / (time.perf_counter() - begun)


def bare_torch(half: bool) -> Callable[[], object]:
    trunk, _ = build_backbone("resnet50")
    trunk.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = torch.compile(trunk)
    images = torch.randn(BATCH, 3, 384, 128).to(memory_format=torch.channels_last)

    def work() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return compiled(images)

    return work


def bare_openvino(half: bool) -> Callable[[], object]:
    import openvino as ov

    trunk, _ = build_backbone("resnet50")
    model = ov.convert_model(trunk.eval(), example_input=torch.zeros(1, 3, 384, 128))
    model.reshape([BATCH, 3, 384, 128])
    options = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    images = np.random.default_rng(0).normal(size=(BATCH, 3, 384, 128)).astype(np.float32)
    return lambda: request.infer([images])


def ours(backend: str, half: bool) -> Callable[[], object]:
    settings = EmbeddingSettings(
        backend=backend,  # type: ignore[arg-type]
        batch=BATCH,
        precision="bfloat16" if half else "float32",
        device="cpu",
    )
    torch.manual_seed(0)
    model = QPM(ModelConfig(backbone="resnet50", dim=256)).eval()
    embedder = Embedder(model, "benchmark", settings)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (260, 110, 3), dtype=np.uint8) for _ in range(BATCH)]
    return lambda: embedder.embed(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    half = cpu_has_bfloat16()
    precision = "bfloat16" if half else "float32"
    limits = {
        "bare trunk, torch.compile": rate(bare_torch(half), options.seconds),
        "bare trunk, OpenVINO": rate(bare_openvino(half), options.seconds),
    }
    limit = max(limits.values())
    rows: list[tuple[object, ...]] = [
        (n, precision, f"{r:.1f}", r / limit) for n, r in limits.items()
    ]
    for backend in ("compile", "openvino"):
        found = rate(ours(backend, half), options.seconds)
        rows.append((f"QPM, {backend}", precision, f"{found:.1f}", found / limit))
    rows.append(("to reach", "", "", 0.8))
    print_table(
        f"Embedding, ResNet-50 at 384x128, batch {BATCH}",
        ("what", "precision", "crops/s", "share of the faster bare trunk"),
        rows,
    )


if __name__ == "__main__":
    main()
