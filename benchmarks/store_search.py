"""A store of 1,000,000 tracklets: searchable after a restart, searched, kept up to date.

    python -m benchmarks.store_search [--tracklets 20000] [--folder /tmp/store_search] [--keep]

The tracklets are synthetic, spread like real ones (`benchmarks.synthetic`), seen by 20 cameras at
5 places within 30 days. The store (SQLite, about 7 GB) is filled by bare SQL and deleted at the
end. Each measurement is a process of its own: one starts as the desk does after a restart and is
searched; another follows the store while a third writes 100 tracklets a second into it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.common import ROOT, print_table
from benchmarks.synthetic import BLOCK, FINGERPRINT, HIDDEN, Spread, occlude
from investigation.filters import Filters
from investigation.search.gallery import Match, StoreGallery
from reid.records import PartEmbeddings
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from trackers.records import Box, Tracklet, TrackPoint

T = TypeVar("T")
N = 30
K, D = 6, 256
CAMERAS = [CameraRow(f"camera{i:02}", f"{i}.mp4", f"place{i % 5}") for i in range(20)]
BEGIN, DAYS = 1_700_000_000.0, 30
RATE, REPLACED, SECONDS = 100, 20, 30.0  # tracklets a second, those of them that replace one
FILTERS = {
    "none": None,
    "one place of 5": Filters(places=frozenset({"place1"})),
    "one camera of 20": Filters(cameras=frozenset({"camera03"})),
    "15 days of 30": Filters(start=BEGIN + 86400 * 5, end=BEGIN + 86400 * 20),
    "one hour of 30 days": Filters(start=BEGIN + 86400 * 9, end=BEGIN + 86400 * 9 + 3600),
    "a camera, one day": Filters(
        frozenset({"camera07"}), None, BEGIN + 86400 * 3, BEGIN + 86400 * 4
    ),
}


def fill(folder: Path, size: int) -> str:
    """Make the store with `size` tracklets; returns its URL."""
    url = f"sqlite:///{folder / 'store.db'}"
    with Store.open(url) as store:
        run = store.begin_run({"model": FINGERPRINT}, CAMERAS)
        store.register_model(FINGERPRINT, K, D, {"gamma": 0.6, "top_n": N})
        store.finish_run(run)
    rng = np.random.default_rng(0)
    connection = sqlite3.connect(folder / "store.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = OFF")
    track = 0
    for block in Spread.default(K, D).draw(rng, size):
        connection.execute("BEGIN")
        times = BEGIN + rng.uniform(0, 86400 * DAYS, len(block))
        cameras = rng.integers(0, len(CAMERAS), len(block))
        ids = range(track + 1, track + len(block) + 1)
        connection.executemany(
            "INSERT INTO tracks VALUES (?, ?, ?, ?, ?, ?, 1)",
            ((i, run, CAMERAS[c].id, iso_text(t), iso_text(t + 20), 100)
             for i, c, t in zip(ids, cameras, times, strict=True)),
        )  # fmt: skip
        parts, quality = block.parts.astype("<f2"), block.quality.astype("<f2")
        connection.executemany(
            "INSERT INTO tracklets (track, model, parts, global_parts, quality, revision) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((i, FINGERPRINT, p, p, q, i)  # the global parts are the parts
             for i, p, q in zip(ids, map(bytes, parts), map(bytes, quality), strict=True)),
        )  # fmt: skip
        track += len(block)
        connection.execute(f"UPDATE counters SET next = {track + 1}")
        connection.execute("COMMIT")
        print(f"\rfilled {track}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return url


def probes_like(size: int, count: int) -> PartEmbeddings:
    """Further looks at people of the gallery: its tracklets, moved by half of what two differ."""
    rng = np.random.default_rng(0)
    spread = Spread.default(K, D)
    block = next(iter(spread.draw(rng, min(size, BLOCK))))
    chosen = block[np.random.default_rng(5).choice(len(block), count, replace=False)]
    moved = np.random.default_rng(6).standard_normal((count, len(spread.within)), np.float32)
    parts = chosen.parts + (moved @ spread.within).reshape(chosen.parts.shape)
    return PartEmbeddings(parts, parts, chosen.quality, FINGERPRINT)


def forget(folder: Path) -> None:
    """Drop the store's pages from the kernel's cache: a restart of the machine."""
    for file in folder.glob("store.db*"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak() -> float:
    """GiB of memory that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def percentiles(seconds: list[float]) -> tuple[str, str]:
    p50, p95 = (f"{1e3 * np.percentile(seconds, p):.1f}" for p in (50, 95))
    return p50, p95


