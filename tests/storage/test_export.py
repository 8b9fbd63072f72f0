"""Exports, read back with other tools than those that wrote them."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reid.errors import DataError, StoreError
from run_pipeline import main
from storage.audit import entries, person_at_terminal
from storage.export.files import export
from storage.media import safe_name
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON, decision, points
from trackers.records import Box, TrackPoint

ROOT = Path(__file__).parent.parent.parent


def fill(store: Store) -> int:
    """Two cameras; track 3 has no identity; tracks 1 and 4 are one person in frames 2 and 3."""
    run = store.begin_run({}, CAMERAS)
    store.add_points(run, "door", 1, points(4))
    store.add_points(run, "yard", 2, points(3, first=10))
    store.add_points(run, "door", 3, points(2))
    better = [TrackPoint(f, NOON + f / 10, Box(200, 0, 210, 30), 0.9) for f in (2, 3, 4)]
    store.add_points(run, "door", 4, better)
    store.add_points(run, "door", 5, points(1, offset=50))
    for track, identity in ((1, 7), (2, 8), (4, 7), (5, 2)):
        store.link(run, decision(track, identity))
    store.link(run, decision(2, 7, "move", candidate=7, distance=0.125))
    return run


def rows_of(path: Path) -> list[list[float]]:
    with path.open(newline="") as file:
        return [[float(value) for value in row] for row in csv.reader(file)]


def test_mot(url: str, media: Path, tmp_path: Path) -> None:
    out = tmp_path / "mot"
    with Store.open(url, media) as store:
        store.finish_run(fill(store))
        report = export(store.reader(), "mot", out)
    assert (report.run, report.duplicates) == (1, 2)
    assert (report.unlinked_tracks, report.unlinked_boxes) == (1, 2)
    assert sorted(p.name for p in out.iterdir()) == ["door.txt", "yard.txt"]
    expected = [
        [1, 2, 60.5, 20.25, 30, 80.5, 0.5],
        [1, 7, 10.5, 20.25, 30, 80.5, 0.5],
        [2, 7, 11.5, 20.25, 30, 80.5, 0.501],
        [3, 7, 200, 0, 10, 30, 0.9],  # the more confident of two boxes
        [4, 7, 200, 0, 10, 30, 0.9],
        [5, 7, 200, 0, 10, 30, 0.9],
    ]
    assert rows_of(out / "door.txt") == [[*row, -1, -1, -1] for row in expected]
    yard = rows_of(out / "yard.txt")
    assert [row[:2] for row in yard] == [[11, 7], [12, 7], [13, 7]]
    line = re.compile(r"\d+,\d+,-?[\d.]+,-?[\d.]+,[\d.]+,[\d.]+,[\d.]+,-1,-1,-1")
    for text in (out / "door.txt").read_text().splitlines():
        assert line.fullmatch(text)


def test_the_latest_finished_run_is_taken_unless_told(sqlite_url: str, tmp_path: Path) -> None:
    with Store.open(sqlite_url) as store:
        for track, status in ((1, "finished"), (2, "finished"), (3, "failed")):
            run = store.begin_run({}, CAMERAS)
            store.add_points(run, "door", track, points(track))
            store.link(run, decision(track, track))
            store.finish_run(run, status)
        reader = store.reader()
        for asked, taken in ((None, 2), (1, 1), (3, 3)):
            assert export(reader, "mot", tmp_path / "out", asked).run == taken
            assert len(rows_of(tmp_path / "out" / "door.txt")) == taken
            assert (tmp_path / "out" / "yard.txt").read_bytes() == b""
        with pytest.raises(
            StoreError, match=r"has no run 9; it has: 1 \(finished\), 2 \(finished\)"
        ):
            export(reader, "mot", tmp_path / "out", 9)


def test_tables(url: str, media: Path, tmp_path: Path) -> None:
    with Store.open(url, media) as store:
        store.finish_run(fill(store))
        export(store.reader(), "parquet", tmp_path)
        export(store.reader(), "csv", tmp_path)
    seen = pq.read_table(tmp_path / "sightings.parquet").to_pylist()
    assert [(row["identity"], row["camera"], row["track"]) for row in seen] == [
        (2, "door", 5),
        (7, "door", 1),
        (7, "door", 4),
        (7, "yard", 2),
    ]
    assert seen[1]["start"] == datetime.fromtimestamp(NOON, UTC)
    assert seen[3]["place"] is None
    boxes = pq.read_table(tmp_path / "boxes.parquet").to_pylist()
    assert len(boxes) == 13
    assert {row["identity"] for row in boxes if row["track"] == 3} == {None}
    ledger = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert [row["action"] for row in ledger] == ["create"] * 4 + ["move"]
    assert ledger[-1]["distance"] == 0.125

    for name in ("sightings", "boxes", "ledger"):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header == table.column_names
        assert len(rows) == table.num_rows
        for row, other in zip(rows, table.to_pylist(), strict=True):
            for text, value in zip(row, other.values(), strict=True):
                if isinstance(value, datetime):
                    assert datetime.fromisoformat(text) == value
                elif isinstance(value, float):
                    assert float(text) == value
                else:
                    assert text == ("" if value is None else str(value))


def test_the_command(sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(sqlite_url) as store:
        store.finish_run(fill(store))
    out = tmp_path / "out"
    arguments = ["export", "--store", sqlite_url, "--out", str(out), "--format"]
    assert main([*arguments, "mot"]) == 0
    said = capsys.readouterr().out
    assert "run 1 (the latest finished one)" in said
    assert "2 boxes left out" in said
    assert "1 tracks (2 boxes) left out" in said
    assert len(rows_of(out / "door.txt")) == 6
    with StoreReader.open(sqlite_url) as reader:
        [entry] = entries(reader)
    assert (entry.actor, entry.action, entry.subject) == (person_at_terminal(), "export", "run 1")
    assert entry.details == {"format": "mot", "out": str(out)}
    assert main([*arguments, "mot", "--run", "5"]) == 2
    assert "has no run 5" in capsys.readouterr().err
    assert main(["export", "--store", "sqlite:///no.db", "--out", str(out), "--format", "csv"]) == 2
    assert "there is no file no.db" in capsys.readouterr().err
    assert not Path("no.db").exists()


def test_a_folder_that_cannot_be_written(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "door.txt").mkdir(parents=True)
    with Store.open(sqlite_url) as store:
        store.finish_run(fill(store))
        for out in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / "taken"):
            with pytest.raises(DataError, match=re.escape(str(out))):
                export(store.reader(), "mot", out)
        with pytest.raises(DataError, match="'xls' is none of mot, parquet, csv"):
            export(store.reader(), "xls", tmp_path)
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["door.txt"]


def test_camera_ids_never_leave_the_folder_or_share_a_file(sqlite_url: str, tmp_path: Path) -> None:
    names = ["../up", "a/b", "a_b", "Cam", "cam", "..", "con", "größe"]
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, [CameraRow(name, "x") for name in names])
        for track, name in enumerate(names, 1):
            store.add_points(run, name, track, points(1))
            store.link(run, decision(track, track))
        store.finish_run(run)
        out = tmp_path / "deep" / "out"
        report = export(store.reader(), "mot", out)
    assert sorted(report.files) == sorted(out.iterdir())
    assert len({path.name.casefold() for path in out.iterdir()}) == len(names)
    found = sorted(int(rows_of(path)[0][1]) for path in out.iterdir())
    assert found == list(range(1, len(names) + 1))
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["out"]


@pytest.mark.parametrize("camera", ["door", "Cam_1.left-2", "0"])
def test_allowed_camera_ids_are_their_own_file_names(camera: str) -> None:
    assert safe_name(camera) == camera


def test_the_command_line_is_light_to_import() -> None:
    heavy = ["sqlalchemy", "alembic", "pydantic", "pyarrow", "numpy"]
    code = f"import sys, storage.commands; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
