"""PETS2009: identities on one camera and over two, beside the peers.

    python -m benchmarks.pets            figures 1 and 2
    python -m benchmarks.pets --peers    measure the peers too (minutes longer)

One setting for both, the shipped defaults. The tracker's kind and thresholds were compared on PETS
among other footage; the matcher's threshold and the price of waiting come from held-out Market-1501
people; that tracks of one camera are not linked directly was decided after seeing PETS.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import export_mot, need, print_table, run_pipeline
from benchmarks.mot import evaluate, evaluate_cameras

FRAMES = 795
# Measured by the author with the same files and trackeval.
STATED = {
    "one": ("Ultralytics track, BoT-SORT (stated)", 0.553, 0.691, 0.837, 38),
    "two": ("ByteTrack + OSNet x0.25 + nearest link (stated)", 0.508, 0.619, "", ""),
}


def pipeline_config(weights: str) -> dict[str, object]:
    """The defaults, with the detector that the peers use."""
    return {
        "detector": {"name": str(need("models", "yolo26n.pt"))},
        "embedding": {"weights": weights},
    }


def row(name: str, scores: dict[str, float]) -> tuple[object, ...]:
    return (name, scores["HOTA"], scores["IDF1"], scores["MOTA"], int(scores["IDSW"]))


def one_camera(folder: Path, weights: str) -> tuple[object, ...]:
    """Figure 1."""
    videos = {"pets": need("footage", "pets_full.avi")}
    result = run_pipeline(folder, videos, pipeline_config(weights), "one")
    found = export_mot(result.store, folder / "one")
    return row(
        "crosscam", evaluate(need("footage", "pets_full_gt.txt"), found / "pets.txt", FRAMES)
    )


def two_cameras(folder: Path, weights: str) -> tuple[object, ...]:
    """Figure 2: identities global over both cameras."""
    videos = {n: need("footage", f"pets_{n}.mp4") for n in ("left", "right")}
    result = run_pipeline(folder, videos, pipeline_config(weights), "two")
    found = export_mot(result.store, folder / "two")
    files = {n: (need("footage", f"pets_{n}_gt.txt"), found / f"{n}.txt") for n in videos}
    return row("crosscam", evaluate_cameras(files, dict.fromkeys(videos, FRAMES)))


def ultralytics_track(folder: Path) -> tuple[object, ...]:
    """The peer of figure 1, measured here: `YOLO.track` with BoT-SORT and its defaults."""
    from ultralytics import YOLO

    lines = []
    model = YOLO(str(need("models", "yolo26n.pt")))
    video = str(need("footage", "pets_full.avi"))
    results = model.track(
        video, stream=True, tracker="botsort.yaml", classes=[0], verbose=False, conf=0.1
    )
    for frame, found in enumerate(results, start=1):
        if found.boxes is None or found.boxes.id is None:
            continue
        for box, track, confidence in zip(
            found.boxes.xyxy.tolist(),
            found.boxes.id.tolist(),
            found.boxes.conf.tolist(),
            strict=True,
        ):
            left, top, right, bottom = box
            size = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
            lines.append(f"{frame},{int(track)},{size},{confidence:.3f},-1,-1,-1\n")
    out = folder / "peer.txt"
    out.write_text("".join(lines))
    return row(
        "Ultralytics track, BoT-SORT (measured)",
        evaluate(need("footage", "pets_full_gt.txt"), out, FRAMES),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="measure the peer of figure 1 too")
    parser.add_argument("--weights", default="default", help="a model file and its calibration")
    parser.add_argument("--two", action="store_true", help="figure 2 alone")
    options = parser.parse_args()
    header = ("system", "HOTA", "IDF1", "MOTA", "switches")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.two:
            rows = [STATED["one"]]
            if options.peers:
                rows.append(ultralytics_track(folder))
            rows += [one_camera(folder, options.weights), ("to reach", 0.58, 0.75, 0.83, "")]
            print_table("PETS2009 S2L1, one camera", header, rows)
        rows = [STATED["two"], two_cameras(folder, options.weights), ("to reach", "", 0.80, "", "")]
        print_table("PETS2009 S2L1 cut into two cameras, global identities", header, rows)


if __name__ == "__main__":
    main()
