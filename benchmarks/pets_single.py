"""PETS2009, one camera: the single-camera tracker alone, beside the peer with the same weights.

    python -m benchmarks.pets_single              our tracker; the peer: `YOLO.track`, BoT-SORT
    python -m benchmarks.pets_single --kinds      each of our tracker kinds too

No ReID takes part here: `python -m benchmarks.pets` measures the whole pipeline.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import need, print_table
from benchmarks.mot import evaluate
from detectors import build_detector
from detectors.settings import DetectorSettings
from pipeline.records import Frame
from reid.quiet import no_reports
from trackers.allocator import CountingAllocator
from trackers.gaps import GapFiller
from trackers.records import Detection
from trackers.settings import TrackerSettings
from trackers.single import build_tracker

RATE = 10.0  # frames per second
BATCH = 16
KINDS = ("tracktrack", "bytetrack", "botsort", "ocsort")


def detect(video: Path, weights: Path) -> list[list[Detection]]:
    """Detections of every frame, by our detector with its defaults."""
    import cv2

    detector = build_detector(DetectorSettings(name=str(weights)))
    capture, found, batch = cv2.VideoCapture(str(video)), list[list[Detection]](), list[Frame]()
    while True:
        good, image = capture.read()
        if good:
            index = len(found) + len(batch)
            batch.append(Frame("pets", index, index / RATE, image))
        if batch and (not good or len(batch) == BATCH):
            found += detector.process(batch)
            batch = []
        if not good:
            return found


def track(found: Sequence[list[Detection]], settings: TrackerSettings, out: Path) -> Path:
    """Follow the detections and write MOTChallenge text."""
    tracker = build_tracker(settings, CountingAllocator(), RATE)
    filler = GapFiller(settings.fill)
    lines = []
    for frame, detections in enumerate(found):
        tracked = tracker.update(detections, frame / RATE)
        for number, point in filler.update(frame, frame / RATE, tracked):
            b = point.box
            size = f"{b.left:.2f},{b.top:.2f},{b.width:.2f},{b.height:.2f}"
            lines.append(f"{point.frame + 1},{number},{size},{point.confidence:.3f},-1,-1,-1\n")
    out.write_text("".join(lines))
    return out


def peer(video: Path, weights: Path, out: Path) -> Path:
    """`YOLO.track` with BoT-SORT, all its defaults, as a user would call it."""
    no_reports()
    from ultralytics import YOLO

    lines = []
    results = YOLO(str(weights)).track(
        str(video), tracker="botsort.yaml", classes=[0], stream=True, verbose=False
    )
    for frame, result in enumerate(results, start=1):
        boxes = result.boxes
        if boxes is None or boxes.id is None:
            continue
        for (x, y, w, h), number in zip(boxes.xywh.tolist(), boxes.id.tolist(), strict=True):
            corner = f"{x - w / 2:.2f},{y - h / 2:.2f},{w:.2f},{h:.2f}"
            lines.append(f"{frame},{int(number)},{corner},1,-1,-1,-1\n")
    out.write_text("".join(lines))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", action="store_true", help="each of our tracker kinds")
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out (minutes)")
    options = parser.parse_args()
    video, weights = need("footage", "pets_full.avi"), need("models", "yolo26n.pt")
    truth = need("footage", "pets_full_gt.txt")
    found = detect(video, weights)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.txt"

        def row(name: str, result: Path) -> None:
            e = evaluate(truth, result, len(found))
            scores = [e[key] for key in ("HOTA", "DetA", "AssA", "IDF1", "MOTA")]
            rows.append((name, *scores, int(e["IDSW"]), int(e["tracks"])))

        kinds = KINDS if options.kinds else (TrackerSettings().kind,)
        for kind in kinds:
            settings = TrackerSettings.model_validate({"kind": kind})
            row(f"crosscam, {kind}", track(found, settings, out))
        if not options.no_peer:
            row("Ultralytics track, BoT-SORT", peer(video, weights, out))
    header = ("tracker", "HOTA", "DetA", "AssA", "IDF1", "MOTA", "switches", "tracks")
    print_table("PETS2009 S2L1, one camera, yolo26n.pt", header, rows)


if __name__ == "__main__":
    main()
