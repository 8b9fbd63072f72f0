"""The live wall: states in words, newest pictures, only one's own cameras."""

from __future__ import annotations

import os
import time

from storage import audit
from storage.media import safe_name, write_file
from tests.storage.samples import CAMERAS
from tests.web.conftest import PICTURE, Client, Served, text_of
from web.wall import Rates


def test_the_wall_says_how_each_camera_is(own: Served) -> None:
    run = own.store.begin_run({}, CAMERAS)
    own.store.camera_state(run, "door", "running", None, 1250, 3)
    own.store.camera_state(run, "yard", "failed", "connection refused <b>", 0)
    own.store.flush()
    page = own.client("vera").get("/live")
    words = text_of(page)
    assert "2 cameras 1 running 1 in trouble" in words
    assert "door Front door Running 1,250 frames 3 dropped" in words
    assert "yard Failed 0 frames" in words and "No picture: failed" in words
    assert "connection refused &lt;b&gt;" in page.text
    assert words.index("yard") < words.index("door")  # trouble first
    assert 'hx-get="/live/wall" hx-trigger="every 2s"' in page.text
    own.store.finish_run(run)
    assert "door Front door Off" in text_of(own.client("vera").get("/live/wall"))


def test_a_picture_that_is_not_new_is_marked_with_its_age(own: Served) -> None:
    run = own.store.begin_run({}, CAMERAS)
    own.store.camera_state(run, "door", "running", None, 1)
    own.store.flush()
    vera = own.client("vera")
    live = own.store.media / "live" / "door.jpg"
    assert "s old" not in text_of(vera.get("/live/wall"))
    os.utime(live, (time.time() - 95, time.time() - 95))
    assert "95 s old" in text_of(vera.get("/live/wall"))


def test_the_newest_picture_is_never_cached(viewer: Client) -> None:
    answer = viewer.get("/live/picture?camera=door&v=1")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"


def test_no_state_and_no_picture_of_a_camera_of_other_groups(limited: Client) -> None:
    assert limited.get("/live/picture?camera=door").status_code == 200
    hidden = limited.get("/live/picture?camera=yard")
    unknown = limited.get("/live/picture?camera=nowhere")
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert text_of(hidden).replace("yard", "nowhere") == text_of(unknown)  # cannot be told apart
    assert "yard" not in limited.get("/live").text


def test_the_api_shows_the_same(served: Served) -> None:
    cameras = served.program("vera").get("/api/v1/cameras").json()
    assert [(c["camera"], c["state"]) for c in cameras] == [("door", "off"), ("yard", "failed")]
    assert cameras[0]["first"] == "2023-11-14T22:13:20.250Z"
    assert [c["camera"] for c in served.program("eve").get("/api/v1/cameras").json()] == ["door"]


def test_what_is_no_picture_is_not_sent(own: Served) -> None:
    write_file(own.store.media / "live" / "door.jpg", b"<script>alert(1)</script>")
    answer = own.client("vera").get("/live/picture?camera=door")
    assert answer.status_code == 422 and "is not a JPEG file" in text_of(answer)
    (own.store.media / "live" / "door.jpg").unlink()
    assert own.client("vera").get("/live/picture?camera=door").status_code == 404


def test_a_camera_id_of_any_kind_has_its_tile(own: Served) -> None:
    from storage.records import CameraRow

    odd = 'lift 2/3 "#<b>'
    run = own.store.begin_run({}, [CameraRow(odd, "x.mp4")])
    own.store.camera_state(run, odd, "running", None, 1)
    own.store.flush()
    write_file(own.store.media / "live" / f"{safe_name(odd)}.jpg", PICTURE)
    page = own.client("vera").get("/live")
    assert "<b>" not in page.text.partition("<main")[2].replace("<b>3</b>", "").replace(
        "<b>1</b>", ""
    ).replace("<b>0</b>", "").replace("<b>250</b>", "")
    address = page.text.partition('src="/live/picture')[2].partition('"')[0]
    assert own.client("vera").get("/live/picture" + address.replace("&amp;", "&")).is_success


def test_looking_is_written_down_once_and_refreshing_is_not(own: Served) -> None:
    vera = own.client("vera")
    vera.get("/live")
    for _ in range(3):
        vera.get("/live/wall")
    rows = audit.entries(own.store.reader(), action="view")
    assert [(r.actor, r.subject, r.address) for r in rows] == [("vera", "live wall", "testclient")]


def test_frames_a_second_follow_the_count() -> None:
    rates = Rates()
    assert rates.rate("door", 1, 100, 0.0) is None
    assert rates.rate("door", 1, 150, 2.0) == 25
    for second in range(4, 40, 2):
        last = rates.rate("door", 1, 150 + 10 * (second - 2), float(second))
    assert last == 10  # what was long ago does not count
    assert rates.rate("door", 2, 5, 41.0) is None  # another run begins anew