def timed(work: Callable[..., T], *arguments: Any, **named: Any) -> tuple[float, T]:
    begun = time.perf_counter()
    result = work(*arguments, **named)
    return time.perf_counter() - begun, result


def tracks(found: list[list[Match]]) -> list[set[int]]:
    return [{match.track for match in matches} for matches in found]


def compare(
    gallery: StoreGallery, probes: PartEmbeddings, where: Filters | None
) -> tuple[str, ...]:
    """Recall against the exact search, p50 and p95 of both, milliseconds."""
    count = len(probes)
    exact = [
        timed(gallery.search, probes[i], N, where, exact=True)[0] for i in range(min(30, count))
    ]
    quick = [timed(gallery.search, probes[i], N, where) for i in range(count)]
    truth = tracks(gallery.search(probes, N, where, exact=True))
    hits = tracks([found[0] for _, found in quick])
    recall = [len(t & h) / len(t) for t, h in zip(truth, hits, strict=True) if t]
    print(where, f"{peak():.1f} GiB", file=sys.stderr, flush=True)
    return f"{np.mean(recall):.4f}", *percentiles([q[0] for q in quick]), *percentiles(exact)


def restart(url: str, size: int, count: int, begun: float) -> dict[str, Any]:
    """As the desk starts: open, read, search; then FAISS; then searches behind each filter."""
    gallery = StoreGallery(StoreReader.open(url))
    gallery.refresh()
    loaded, cpu = time.time() - begun, time.process_time()
    if not count:
        return {"loaded": loaded}
    probes = probes_like(size, count)
    first, _ = timed(gallery.search, probes[0], N)
    meanwhile = [timed(gallery.search, probes[i], N)[0] for i in range(10)]
    gallery.wait()
    for where in FILTERS.values():
        gallery.search(probes[0], N, where)
        gallery.search(probes[0], N, where, exact=True)
    ready = peak()
    hidden = occlude(np.random.default_rng(1), probes, HIDDEN)
    rows = [
        (name, what, *compare(gallery, items, where))
        for name, items in (("as they are", probes), ("dimmed", hidden))
        for what, where in FILTERS.items()
    ]
    return {
        "rows": rows,
        "loaded": loaded,
        "cpu": cpu,
        "load": os.getloadavg()[0],
        "first": first,
        "meanwhile": meanwhile,
        "trained": gallery.trained_seconds,
        "approximate": gallery.approximate,
        "peak": ready,
        "peak_batch": peak(),
    }


def write(url: str, seconds: float) -> dict[str, Any]:
    """Put `RATE` tracklets a second for some seconds; prints `track time` as each is put."""
    rng = np.random.default_rng(9)
    late = next(iter(Spread.default(K, D).draw(rng, RATE * 50)))
    with Store.open(url) as store:
        run = store.begin_run({"model": FINGERPRINT}, CAMERAS)
        store.register_model(FINGERPRINT, K, D, {"gamma": 0.6, "top_n": N})
        ids, written = store.track_allocator(), list[int]()
        begun = time.monotonic()
        for i in range(int(RATE * seconds)):
            time.sleep(max(begun + i / RATE - time.monotonic(), 0))
            again = len(written) > RATE and i % RATE < REPLACED
            track = written[-RATE] if again else ids.next_id()
            written.append(track)
            moment = BEGIN + 86400 * DAYS + i / RATE
            point = TrackPoint(i, moment, Box(0, 0, 40, 100), 0.9)
            camera = CAMERAS[track % len(CAMERAS)].id
            tracklet = Tracklet(
                track, camera, moment, moment + 10, point, point, 1, late[i % len(late)], ()
            )
            print(track, time.time(), flush=True)
            store.save_tracklet(run, tracklet)
        took = time.monotonic() - begun
        store.finish_run(run)
    return {"rate": RATE * seconds / took}


