"""Score MOTChallenge files against ground truth with trackeval: HOTA, CLEAR and identity metrics.

from benchmarks.mot import evaluate, evaluate_cameras
evaluate(Path("pets_full_gt.txt"), Path("out/pets.txt"))["IDF1"]
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = list[str]
NAME = "scene"


def evaluate(ground_truth: Path, result: Path, frames: int | None = None) -> dict[str, float]:
    """Score one camera.

    Args:
        ground_truth: MOTChallenge text, `frame, id, left, top, width, height, 1, 1, visibility`.
        result: MOTChallenge text, `frame, id, left, top, width, height, confidence, -1, -1, -1`.
        frames: length of the sequence; None takes the last frame that either file names.

    Returns:
        HOTA, DetA, AssA, IDF1, IDP, IDR, MOTA, Recall, Precision (0..1), IDSW, Frag, FP, FN, tracks
        (counts).
    """
    return evaluate_cameras({"camera": (ground_truth, result)}, {"camera": frames})


def evaluate_cameras(
    files: Mapping[str, tuple[Path, Path]], frames: Mapping[str, int | None] | None = None
) -> dict[str, float]:
    """Score several cameras as one, with global identities: splitting a person over cameras costs.

    The cameras' sequences are laid one after the other in time with their ids kept, so trackeval
    matches each true identity with one found identity over all cameras.

    Args:
        files: camera -> (ground truth, result), as in `evaluate`; ids mean the same in every file.
        frames: camera -> length of its sequence; None or missing takes the last frame named.
    """
    truth: list[Row] = []
    found: list[Row] = []
    offset = 0
    for camera, (truth_file, found_file) in files.items():
        truth_rows, found_rows = read_rows(truth_file), read_rows(found_file)
        length = (frames or {}).get(camera)
        if length is None:
            length = max((int(float(row[0])) for row in truth_rows + found_rows), default=1)
        truth += shifted(truth_rows, offset)
        found += shifted(found_rows, offset)
        offset += length
    return _score(truth, found, offset)


def read_rows(file: Path) -> list[Row]:
    """The fields of each line that is not empty."""
    lines = file.read_text().splitlines()
    return [[field.strip() for field in line.split(",")] for line in lines if line.strip()]


def shifted(rows: Sequence[Row], offset: int) -> list[Row]:
    """The rows with `offset` added to their frame."""
    return [[str(int(float(row[0])) + offset), *row[1:]] for row in rows]


def _score(truth: list[Row], found: list[Row], frames: int) -> dict[str, float]:
    """Lay the files out as trackeval wants them and run it."""
    from trackeval import Evaluator
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        root = Path(scratch)
        _write(root / "gt" / NAME / "gt" / "gt.txt", truth)
        _write(root / "found" / "ours" / "data" / f"{NAME}.txt", found)
        data = MotChallenge2DBox(
            {
                "GT_FOLDER": str(root / "gt"),
                "TRACKERS_FOLDER": str(root / "found"),
                "TRACKERS_TO_EVAL": ["ours"],
                "SEQ_INFO": {NAME: frames},
                "SKIP_SPLIT_FOL": True,
                "PRINT_CONFIG": False,
            }
        )
        evaluator = Evaluator(
            {
                "PRINT_RESULTS": False,
                "PRINT_CONFIG": False,
                "TIME_PROGRESS": False,
                "OUTPUT_SUMMARY": False,
                "OUTPUT_DETAILED": False,
                "PLOT_CURVES": False,
                "BREAK_ON_ERROR": True,
                "LOG_ON_ERROR": None,
            }
        )
        quiet = {"PRINT_CONFIG": False}
        results, _ = evaluator.evaluate([data], [HOTA(), CLEAR(quiet), Identity(quiet)])
    scores = results["MotChallenge2DBox"]["ours"][NAME]["pedestrian"]
    hota, clear, identity = scores["HOTA"], scores["CLEAR"], scores["Identity"]
    return {
        **{key: float(hota[key].mean()) for key in ("HOTA", "DetA", "AssA")},
        **{key: float(identity[key]) for key in ("IDF1", "IDP", "IDR")},
        "MOTA": float(clear["MOTA"]),
        "Recall": float(clear["CLR_Re"]),
        "Precision": float(clear["CLR_Pr"]),
        "IDSW": int(clear["IDSW"]),
        "Frag": int(clear["Frag"]),
        "FP": int(clear["CLR_FP"]),
        "FN": int(clear["CLR_FN"]),
        "tracks": len({row[1] for row in found}),
    }


def _write(file: Path, rows: Sequence[Row]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("".join(",".join(row) + "\n" for row in rows))
