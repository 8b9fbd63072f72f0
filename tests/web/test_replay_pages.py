"""The player's page and routes, over a store with real recorded packets."""

from __future__ import annotations

import html
import io
import json
import re
import time
from pathlib import Path

import av
import pytest
from httpx import Response

from storage.audit import entries
from tests.investigation.recorded import START, make_store, numbered, record
from tests.storage.samples import decision
from tests.web.conftest import FAST, Client, Served, add_people, text_of
from trackers.records import Box, TrackPoint
from web.app import create_app
from web.jobs import Jobs

WINDOW = {"from": "2023-11-14T22:13:20Z", "to": "2023-11-14T22:13:26Z"}  # START and 6 s on


def walk(first: float, last: float, left: float) -> list[TrackPoint]:
    """A box every tenth of a second that moves to the right by ten pixels a second."""
    count = round((last - first) * 10) + 1
    return [
        TrackPoint(n, START + first + n / 10, Box(left + n, 20, left + n + 30, 100), 0.9)
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Six seconds of door and yard; track 1 and 3 are identity 1, track 2 somebody else."""
    folder = tmp_path_factory.mktemp("replay")
    store, run = make_store(folder, "door", "yard")
    with store:
        video = numbered(folder)
        for camera in ("door", "yard"):
            record(store, camera, video, START, groups_each=2, run=run)
        for track, camera, box, identity in (
            (1, "door", walk(0.5, 2.0, 10), 1),
            (2, "door", walk(1.0, 2.0, 90), 2),
            (3, "yard", walk(3.0, 5.0, 40), 1),
        ):
            store.add_points(run, camera, track, box)
            store.link(run, decision(track, identity))
        store.finish_run(run)
    url = f"sqlite:///{folder / 'site.db'}"
    made = Served(create_app(FAST, url), url, folder / "site.db")
    add_people(made.desk)
    return made


@pytest.fixture(scope="module")
def ivan(served: Served) -> Client:
    return served.client("ivan")


@pytest.fixture(scope="module")
def eve(served: Served) -> Client:
    """Sees the door alone."""
    return served.client("eve")


def plan_of(answer: Response) -> dict:  # type: ignore[type-arg]
    found = re.search(r'data-plan="([^"]*)"', answer.text)
    assert found, answer.text
    return json.loads(html.unescape(found.group(1)))  # type: ignore[no-any-return]


def test_a_person_is_played_where_and_when_they_were_seen(served: Served, ivan: Client) -> None:
    answer = ivan.get("/replay?identity=1")
    assert answer.status_code == 200
    plan = plan_of(answer)
    assert [c["camera"] for c in plan["cameras"]] == ["door", "yard"]
    # Three seconds around the sightings, without what was never recorded.
    assert plan["start"] == pytest.approx(START, abs=0.2)
    assert plan["end"] == pytest.approx(START + 6, abs=0.2)
    assert plan["cameras"][0]["seen"] == [[START + 0.5, START + 2.0]]
    row = entries(served.store.reader(), action="play", limit=1)[0]
    assert (row.actor, row.subject) == ("ivan", "identity 1")
    assert row.details["cameras"] == ["door", "yard"]


def test_a_stretch_of_time_shows_everybody(ivan: Client) -> None:
    answer = ivan.get("/replay", params=WINDOW)
    assert "Who was there" in text_of(answer)
    assert "/identities/1" in answer.text
    assert "/identities/2" in answer.text


def test_a_piece_is_the_recording_and_its_clock_is_told(ivan: Client) -> None:
    times = {"camera": "door", "from": START + 2.5, "to": START + 5}
    answer = ivan.get("/replay/video", params=times)
    assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9a-f]{6}"', answer.headers["content-type"])
    assert answer.headers["cache-control"] == "no-store"
    origin, start = (float(answer.headers[f"crosscam-{name}"]) for name in ("origin", "start"))
    with av.open(io.BytesIO(answer.content)) as container:
        frames = [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
        extra = bytes(container.streams.video[0].codec_context.extradata or b"")
    assert answer.headers["content-type"].endswith(f'avc1.{extra[1:4].hex()}"')
    # The key frame before 2.5 s lies at 2.0 s; the first picture is number 20.
    assert start == pytest.approx(START + 2.0, abs=0.01)
    assert origin + frames[0][0] == pytest.approx(START + 2.0, abs=0.01)
    assert answer.headers["crosscam-copied"] == "1"
    long = ivan.get("/replay/video", params={**times, "to": START + 1000})
    assert long.status_code == 422 and "holds 120 s at most" in text_of(long)


def test_one_playing_is_one_row_of_the_audit_trail(served: Served) -> None:
    """The page's row says what its pieces are of; a piece of anything else gets its own."""
    ivan = served.client("ivan")

    def rows() -> list[tuple[str, str]]:
        found = entries(served.store.reader(), action="play", limit=100)
        return [(e.actor, e.subject) for e in found]

    before = rows()
    ivan.get("/replay?identity=1&camera=yard")
    pieces = [(START + s, START + s + 1) for s in range(1, 4)]
    for begin, end in pieces:
        assert ivan.get(
            "/replay/video", params={"camera": "yard", "from": begin, "to": end}
        ).status_code == 200  # fmt: skip
    assert rows()[: len(rows()) - len(before)] == [("ivan", "identity 1")]
    anna = served.client("anna")
    for begin, end in pieces[:1] * 2:
        anna.get("/replay/video", params={"camera": "yard", "from": begin, "to": end})
    assert rows()[: len(rows()) - len(before)] == [("anna", "camera yard"), ("ivan", "identity 1")]


def test_boxes_of_the_chosen_and_of_others(ivan: Client) -> None:
    times = {"camera": "door", "from": START, "to": START + 6}
    found = ivan.get("/replay/boxes", params={**times, "identity": 1}).json()
    assert {(width, height) for _, _, width, height in found["sizes"]} == {(160, 120)}
    tracks = {t["track"]: t for t in found["tracks"]}
    assert {track: t["chosen"] for track, t in tracks.items()} == {1: True, 2: False}
    assert tracks[1]["points"][0] == [START + 0.5, 10.0, 20.0, 30.0, 80.0]
    nobody = ivan.get("/replay/boxes", params=times).json()
    assert not any(t["chosen"] for t in nobody["tracks"])


def test_a_blurred_clip_is_rendered_and_belongs_to_who_asked(served: Served, ivan: Client) -> None:
    with ivan.browser:  # the application's life: its worker runs
        asked = ivan.post("/replay/clip", identity=1, blur="yes", **WINDOW)
        assert asked.status_code == 303
        there = asked.headers["location"]
        end = time.monotonic() + 60
        while "Download" not in (page := ivan.get(there)).text:
            assert page.status_code == 200
            assert time.monotonic() < end, text_of(page)
            time.sleep(0.1)
        video = ivan.get(f"{there}/video", params={"download": "true"})
        assert video.headers["content-disposition"].startswith("attachment")
        with av.open(io.BytesIO(video.content)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 20
        assert served.client("anna").get(there).status_code == 404  # not hers
    details = [e.details for e in entries(served.store.reader(), action="export", limit=5)]
    assert {"others_blurred": True}.items() <= details[1].items()


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("from=2023-11-14T22:13:26Z&to=2023-11-14T22:13:20Z", 422, "end is not after the start"),
        ("from=yesterday&to=today", 422, "'yesterday', which is no time"),
        ("from=2023-11-14T22:00:00Z&to=2023-11-15T22:00:00Z", 422, "too many"),
        ("identity=99", 404, "there is no identity 99"),
        ("track=99", 404, "there is no track 99"),
        ("identity=1&camera=../../etc/passwd", 422, "../../etc/passwd"),
        ("from=2023-11-14T22:13:20Z", 422, "a time from and to"),
        ("identity=1&from=2024-11-14T22:13:20Z", 422, "not seen in that time"),
    ],
)
def test_bad_questions(ivan: Client, query: str, status: int, words: str) -> None:
    answer = ivan.get(f"/replay?{query}")
    assert answer.status_code == status
    assert words.lower() in html.unescape(text_of(answer)).lower()