def follow(url: str, size: int, folder: Path) -> dict[str, Any]:
    """Refresh and search in turn while another process writes."""
    reader = StoreReader.open(url)
    gallery = StoreGallery(reader)
    gallery.refresh()
    probes, known = probes_like(size, 100), gallery.revision
    for i in range(2):  # the second one starts FAISS
        gallery.search(probes[i], N)
    gallery.wait()
    with (folder / "written.txt").open("w") as out:
        writer = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.store_search", "--step", "write", "--url", url],
            stdout=out, cwd=ROOT,
        )  # fmt: skip
    seen: list[tuple[int, float]] = []
    refreshes, searches, i = [], [], 0
    ended = False
    while not ended:
        ended = writer.poll() is not None
        before = gallery.revision
        refreshes.append(timed(gallery.refresh)[0])
        if gallery.revision > before:
            seen.append((gallery.revision, time.time()))
        searches.append(timed(gallery.search, probes[i % 100], N)[0])
        i += 1
        time.sleep(0.02)
    *lines, summary = (folder / "written.txt").read_text().splitlines()
    puts = [float(line.split()[1]) for line in lines]
    lags, place = [], 0
    for number, put in enumerate(puts):  # the n-th put got revision first + n
        while place < len(seen) and seen[place][0] <= known + number:
            place += 1
        if place < len(seen):
            lags.append(seen[place][1] - put)
    last = [int(line.split()[0]) for line in lines[-300:]]
    stored = reader.embeddings(tracks=last)
    assert stored is not None
    found = gallery.search(stored.embeddings, 1)
    first = np.mean([f[0].track == t for f, t in zip(found, stored.tracks, strict=True)])
    return {
        "written": len(puts),
        **json.loads(summary),
        "lag": lags,
        "search": searches,
        "refresh": refreshes,
        "self": float(first),
        "peak": peak(),
    }


def step(name: str, options: argparse.Namespace, url: str) -> dict[str, Any]:
    """Run one measurement as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.store_search", "--step", name, "--url", url]
    command += ["--tracklets", str(options.tracklets), "--folder", str(options.folder)]
    command += ["--probes", str(options.probes), "--threads", str(options.threads)]
    command += ["--begun", str(time.time())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(options: argparse.Namespace, cold: dict[str, Any], warm: dict[str, Any],
           live: dict[str, Any], size: float) -> None:  # fmt: skip
    begin = [
        ("size of the store, GB", f"{size / 1e9:.1f}"),
        ("searchable after a restart, file not in the kernel's cache, s", f"{cold['loaded']:.1f}"),
        ("searchable after a restart, file in the kernel's cache, s", f"{warm['loaded']:.1f}"),
        ("of which work of both cores together, s", f"{warm['cpu']:.1f}"),
        ("first search, s", f"{warm['first']:.2f}"),
        ("search while FAISS trains, p50 and p95, ms", " / ".join(percentiles(warm["meanwhile"]))),
        ("FAISS ready after, s more", f"{warm['trained']:.1f}"),
        ("peak memory of the process, GiB", f"{warm['peak']:.1f}"),
        ("the same, after exact searches of all probes at once", f"{warm['peak_batch']:.1f}"),
        ("load of the machine, everything that ran (the benchmark: 2)", f"{warm['load']:.1f}"),
    ]
    print_table(f"A store of {options.tracklets} tracklets, K={K}, d={D}, SQLite, "
                f"{options.threads} threads: restart", ("what", "value"), begin)  # fmt: skip
    header = ("probes", "filter", f"recall@{N}", "p50, ms", "p95, ms", "exact p50, ms",
              "exact p95, ms")  # fmt: skip
    print_table(f"Searches, first {N}, both stages", header, warm["rows"])
    follows = [
        ("tracklets written, a second", f"{live['rate']:.1f}"),
        ("of which replace an earlier one", f"{REPLACED / RATE:.0%}"),
        ("put until findable, p50 and p95, ms", " / ".join(percentiles(live["lag"]))),
        ("search meanwhile, p50 and p95, ms", " / ".join(percentiles(live["search"]))),
        ("refresh, p50 and p95, ms", " / ".join(percentiles(live["refresh"]))),
        ("last 300 written are their own first hit", f"{live['self']:.3f}"),
        ("peak memory of the process, GiB", f"{live['peak']:.1f}"),
    ]
    print_table("Kept up to date while another process writes", ("what", "value"), follows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracklets", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2, help="of torch and FAISS")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/store_search"))
    parser.add_argument("--keep", action="store_true", help="do not delete the store; use it again")
    parser.add_argument("--step", choices=["restart", "write", "follow"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options)))
        return
    folder = options.folder
    file = folder / "store.db"
    if not (options.keep and file.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fill(folder, options.tracklets)
    url = f"sqlite:///{file}"
    size = file.stat().st_size
    try:
        forget(folder)
        cold = step("restart", argparse.Namespace(**{**vars(options), "probes": 0}), url)
        warm = step("restart", options, url)
        live = step("follow", options, url)
        report(options, cold, warm, live, size)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def run_step(options: argparse.Namespace) -> dict[str, Any]:
    import faiss
    import torch

    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    if options.step == "write":
        return write(options.url, SECONDS)
    if options.step == "follow":
        return follow(options.url, options.tracklets, options.folder)
    return restart(options.url, options.tracklets, options.probes, options.begun)


if __name__ == "__main__":
    main()
