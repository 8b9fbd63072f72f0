"""`crosscam search` as a person types it, on a store of real people (PETS, from ground truth)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import run_pipeline
from reid.explain.explanation import Explainer
from storage import audit
from storage.erasure.erase import survey
from storage.queries import StoreReader
from storage.store import Store
from tests.investigation.lookalikes import BEGINS, FPS, PEOPLE, Filmed, fill, portrait

Command = Callable[..., tuple[int, str, str]]
Made = tuple[Path, list[Filmed], list, dict]


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The store, what is in it, and frames and ground truth of the right camera."""
    folder = tmp_path_factory.mktemp("people")
    model = Explainer.from_weights("default", "cpu")
    return folder, *fill(shared, f"sqlite:///{folder / 'site.db'}", model)


@pytest.fixture
def site(made: Made, tmp_path: Path) -> str:
    """A copy of the store that the test may spoil."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture
def films(made: Made) -> list[Filmed]:
    return made[1]


@pytest.fixture
def command(site: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `crosscam search` on the store; exit code, stdout, stderr."""
    detector = str(shared / "models" / "rtmdet_nano_person_dyn.onnx")

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        own = ["search", "--store", site, "--detector", detector, "--device", "cpu"]
        code = run_pipeline.main([*own, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def film(films: list[Filmed], person: int, camera: str) -> Filmed:
    return next(f for f in films if (f.person, f.camera) == (person, camera))


def photo(made: Made, person: int, out: Path) -> Path:
    """A photo of one person alone, by the right camera."""
    cv2.imwrite(str(out), portrait(made[2], made[3], person))
    return out


@pytest.mark.parametrize("person", [6, 7, 16])
def test_a_photo_finds_its_person_on_the_other_camera(
    person: int, command: Command, made: Made, films: list[Filmed], tmp_path: Path
) -> None:
    path = photo(made, person, tmp_path / "photo.jpg")
    code, out, _ = command("--image", path, "--camera", "left", "--json")
    hits = json.loads(out)
    wanted = film(films, person, "left")
    assert code == 0 and len(hits) == len(PEOPLE)
    first = hits[0]
    assert (first["rank"], first["track"], first["camera"]) == (1, wanted.track, "left")
    box = wanted.boxes[0]
    shown = [box.left, box.top, box.width, box.height]
    np.testing.assert_allclose(first["box"], shown, atol=0.01)
    moment = np.datetime64(first["time"].removesuffix("Z")).astype("M8[us]").astype(int) / 1e6
    assert first["time"].endswith("Z")
    assert moment == pytest.approx(BEGINS + wanted.frames[0] / FPS, abs=1e-5)
    assert first["verdict"] in ("strong", "possible", "not enough in common to tell")
    assert [h["distance"] for h in hits] == sorted(h["distance"] for h in hits)
    assert {"rank", "track", "identity", "camera", "start", "end", "time", "box", "distance",
            "support", "verdict", "parts"} <= first.keys()  # fmt: skip


def test_two_photos_make_one_query(
    command: Command, made: Made, films: list[Filmed], tmp_path: Path, site: str
) -> None:
    paths = [photo(made, 16, tmp_path / name) for name in ("a.jpg", "b.png")]
    code, out, _ = command("--image", paths[0], "--image", paths[1], "--json", "--reason", "case 7")
    both = {film(films, 16, c).track for c in ("left", "right")}
    assert code == 0 and {h["track"] for h in json.loads(out)[:2]} == both
    with StoreReader.open(site) as reader:
        (row,) = audit.entries(reader)
    assert (row.action, row.reason) == ("search", "case 7")
    assert row.subject.startswith("2 photos: ") and row.details["hits"] == len(json.loads(out))
    assert row.actor.startswith("cli:")


def test_several_people_have_to_be_told_apart(
    command: Command, made: Made, films: list[Filmed], tmp_path: Path
) -> None:
    """A frame with two people side by side: the list names both, the number chooses."""
    parts = [portrait(made[2], made[3], person) for person in (6, 16)]
    low = min(p.shape[0] for p in parts)
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([p[:low] for p in parts]))
    code, out, err = command("--image", tmp_path / "two.png", "--json")
    told = json.loads(out)
    assert code == 2 and "choose one with --person N" in err
    assert [p["person"] for p in told["people"]] == [1, 2]
    assert told["image"].endswith("two.png") and told["error"] in err
    border = parts[0].shape[1]
    for person in told["people"]:
        left, _, width, _ = person["box"]
        wanted = 6 if left + width / 2 < border else 16
        arguments = ("--image", tmp_path / "two.png", "--person", person["person"])
        code, out, _ = command(*arguments, "--camera", "left", "--json")
        assert code == 0 and json.loads(out)[0]["track"] == film(films, wanted, "left").track
    code, _, err = command("--image", tmp_path / "two.png", "--person", 3)
    assert code == 2 and "there is no person 3; it shows 2 people" in err


def test_a_crop_is_searched_as_it_is(command: Command, films: list[Filmed], site: str) -> None:
    track = film(films, 7, "right").track
    with StoreReader.open(site) as reader:
        path = reader.best_exemplars([track])[track].path
    code, out, _ = command("--image", path, "--crop", "--top", 2, "--json")
    assert code == 0
    assert {h["track"] for h in json.loads(out)} == {track, film(films, 7, "left").track}


def test_track_and_identity_and_parts(command: Command, films: list[Filmed], site: str) -> None:
    own = film(films, 16, "right")
    code, out, _ = command("--track", own.track, "--parts", "upper", "--json")
    hits = json.loads(out)
    assert code == 0 and hits[0]["track"] == film(films, 16, "left").track
    assert own.track not in {h["track"] for h in hits}
    assert [p["weight"] for p in hits[0]["parts"]][3:] == [0, 0, 0]
    with StoreReader.open(site) as reader:
        identity = next(t.identity for t in reader.tracks() if t.id == own.track)
    code, out, _ = command("--identity", identity, "--json", "--top", 1)
    assert code == 0 and json.loads(out)[0]["track"] == film(films, 16, "left").track


def test_evidence_is_an_export_that_an_erasure_finds(
    command: Command, films: list[Filmed], site: str, tmp_path: Path
) -> None:
    """The pictures lay in a folder that nothing knew of."""
    folder = tmp_path / "evidence"
    own, late = films[0].track, ("--from", "2030-01-01T00:00:00Z")
    assert command("--track", own, *late, "--evidence", folder)[0] == 0
    code, out, _ = command("--track", own, "--top", 1, "--evidence", folder, "--json")
    assert code == 0
    (hit,) = json.loads(out)
    with StoreReader.open(site) as reader:
        (entry,) = audit.entries(reader, action="export")
        assert entry.subject == f"track {own}"
        assert entry.details == {"evidence": str(folder), "tracks": [hit["track"]]}
        for track in (own, hit["track"]):  # the query is drawn beside the hit
            identity = next(row.identity for row in reader.tracks() if row.id == track)
            assert identity is not None
            (export,) = (r for r in survey(reader, identity).remains if r.kind == "export")
            assert export.what.startswith(f"{folder}: track {own}, exported ")


def test_the_table_never_says_is(command: Command, films: list[Filmed], tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    code, out, _ = command(
        "--track", film(films, 6, "left").track, "--top", 1, "--evidence", folder
    )
    assert code == 0
    assert "Who looks like track" in out and "who it is, no hit says" in out
    assert len(list(folder.glob("001-track*.png"))) == 1


def test_nothing_found_is_no_error(command: Command, films: list[Filmed], site: str) -> None:
    late = ("--track", films[0].track, "--from", "2030-01-01T00:00:00Z")
    assert command(*late, "--json")[:2] == (0, "[]\n")
    code, out, _ = command(*late)
    assert code == 0 and "nothing found" in out
    with StoreReader.open(site) as reader:
        assert [row.details["hits"] for row in audit.entries(reader)] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--track", 77], "has no track 77"),
        (["--identity", 77], "has no identity 77"),
        (["--track", 1, "--camera", "roof"], "has no camera 'roof'; it has: left, right"),
        (["--track", 1, "--place", "Moon"], "has no place 'Moon'; it has: East path, West path"),
        (["--track", 1, "--from", "yesterday"], "'yesterday', which is no time"),
        (["--track", 1, "--to", "1961-04-12"], "'1961-04-12'; allowed: the years 1970 to 9999"),
        (["--track", 1, "--from", "2026-01-02", "--to", "2026-01-01"], "runs backwards"),
        (["--track", 1, "--top", 0], "top is 0; allowed: 1 to 200"),
        (["--track", 1, "--parts", "hat"], "'hat' is no part"),
        (["--track", 1, "--person", 1], "--person belongs to --image"),
        (["--image", "a", "--crop", "--person", 1], "--crop takes images as they are"),
        (["--image", "a", "--person", 1, "--person", 2], "--person is given 2 times for 1 images"),
        (["--image", "nobody.jpg"], "nobody.jpg: No such file"),
        (["--image", __file__], "not a JPEG, PNG, WebP or BMP picture"),
        (["--track", 1, "--weights", "no.safetensors"], "no.safetensors: cannot read"),
    ],
)
def test_bad_input_is_told_and_leaves_no_trace(
    arguments: list[object], said: str, command: Command, site: str
) -> None:
    code, out, err = command(*arguments, "--json")
    assert (code, out) == (2, "") and said in err and "Traceback" not in err
    with StoreReader.open(site) as reader:
        assert audit.entries(reader) == []


def test_a_store_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.db"
    assert run_pipeline.main(["search", "--track", "1", "--store", f"sqlite:///{path}"]) == 2
    assert "none.db" in capsys.readouterr().err and not path.exists()


def test_another_models_tracks_are_mentioned(
    command: Command, films: list[Filmed], site: str
) -> None:
    with Store.open(site) as store:
        store.register_model("0123456789abcdef", 6, 256, {})
    code, _, err = command("--track", films[0].track, "--json")
    assert code == 0 and "embedded (0123456789abcdef) are not searched" in err
