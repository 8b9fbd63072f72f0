"""A gallery of 1,000,000 tracklets: recall@30 against exact Eq. 2, time, memory, building.

    python -m benchmarks.million [--size 20000] [--like embeddings.npz] [--device cuda]

The tracklets are synthetic, spread like real ones (`benchmarks.synthetic`):
`--like` takes a file that `crosscam embed` made of Market-1501's images. Of the
gallery, 10 in 100 have parts dimmed and 5 in 100 parts cut off. The probes are
further tracklets of its people, as they are, dimmed (a fifth of the hidden
parts' quality is left) and cut off (none). On the CPU FAISS proposes and exact
search is the truth; on CUDA the exact search itself is timed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.common import print_table
from benchmarks.query import clock
from benchmarks.synthetic import BLOCK, HIDDEN, Spread, load, occlude
from reid.hardware import resolve_device
from reid.index.gallery import GalleryIndex
from reid.index.proposals import Recipe
from reid.index.search import Found
from reid.records import PartEmbeddings

N = 30
DIMMED, CUT = 0.10, 0.05  # shares of the gallery
REACH = {"cpu": 20.0, "cuda": 2.0}  # milliseconds


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    recall: float
    seconds: list[float]

    def cells(self) -> Sequence[object]:
        """As text."""
        p50, p95 = (f"{1e3 * np.percentile(self.seconds, p):.2f}" for p in (50, 95))
        return self.what, f"{self.recall:.4f}", p50, p95


def fill(
    spread: Spread, size: int, probes: int, device: str
) -> tuple[GalleryIndex, PartEmbeddings, float]:
    """Draw `size` tracklets, keep some as probes, add the rest; seconds that adding took."""
    rng = np.random.default_rng(0)
    index = GalleryIndex(0.6, 0, device=device, capacity=size)
    blocks = -(-size // BLOCK)
    each = -(-probes // blocks)
    kept, seconds = [], 0.0
    drawn = spread.draw(rng, size)
    for block in track(drawn, "drawing the gallery", total=blocks, console=Console(stderr=True)):
        people = np.arange(0, len(block), spread.tracklets)
        chosen = rng.choice(people, min(each, len(people)), replace=False)
        kept.append(block[chosen])
        gallery = spoil(rng, block[np.delete(np.arange(len(block)), chosen)])
        begun = time.perf_counter()
        index.add(gallery)
        seconds += time.perf_counter() - begun
    return index, PartEmbeddings.concatenate(kept)[slice(0, probes)], seconds


def spoil(rng: np.random.Generator, items: PartEmbeddings) -> PartEmbeddings:
    """Dim a share of the items and cut another."""
    draw = rng.random(len(items))
    parts, quality = items.parts.copy(), items.quality.copy()
    for chosen, left in ((draw < DIMMED, HIDDEN), (draw > 1 - CUT, 0.0)):
        rows = np.flatnonzero(chosen)
        if len(rows):
            worse = occlude(rng, items[rows], left)
            parts[rows], quality[rows] = worse.parts, worse.quality
    return replace(items, parts=parts, global_parts=parts, quality=quality)


def one_by_one(
    index: GalleryIndex, probes: PartEmbeddings, exact: bool, device: str
) -> tuple[list[float], list[Found]]:
    """Seconds and results, a probe at a time; the first three are done twice."""
    found: list[Found] = []
    for i in range(min(3, len(probes))):
        index.search(probes[i], N, exact=exact)
    seconds = [
        clock(lambda i=i: found.append(index.search(probes[i], N, exact=exact)), device)
        for i in range(len(probes))
    ]
    return seconds, found


def recall(found: Found, truth: Found) -> float:
    pairs = zip(found.rows, truth.rows, strict=True)
    return float(np.mean([np.isin(t, f).mean() for f, t in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--like", type=Path, help=".npz of `crosscam embed` on Market-1501")
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--exact", type=int, default=20, help="probes that time the exact search")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=2, help="of torch and FAISS")
    parser.add_argument("--dims", type=int, default=Recipe().dims)
    parser.add_argument("--candidates", type=int, default=Recipe().candidates)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    spread = load(options.like) if options.like else Spread.default()
    index, probes, adding = fill(spread, options.size, options.probes, device)
    rng = np.random.default_rng(1)
    kinds = {"as they are": probes, "dimmed": occlude(rng, probes, HIDDEN),
             "cut off": occlude(rng, probes, 0.0)}  # fmt: skip
    rows: list[Row] = []
    building = 0.0
    if device == "cpu":
        import faiss

        faiss.omp_set_num_threads(options.threads)
        recipe = Recipe(dims=options.dims, candidates=options.candidates, threads=options.threads)
        begun = time.perf_counter()
        with Console(stderr=True).status("building the FAISS index"):
            index.build(recipe)
        building = time.perf_counter() - begun
    console = Console(stderr=True)
    for name, items in track(kinds.items(), "searching", console=console):
        truth = index.search(items, N, exact=True)
        if device == "cpu":
            seconds, found = one_by_one(index, items, False, device)
            rows.append(Row(f"FAISS, probes {name}", recall(Found.join(found), truth), seconds))
        few = items[slice(0, options.exact if device == "cpu" else len(items))]
        seconds, found = one_by_one(index, few, True, device)
        same = Found(truth.rows[: len(few)], *(truth.distance[: len(few)],) * 3)
        rows.append(Row(f"exact, probes {name}", recall(Found.join(found), same), seconds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    k, d = spread.shape
    like = f"like {options.like.name}" if options.like else "default spread"
    reach = ("to reach", "0.9900", f"{REACH[device.split(':')[0]]:.2f}", "")
    print_table(
        f"Gallery of {len(index)} synthetic tracklets, K={k}, d={d}, {like}, {device}",
        ("search", f"recall@{N}", "p50, ms", "p95, ms"),
        [*(row.cells() for row in rows), reach],
    )
    memory = [
        ("rows that an exact search reads, MB", f"{index.scan_bytes / 1e6:.0f}"),
        ("FAISS codes, MB", f"{index.code_bytes / 1e6:.0f}"),
        ("peak memory of this program, GiB (to stay below 16)", f"{peak:.1f}"),
        ("adding the rows, s", f"{adding:.0f}"),
        ("building the FAISS index, s", f"{building:.0f}"),
    ]
    print_table("Memory and building", ("what", "value"), memory)


if __name__ == "__main__":
    main()
