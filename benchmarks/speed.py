"""Frames per second of the whole pipeline beside `ultralytics track`, in one run, in turn.

    python -m benchmarks.speed [--rounds 3]

Both are processes of their own over the same 795 frames of PETS2009 with the
same detector weights. Loading (measured over the first frame of each side) is
taken out of both; everything else counts: decode, detect, track, embed,
match, store here; decode, detect, track there.
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
results = model.track(sys.argv[2], stream=True, tracker="botsort.yaml", classes=[0], verbose=False)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    weights, video = need("models", "yolo26n.pt"), need("footage", "pets_full.avi")
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "c.yaml").write_text(
            f"cameras: [{{id: pets, url: {video}, start_time: '{START}'}}]\n"
        )
        (folder / "p.yaml").write_text(f"detector: {{name: {weights}}}\n")
        for turn in range(options.rounds):
            peer.append(measure(PEER, str(weights), str(video)))
            store = str(folder / f"{turn}.db")
            ours.append(measure(OURS, str(folder / "c.yaml"), str(folder / "p.yaml"), store))
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    rows = [
        ("ultralytics track (YOLO26n, BoT-SORT)", f"{statistics.median(peer):.1f}", 1.0),
        ("crosscam, whole pipeline", f"{statistics.median(ours):.1f}", statistics.median(ratios)),
        ("to reach", "", 2.0),
    ]
    title = f"Frames per second on PETS2009, median of {options.rounds} rounds in turn"
    print_table(title, ("system", "frames/s", "ratio"), rows)


if __name__ == "__main__":
    main()
