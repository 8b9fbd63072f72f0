"""Who was seen, where somebody went, and what a viewer gets to see of it."""

from __future__ import annotations

import re

import pytest

from investigation.replay.itinerary import of_identity
from tests.storage.samples import NOON
from tests.web.conftest import text_of
from tests.web.people import Browser, People
from web.pages import typed
from web.strips import NAMES, WIDTH, strip


def test_the_timeline_shows_everybody_with_a_picture(people: People) -> None:
    page = people.browse("vera").get("/timeline")
    assert re.findall(r"<b>(Identity \d|Track \d)</b>", page.text) == [
        "Identity 1", "Identity 2", "Identity 3", "Track 5",
    ]  # fmt: skip
    assert page.text.count('src="/pictures/') == 4
    assert "door → yard" in text_of(page)
    assert people.audit("view")[0].subject == "timeline"


def test_the_timeline_keeps_to_window_and_cameras(ivan: Browser, eve: Browser) -> None:
    text = text_of(ivan.get("/timeline?camera=door"))
    assert "Identity 2" not in text
    assert "Identity 3" in text
    late = typed(NOON + 60)
    assert "Nobody was seen" in text_of(ivan.get(f"/timeline?start={late}"))
    page = eve.get("/timeline")
    assert re.findall(r"<b>(Identity \d|Track \d)</b>", page.text) == ["Identity 1", "Identity 3"]
    assert "yard" not in text_of(page)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("start=2026-02-02T10:00&end=2026-02-02T09:00", "backwards"),
        ("start=later", "From is 'later', which is no time"),
        ("camera=roof", "here is no camera"),
        ("page=0", "Page"),
    ],
)
def test_a_wrong_window_is_named(ivan: Browser, query: str, says: str) -> None:
    answer = ivan.get(f"/timeline?{query}")
    assert answer.status_code == 422
    assert says in text_of(answer)


def test_an_identity_with_its_ledger_in_words(people: People, ivan: Browser) -> None:
    page = ivan.get("/identities/1")
    text = text_of(page)
    assert "Looks like identity 1: distance 0.100, below the threshold 0.375" in text
    assert page.text.count('class="seen"') == 2
    assert people.audit("view")[0].subject == "identity 1"


def test_a_viewer_sees_the_way_but_decides_nothing(people: People) -> None:
    vera = people.browse("vera")
    for path in ("/identities/1", "/tracks/1"):
        page = vera.get(path)
        assert page.status_code == 200
        assert "distance" not in text_of(page)
        assert 'action="/decisions"' not in page.text
    for path in ("/decisions", "/precision", "/identities/1/with/2", "/search"):
        assert vera.get(path).status_code == 403


def test_of_an_identity_only_what_ones_cameras_saw(eve: Browser) -> None:
    page = eve.get("/identities/1")
    assert "yard" not in text_of(page)
    assert "track 2" not in text_of(page).lower()
    assert eve.get("/identities/2").status_code == 404
    assert eve.get("/tracks/2").status_code == 404
    assert eve.get("/identities/1/with/2").status_code == 404


def test_what_is_not_there(ivan: Browser) -> None:
    for path in ("/identities/99", "/tracks/99", "/identities/1/with/99"):
        assert ivan.get(path).status_code == 404, path
    for path in ("/identities/x", f"/tracks/{2**63}", "/identities/1/with/1", "/precision?run=99",
                 "/identities/1/with"):  # fmt: skip
        assert ivan.get(path).status_code == 422, path
    assert ivan.get("/identities/..%2f..%2fetc").status_code == 404


def test_a_track_with_its_pictures(people: People, ivan: Browser) -> None:
    page = ivan.get("/tracks/2")
    assert page.text.count('src="/pictures/') == 2
    assert "Linked (identity 1)" in text_of(page)


def test_the_drawn_strip_holds_time_to_scale(people: People) -> None:
    way = of_identity(people.desk.reader, 1)
    drawn = strip(way)
    assert [lane.camera for lane in drawn.lanes] == list(way.cameras)
    assert len(drawn.bars) == len(way.steps)
    span = way.end - way.start
    for bar, step in zip(drawn.bars, way.steps, strict=True):
        assert bar.x >= NAMES
        assert bar.x + bar.width <= WIDTH
        if span >= 1:  # else a second is drawn, for there is no shorter axis
            assert bar.x == pytest.approx(
                NAMES + (step.start - way.start) / span * (WIDTH - NAMES - 7), abs=0.02
            )
    assert all(NAMES <= tick.x <= WIDTH for tick in drawn.ticks)
