"""One query against a gallery, part by part, and how much of the memory's bandwidth it uses.

    python -m benchmarks.query [--device cuda] [--rounds 100] [--size 17661]

The query is one crop: embedded by the shipped model, searched by Eq. 2 over all
rows, the first 30 re-ordered by Eq. 15. The gallery is synthetic (speed does
not depend on whose vectors they are). The limit is the machine's own: the
fastest of several plain reads of 1 GiB, in turn with the searches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.common import print_table
from benchmarks.synthetic import Spread
from reid.embedding import Embedder
from reid.hardware import resolve_device
from reid.index.gallery import GalleryIndex
from reid.index.rows import Units
from reid.index.search import nearest, reorder, shortlist
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings

SIZE = 17_661  # the gallery of the paper's timing
TOP_N = 30
GAMMA = 0.6
REACH = {"cpu": 60.0, "cuda": 3.0}  # milliseconds
READ = 2**30  # bytes of the array whose reading is the limit


@dataclass(frozen=True)
class Times:
    """Seconds of each round, per part of the query."""

    parts: dict[str, list[float]]

    def milliseconds(self, part: str, percent: float) -> float:
        """A percentile of a part's rounds."""
        return 1e3 * float(np.percentile(self.parts[part], percent))


def clock(work: Callable[[], object], device: str) -> float:
    """Seconds that `work` takes; on CUDA between two events, the host's part included."""
    if not device.startswith("cuda"):
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    work()
    after.record()
    torch.cuda.synchronize()
    return float(before.elapsed_time(after)) / 1e3


def readers(device: str) -> dict[str, Callable[[], object]]:
    """Ways to read READ bytes once; the fastest is the limit."""
    # Written to: pages of untouched zeros would all be one page, which the cache holds.
    half = torch.full((READ // 2 // 1536, 1536), 0.5, dtype=torch.float16, device=device)
    single = half.view(torch.float32)
    vector = torch.ones(1536, dtype=torch.float16, device=device)
    ways: dict[str, Callable[[], object]] = {
        "sum of float32": lambda: single.sum(),
        "maximum of float32": lambda: single.amax(),
        "float16 matrix times vector": lambda: half @ vector,
        "float32 matrix times vector": lambda: single @ vector[:768].float(),
    }
    if not device.startswith("cuda"):
        ways["numpy sum of int64"] = single.numpy().view(np.int64).sum
    return ways


def bandwidth(ways: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Bytes per second of each way, once."""
    return {name: READ / clock(work, device) for name, work in ways.items()}


def fill(k: int, d: int, size: int, device: str) -> tuple[GalleryIndex, PartEmbeddings]:
    """A gallery, and 64 probes like it."""
    index = GalleryIndex(GAMMA, TOP_N, device=device, capacity=size)
    rng = np.random.default_rng(0)
    spread = Spread.default(k, d)
    for block in spread.draw(rng, size):
        index.add(block)
    return index, next(iter(spread.draw(rng, 64)))


def search_times(
    index: GalleryIndex, probe: PartEmbeddings, device: str
) -> tuple[float, float, float]:
    """Seconds of stage 1, of stage 2, and of the public call that does both."""
    store, parts = index._rows, index._rows.snapshot()
    units = Units.of(probe, index.device)
    found = []

    def first() -> None:
        found.append(nearest(store, parts, units, shortlist(parts, units, TOP_N), TOP_N))

    one = clock(first, device)
    two = clock(lambda: reorder(store, parts, units, found[0], TOP_N, GAMMA), device)
    return one, two, clock(lambda: index.search(probe, TOP_N), device)


def measure(
    k: int, d: int, size: int, rounds: int, device: str, embedder: Embedder
) -> tuple[Times, float, float]:
    """Times, bytes a scan reads, and the bandwidth measured between the searches."""
    index, probes = fill(k, d, size, device)
    crop = np.random.default_rng(0).integers(0, 255, (128, 64, 3), dtype=np.uint8)
    ways = readers(device)
    names = ("embed", "stage 1", "stage 2", "both stages", "total")
    times: dict[str, list[float]] = {name: [] for name in names}
    limit: list[float] = []
    for turn in range(rounds + 3):
        probe = probes[turn % len(probes)]
        embed = clock(lambda: embedder.embed([crop]), device)
        values = (embed, *search_times(index, probe, device))
        if turn % 10 == 0:
            limit.append(max(bandwidth(ways, device).values()))
        if turn >= 3:  # the first ones warm up
            for name, value in zip(names, (*values, embed + values[-1]), strict=True):
                times[name].append(value)
    return Times(times), float(index.scan_bytes), max(limit)


def rows_of(name: str, times: Times, scanned: float, limit: float) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for part in times.parts:
        share = ""
        if part == "stage 1":
            share = f"{scanned / (times.milliseconds(part, 50) / 1e3) / limit:.2f}"
        rows.append((name, part, f"{times.milliseconds(part, 50):.2f}",
                     f"{times.milliseconds(part, 95):.2f}", share))  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--size", type=int, default=SIZE, help="gallery images")
    parser.add_argument("--threads", type=int, default=2, help="of torch, on the CPU")
    parser.add_argument("--weights", default="default")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    embedder = Embedder.from_settings(EmbeddingSettings(weights=options.weights, device=device))
    config = embedder.config
    rows: list[Sequence[object]] = []
    limits = []
    shapes = dict.fromkeys([(config.num_parts, config.dim), (6, 1024)])
    for k, d in shapes:
        times, scanned, limit = measure(k, d, options.size, options.rounds, device, embedder)
        rows += rows_of(f"K={k}, d={d}, {scanned / 1e6:.0f} MB", times, scanned, limit)
        limits.append(limit)
    rows.append(("to reach", "total", f"{REACH[device.split(':')[0]]:.0f}", "", ""))
    rows.append(("to reach", "stage 1", "", "", "0.50"))
    header = ("gallery", "part", "p50, ms", "p95, ms", "share of the read bandwidth")
    print_table(
        f"One query against {options.size} images, {device}, embedding by {embedder.description}; "
        f"bandwidth measured: {max(limits) / 1e9:.1f} GB/s",
        header,
        rows,
    )


if __name__ == "__main__":
    main()
