"""Crops per second of QPM's embedding beside the bare trunk in the same precision (the limit).

    python -m benchmarks.embedding [--device cuda] [--seconds 10]

ResNet-50 at 384x128, last stride 1, d = 256, random weights (speed does not
depend on them). The bare trunk runs through the same engines; ours includes
preprocessing from uint8 and every head. `crops on the device` leaves out
resizing and the copies from and to the host, `Embedder` has them. On CUDA and
with `--matrix-peak` each rate also comes as the share of the fastest product
of two 8192 x 8192 matrices measured in this run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import print_table
from reid.embedding import Deployed, Embedder
from reid.hardware import has_fast_bfloat16, resolve_device
from reid.network.backbones import build_backbone
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.settings import EmbeddingSettings

BATCH = {"cpu": 16, "cuda": 256}
REACH = {"cpu": "0.8 of the bare trunk", "cuda": "10,000 crops/s"}
PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # rows of the matrices whose product is the peak

Work = Callable[[], object]


def rate(work: Work, count: int, seconds: float, device: str) -> float:
    """Crops per second of `work`, which handles `count` of them."""

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(3):
        work()
    wait()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        work()
        work()
        wait()
        done += 2 * count
    return done / (time.perf_counter() - begun)


def matrix_peak(device: str, half: bool, seconds: float) -> float:
    """Operations per second of a plain matrix product, random data."""
    kind = torch.bfloat16 if half else torch.float32
    size = PEAK_SIZE[torch.device(device).type]
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 * rate(lambda: left @ right, 1, seconds, device)


def operations(model: nn.Module, crop: torch.Tensor) -> float:
    """Floating-point operations of one crop, a multiplication with its addition being two."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(crop)
    return float(counter.get_total_flops())


def on_device(model: nn.Module, batch: torch.Tensor, device: str, half: bool) -> Work:
    """The compiled model over one batch that lies on the device already."""
    compiled = torch.compile(model.to(device))
    batch = batch.to(device)
    kind = torch.device(device).type

    def work() -> object:
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=half):
            return compiled(batch)

    return work


def bare_openvino(trunk: nn.Module, images: torch.Tensor, half: bool) -> Work:
    """The trunk in OpenVINO, on the CPU."""
    import openvino as ov

    model = ov.convert_model(trunk, example_input=images[:1])
    model.reshape(list(images.shape))
    options = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    array = images.numpy()
    return lambda: request.infer([array])


def embedder(model: QPM, backend: str, batch: int, half: bool, device: str) -> Work:
    """The public call: a list of crops in host memory in, arrays out."""
    settings = EmbeddingSettings(
        backend=backend,  # type: ignore[arg-type]
        batch=batch,
        precision="bfloat16" if half else "float32",
        device=device,
    )
    ready = Embedder(model, "benchmark", settings)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (260, 110, 3), dtype=np.uint8) for _ in range(batch)]
    return lambda: ready.embed(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    parser.add_argument("--batch", type=int, help="default: 16 on the CPU, 256 on CUDA")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--matrix-peak", action="store_true", help="on the CPU too")
    options = parser.parse_args()
    device = resolve_device(options.device)
    kind = torch.device(device).type
    half, batch = has_fast_bfloat16(device), options.batch or BATCH[kind]
    precision = "bfloat16" if half else "float32"

    torch.manual_seed(0)
    model = QPM(ModelConfig(backbone=options.backbone, dim=256)).eval()
    trunk = build_backbone(options.backbone)[0].eval()
    trunk.to(memory_format=torch.channels_last)
    deployed = Deployed(model).eval()
    deployed.model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, 384, 128).to(memory_format=torch.channels_last)
    crops = torch.randint(0, 256, (batch, 384, 128, 3), dtype=torch.uint8)
    cost = operations(deployed, crops[:1])

    ways: dict[str, Callable[[], Work]] = {
        "bare trunk, torch.compile": lambda: on_device(trunk, images, device, half),
    }
    if kind == "cpu":
        ways["bare trunk, OpenVINO"] = lambda: bare_openvino(trunk, images, half)
    ways["QPM, compile, crops on the device"] = lambda: on_device(deployed, crops, device, half)
    for backend in ("compile",) if kind == "cuda" else ("compile", "openvino"):
        ways[f"QPM, {backend}, Embedder"] = lambda backend=backend: embedder(  # type: ignore[misc]
            model, backend, batch, half, device
        )
    rates = {n: rate(make(), batch, options.seconds, device) for n, make in ways.items()}
    limit = max(r for name, r in rates.items() if name.startswith("bare"))
    peak = None
    if kind == "cuda" or options.matrix_peak:
        peak = matrix_peak(device, half, options.seconds)
    rows: list[tuple[object, ...]] = [
        (name, precision, f"{r:.1f}", r / limit, r * cost / peak if peak else "")
        for name, r in rates.items()
    ]
    rows.append(("to reach", "", REACH[kind], "", ""))
    title = (
        f"Embedding, {options.backbone} at 384x128, batch {batch}, {cost / 1e9:.1f} GFLOP a crop"
    )
    if peak:
        title += f", matrix product {peak / 1e12:.2f} TFLOP/s"
    print_table(
        title,
        ("what", "precision", "crops/s", "share of the faster bare trunk", "share of the peak"),
        rows,
    )


if __name__ == "__main__":
    main()