def test_nobody_sees_cameras_of_others(eve: Client) -> None:
    assert [c["camera"] for c in plan_of(eve.get("/replay?identity=1"))["cameras"]] == ["door"]
    assert [c["camera"] for c in plan_of(eve.get("/replay", params=WINDOW))["cameras"]] == ["door"]
    times = {"camera": "yard", "from": START, "to": START + 6}
    for path in ("video", "boxes"):
        assert eve.get(f"/replay/{path}", params=times).status_code == 404
    assert eve.get("/replay?identity=1&camera=yard").status_code == 404
    assert eve.get("/replay?track=3").status_code == 404


def test_where_nothing_is_recorded_nothing_is_played(ivan: Client) -> None:
    times = {"camera": "door", "from": START + 100, "to": START + 110}
    answer = ivan.get("/replay/video", params=times)
    assert answer.status_code == 422
    assert "nothing is recorded" in text_of(answer)


def test_jobs_end_with_the_server_and_tell_what_failed(tmp_path: Path) -> None:
    jobs = Jobs()

    def fails(path: Path, progress: object) -> None:
        raise ZeroDivisionError

    failed = jobs.start("ivan", "a clip", "a.mp4", fails)

    def endless(path: Path, progress) -> None:  # type: ignore[no-untyped-def]
        while True:
            path.write_bytes(b"x")
            progress(1, 2)
            time.sleep(0.01)

    running = jobs.start("ivan", "a clip", "b.mp4", endless)
    end = time.monotonic() + 20
    while not (failed.over and running.file.exists()):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert failed.state == "failed"
    assert "ZeroDivisionError" in (failed.problem or "")
    jobs.close()
    assert running.problem == "the server ended"
    assert not running.folder.exists()
