"""Frames per second of the whole pipeline beside `ultralytics track`, in one run, in turn.

    python -m benchmarks.speed [--rounds 3] [--device cuda] [--cameras 1 4 16]

Both are processes of their own over the same 795 frames of PETS2009 with the
same detector weights. Loading (measured over the first frame of each side) is
taken out of both; everything else counts: decode, detect, track, embed,
match, store here; decode, detect, track there. With several cameras the same
file is read as many times; the peer then stays at one, and the ratio is of
frames over all cameras.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import ROOT, START, need, print_table

FRAMES = 795

PEER = """
import json, sys, time
from ultralytics import YOLO
model = YOLO(sys.argv[1])
results = model.track(sys.argv[2], stream=True, tracker="botsort.yaml", classes=[0], verbose=False,
                      device=None if sys.argv[3] == "auto" else sys.argv[3])
next(results)
begun, count = time.perf_counter(), 0
for _ in results:
    count += 1
print(json.dumps({"fps": count / (time.perf_counter() - begun)}))
"""

OURS = """
import json, sys, threading, time
from pathlib import Path
from pipeline.config import load_cameras, load_pipeline
from pipeline.run_command import load_models
from pipeline.runner import Runner
from storage.store import Store
cameras, config = load_cameras(Path(sys.argv[1])), load_pipeline(Path(sys.argv[2]))
with Store.open("sqlite:///" + sys.argv[3]) as store:
    detector, embedder, config = load_models(config)
    marks = []
    runner = Runner(cameras.enabled, config, detector, embedder, store, stop=threading.Event(),
                    watch=lambda status: marks.append((time.perf_counter(), status.frames)))
    runner.run()
    end = time.perf_counter()
first, last = marks[0], marks[-1]
print(json.dumps({"fps": (last[1] - first[1]) / (end - first[0])}))
"""


def measure(program: str, *arguments: str) -> float:
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if result.returncode:
        sys.exit(result.stderr)
    return float(json.loads(result.stdout.strip().splitlines()[-1])["fps"])


def configurations(
    folder: Path, video: Path, weights: Path, device: str, cameras: int
) -> list[str]:
    """Write both YAML files for `cameras` readers of one video; their paths."""
    entries = ", ".join(
        f"{{id: pets{n}, url: {video}, start_time: '{START}'}}" for n in range(cameras)
    )
    files = [folder / f"{cameras}.cams.yaml", folder / f"{cameras}.pipeline.yaml"]
    files[0].write_text(f"cameras: [{entries}]\n")
    files[1].write_text(
        f"detector: {{name: {weights}, device: {device}}}\nembedding: {{device: {device}}}\n"
    )
    return [str(file) for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1], help="how many at once")
    options = parser.parse_args()
    weights, video = need("models", "yolo26n.pt"), need("footage", "pets_full.avi")
    peer: list[float] = []
    ours: dict[int, list[float]] = {count: [] for count in options.cameras}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(options.rounds):
            peer.append(measure(PEER, str(weights), str(video), options.device))
            for count, found in ours.items():
                files = configurations(folder, video, weights, options.device, count)
                found.append(measure(OURS, *files, str(folder / f"{turn}-{count}.db")))
    rows: list[tuple[object, ...]] = [
        ("ultralytics track (YOLO26n, BoT-SORT)", 1, f"{statistics.median(peer):.1f}", 1.0)
    ]
    for count, found in ours.items():
        ratio = statistics.median(a / b for a, b in zip(found, peer, strict=True))
        rows.append(("crosscam, whole pipeline", count, f"{statistics.median(found):.1f}", ratio))
    rows.append(("to reach", 1, "", 2.0))
    title = f"Frames per second on PETS2009, median of {options.rounds} rounds in turn"
    print_table(title, ("system", "cameras", "frames/s", "ratio"), rows)


if __name__ == "__main__":
    main()
