"""The scorer of the benchmarks, on hand-made cases whose result is known."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trackeval", reason="trackeval is in the extra 'bench'")

from benchmarks.mot import evaluate, evaluate_cameras

Rows = list[tuple[int, int, int]]  # frame, id, left


def write(file: Path, rows: Rows) -> Path:
    file.write_text("".join(f"{f},{i},{x},10,20,50,1,1,1\n" for f, i, x in rows))
    return file


def walk(identity: int, left: int, frames: range) -> Rows:
    return [(frame, identity, left) for frame in frames]


TRUTH = walk(1, 0, range(1, 11)) + walk(2, 100, range(1, 11))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # other ids, everything right
        (walk(7, 0, range(1, 11)) + walk(8, 100, range(1, 11)), {"IDF1": 1, "HOTA": 1, "IDSW": 0}),
        # half of one person missed: 15 of 20 boxes found, none wrong
        (
            walk(7, 0, range(1, 11)) + walk(8, 100, range(1, 6)),
            {"MOTA": 0.75, "FN": 5, "IDF1": 30 / 35},
        ),
        # one person's track breaks in the middle: one switch; 5 boxes under a second id
        (
            walk(7, 0, range(1, 11)) + walk(8, 100, range(1, 6)) + walk(9, 100, range(6, 11)),
            {"IDSW": 1, "MOTA": 0.95, "IDF1": 0.75, "tracks": 3},
        ),
        # somebody who is not there
        (TRUTH + walk(9, 300, range(1, 11)), {"FP": 10, "MOTA": 0.5, "IDF1": 0.8}),
    ],
)
def test_one_camera(tmp_path: Path, found: Rows, expected: dict[str, float]) -> None:
    scores = evaluate(write(tmp_path / "gt.txt", TRUTH), write(tmp_path / "found.txt", found))
    assert {key: scores[key] for key in expected} == pytest.approx(expected)


def test_identities_are_global_over_cameras(tmp_path: Path) -> None:
    """One person on two cameras: one id on both is perfect, two ids cost half the identity."""
    truth = write(tmp_path / "gt.txt", walk(1, 0, range(1, 11)))
    one = write(tmp_path / "one.txt", walk(5, 0, range(1, 11)))
    other = write(tmp_path / "other.txt", walk(6, 0, range(1, 11)))
    same = evaluate_cameras({"a": (truth, one), "b": (truth, one)})
    split = evaluate_cameras({"a": (truth, one), "b": (truth, other)})
    assert same["IDF1"] == pytest.approx(1)
    assert split["IDF1"] == pytest.approx(0.5)
    assert split["MOTA"] == pytest.approx(0.95)


def test_no_result_at_all(tmp_path: Path) -> None:
    scores = evaluate(write(tmp_path / "gt.txt", TRUTH), write(tmp_path / "found.txt", []))
    assert scores["IDF1"] == 0
    assert scores["FN"] == 20
