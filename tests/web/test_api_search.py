"""The API for programs: the same answers as the command line, the same rules as the pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import Response

from investigation.search.photos import Person
from run_pipeline import main
from tests.web.people import Blind, People, body, photo
from trackers.records import Box

RED = photo(body("red", 99), ".png")


def search(people: People, who: str = "ivan", image: bytes | None = RED, **fields: Any) -> Response:
    files = [] if image is None else [("image", ("red.png", image))]
    data = {"reason": "missing child", **fields}
    if image is not None:
        data.setdefault("crop", "true")
    program = people.program(who)
    return program.post("/api/v1/search", data=data, files=files or {"none": ("", b"")})


def test_the_answer_is_the_command_lines(
    people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = search(people, top=4, parts="upper")
    assert answer.status_code == 200, answer.text
    file = tmp_path / "red.png"
    file.write_bytes(RED)
    arguments = ["--image", str(file), "--crop", "--store", people.url, "--top", "4", "--parts",
                 "upper", "--device", "cpu", "--reason", "x", "--json"]  # fmt: skip
    assert main(["search", *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    found = answer.json()
    assert [hit["track"] for hit in found[:2]] in ([1, 2], [2, 1])
    for ours, theirs in zip(found, said, strict=True):
        # A path means nothing on another machine: the API gives an address.
        assert ours.pop("picture").startswith("/api/v1/pictures/")
        theirs.pop("picture")
        assert ours == theirs
    entry = people.audit("search")[1]
    assert entry.actor == "ivan"
    assert entry.details["through"] == "token test"


def test_pictures_by_their_address(people: People) -> None:
    picture = search(people).json()[0]["picture"]
    answer = people.program("vera").get(picture)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"reason": ""}, 422, "say why you search"),
        ({"track": 1}, 422, "give one of image, track and identity"),
        ({"image": None}, 422, "give one of image, track and identity"),
        ({"image": None, "track": 99}, 404, "there is no track 99"),
        ({"image": None, "identity": 99}, 404, "there is no identity 99"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, 422, "runs backwards"),
        ({"camera": "roof"}, 422, "has no camera 'roof'"),
        ({"parts": "hat"}, 422, "'hat' is no part"),
        ({"top": 0}, 422, "allowed: 1 to"),
        ({"image": b"text"}, 422, "red.png: not a JPEG"),
        ({"image": b"\xff\xd8" + b"\0" * 30_000_000}, 413, "more than 30 MB"),
        ({"person": [1, 2]}, 422, "person is given 2 times for 1 images"),
        ({"crop": "false"}, 422, "nobody is found"),
    ],
)
def test_what_is_wrong_is_named(
    people: People, fields: dict[str, Any], status: int, says: str
) -> None:
    answer = search(people, **fields)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]


def test_several_people_are_listed_for_the_program_to_choose(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(_: Blind, image: np.ndarray, name: str) -> list[Person]:
        half = image.shape[1] // 2
        crops = (image[:, :half], image[:, half:])
        boxes = (Box(0, 0, half, 256), Box(half, 0, 2 * half, 256))
        return [
            Person(box, box, np.ascontiguousarray(c), 0.9, (), name)
            for box, c in zip(boxes, crops, strict=True)
        ]

    monkeypatch.setattr(Blind, "find_people", find)
    both = photo(np.hstack([body("blue", 7), body("red", 8)]))
    answer = search(people, image=both, crop="false")
    assert answer.status_code == 422
    assert [p["box"] for p in answer.json()["error"]["people"]] == [
        [0, 0, 128, 256], [128, 0, 128, 256],
    ]  # fmt: skip
    chosen = search(people, image=both, crop="false", person=2)
    assert {hit["track"] for hit in chosen.json()[:2]} == {1, 2}


def test_groups_hold_for_programs_too(people: People) -> None:
    assert {hit["camera"] for hit in search(people, "eve").json()} == {"door"}
    eve = people.program("eve")
    for path in ("tracks/2", "identities/2", "tracks/5"):
        assert eve.get(f"/api/v1/{path}").status_code == 404, path
    assert {c for row in eve.get("/api/v1/identities").json() for c in row["cameras"]} == {"door"}
    assert eve.get("/api/v1/identities/1").json()["cameras"] == ["door"]
    picture = people.desk.reader.exemplars(2)[0].id
    assert eve.get(f"/api/v1/pictures/{picture}").status_code == 404


def test_tracks_identities_and_who_may(people: People) -> None:
    ivan, vera = people.program("ivan"), people.program("vera")
    track = ivan.get("/api/v1/tracks/2").json()
    assert (track["camera"], track["identity"]) == ("yard", 1)
    assert [entry["action"] for entry in track["ledger"]] == ["link"]
    assert len(track["pictures"]) == 2
    way = ivan.get("/api/v1/identities/1").json()
    assert [step["camera"] for step in way["steps"]] == ["door", "yard"]
    assert len(vera.get("/api/v1/identities").json()) == 4
    for path in ("tracks/2", "identities/1", "decisions", "precision"):
        assert vera.get(f"/api/v1/{path}").status_code == 403, path
        assert people.stranger().get(f"/api/v1/{path}").status_code == 401, path


def test_decisions_by_a_program(own_people: People) -> None:
    ivan = own_people.program("ivan")
    wanted = {"action": "confirm", "track": 3, "identity": 1, "reason": "looked at"}
    made = ivan.post("/api/v1/decisions", json=wanted)
    assert made.status_code == 201
    assert (made.json()["identity"], made.json()["other"]) == (1, 2)
    number = made.json()["decision"]
    undone = ivan.post(
        "/api/v1/decisions", json={"action": "undo", "decision": number, "reason": "wrong"}
    )
    assert undone.json()["undoes"] == number
    assert ivan.get(f"/api/v1/decisions/{number}").json()["undone_by"] == undone.json()["decision"]
    assert [d["action"] for d in ivan.get("/api/v1/decisions?track=3").json()] == [
        "undo", "confirm",
    ]  # fmt: skip
    for wrong, status in (
        ({**wanted, "reason": ""}, 422),
        ({**wanted, "reason": "\0 \n"}, 422),
        ({**wanted, "action": "erase"}, 422),
        ({**wanted, "extra": 1}, 422),
        ({**wanted, "track": 99}, 404),
        ({"action": "undo", "decision": 2**80, "reason": "x"}, 422),
    ):
        assert ivan.post("/api/v1/decisions", json=wrong).status_code == status, wrong
    assert len(own_people.decided()) == 2
    assert ivan.get("/api/v1/precision").json()["links"]["judged"] == 0


def test_the_description_names_every_field_and_error(people: People) -> None:
    spec = people.stranger().get("/openapi.json").json()
    operation = spec["paths"]["/api/v1/search"]["post"]
    assert {"401", "403", "404", "413", "422", "503"} <= set(operation["responses"])
    hit = spec["components"]["schemas"]["HitAnswer"]["properties"]
    assert {"rank", "track", "identity", "camera", "start", "end", "time", "box", "distance",
            "support", "verdict", "parts"} <= set(hit)  # fmt: skip
    for path in ("tracks/{track}", "identities/{identity}", "identities", "decisions", "precision",
                 "pictures/{picture}"):  # fmt: skip
        assert f"/api/v1/{path}" in spec["paths"]
