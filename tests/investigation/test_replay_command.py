"""`crosscam replay`: what it prints, writes, refuses and leaves in the audit trail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import pytest

import run_pipeline
from storage.audit import entries
from storage.models import iso_text
from storage.queries import StoreReader
from tests.investigation.recorded import FPS, START, make_store, numbered, record
from tests.storage.samples import decision
from trackers.records import Box, TrackPoint


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Identity 1 on the door (0 to 2 s), then in the yard (4 to 5 s); six seconds of both."""
    folder = tmp_path_factory.mktemp("made")
    store, run = make_store(folder, "door", "yard")
    with store:
        source = numbered(folder)
        for camera, track, first, last in (("door", 1, 0, 20), ("yard", 2, 40, 50)):
            record(store, camera, source, START, groups_each=6, run=run)
            points = [
                TrackPoint(n, START + n / FPS, Box(40, 40, 80, 110), 0.9)
                for n in range(first, last)
            ]
            store.add_points(run, camera, track, points)
            store.link(run, decision(track, 1, "create" if track == 1 else "link"))
        store.finish_run(run)
    return folder


@pytest.fixture
def crosscam(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    url = f"sqlite:///{tmp_path / 'site.db'}"

    def call(*words: object) -> tuple[int, str, str]:
        code = run_pipeline.main(["replay", "--store", url, *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_way_as_json_and_in_the_trail(crosscam, tmp_path: Path) -> None:
    code, out, _ = crosscam("--track", 2, "--json", "--reason", "case 12")
    told = json.loads(out)
    assert code == 0 and told["clip"] is None
    (way,) = told["itineraries"]
    assert [(s["camera"], s["gap"]) for s in way["steps"]] == [("door", 0), ("yard", 2.1)]
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as reader:
        (entry,) = entries(reader)
    assert (entry.action, entry.subject, entry.reason) == ("view", "track 2", "case 12")


def test_the_way_as_a_table(crosscam) -> None:
    code, out, _ = crosscam("--identity", 1)
    assert code == 0
    assert "unseen for 2.1 s" in out and "Looks alike" in out and "door" in out


def test_a_clip_keeps_to_the_times(crosscam, tmp_path: Path) -> None:
    out = tmp_path / "way.mp4"
    code, said, _ = crosscam(
        "--identity", 1, "--from", iso_text(START + 1), "--to", iso_text(START + 4.5),
        "--margin", 1, "--out", out, "--blur-others", "--json",
    )  # fmt: skip
    assert code == 0
    clip = json.loads(said)["clip"]
    assert clip["spans"] == [
        [iso_text(START + 1), iso_text(START + 2.9)], [iso_text(START + 3), iso_text(START + 4.5)],
    ]  # fmt: skip
    assert clip["cameras"] == ["door", "yard"] and clip["notes"]
    with av.open(str(out)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert container.metadata["creation_time"].startswith(iso_text(START + 1)[:19])
    assert frames == clip["frames"] == 19 + FPS + 15, "both stretches and a card in between"
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as reader:
        (entry,) = entries(reader)
    assert entry.action == "export" and entry.details["others_blurred"] is True


def test_a_stretch_of_time_shows_every_recorded_camera(crosscam, tmp_path: Path) -> None:
    out = tmp_path / "all.mp4"
    code, said, _ = crosscam(
        "--from", iso_text(START), "--to", iso_text(START + 1), "--out", out, "--json"
    )
    told = json.loads(said)
    assert code == 0 and told["clip"]["cameras"] == ["door", "yard"]
    assert [w["identity"] for w in told["itineraries"]] == [1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to replay"),
        (["--from", "2023-11-14"], "say what to replay"),
        (["--from", "2023-11-15", "--to", "2023-11-14"], "time range runs backwards"),
        (["--from", "soon", "--to", "2023-11-14"], "which is no time"),
        (["--identity", "1", "--camera", "../door"], "has no camera '../door'"),
        (["--identity", "9"], "identity 9 has no track"),
        (["--identity", "1", "--blur-others"], "belongs to --out"),
        (["--identity", "1", "--out", "x.avi"], "end its name in .mp4"),
        (["--identity", "1", "--margin", "-1"], "allowed: 0 to 600 seconds"),
        (["--identity", "1", "--from", "2030-01-01"], "was not seen in that time"),
    ],
)
def test_what_cannot_be_replayed(crosscam, tmp_path: Path, words: list[str], message: str) -> None:
    code, _, error = crosscam(*words)
    assert code == 2 and message in error
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as reader:
        assert entries(reader) == []
