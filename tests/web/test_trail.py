"""The audit trail: every way to look leaves a row, and a page of forty pictures leaves one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from storage.audit import AuditRow, entries
from tests.web.conftest import Served
from tests.web.people import People, body, photo
from web.looked import KEPT, MOST, Looked

WINDOW = "2023-11-14T22:00"


def views(served: Served) -> list[AuditRow]:
    """What was looked at, as it was written down."""
    return entries(served.store.reader(), action="view")[::-1]


def pictures(text: str) -> list[str]:
    """The addresses of the pictures on a page."""
    found = re.findall(r'src="(/(?:pictures|watches)/[^"]*)"', text)
    return [address.replace("&amp;", "&") for address in found]


def test_a_picture_that_no_page_showed_has_a_row(own: Served) -> None:
    """Whoever counted upwards saw everybody, and nothing was written down."""
    vera, program = own.client("vera"), own.program("vera")
    for _ in range(3):
        assert vera.get("/pictures/1").status_code == 200
        assert vera.get("/pictures/2").status_code == 200
        assert program.get("/api/v1/pictures/1").status_code == 200
    vera.get("/pictures/99")
    own.client("ivan").get("/pictures/1")
    assert [(v.actor, v.subject, v.details) for v in views(own)] == [
        ("vera", "track 1", {"picture": 1}),
        ("vera", "track 2", {"picture": 2}),
        ("vera", "track 1", {"picture": 1, "through": "token test"}),
        ("ivan", "track 1", {"picture": 1}),
    ]


def test_the_pictures_of_a_page_are_its_row(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    red = ivan.found({}, ("red.jpg", photo(body("red", 99))))
    wanted = {"name": "x", "reason": "x", "expires": "2d", "level": "possible", "track": 1}
    ivan.send("/watches", wanted)
    for page in ("/timeline", "/identities/1", "/tracks/3", red, f"{red}/hit/4", "/watches"):
        before = len(views(own_people))
        shown = pictures(ivan.get(page).text)
        own_row = 0 if page == red else 1  # the results are in the search's own row
        assert len(views(own_people)) == before + own_row, page
        assert shown or "/hit/" in page, page
        for address in shown:
            assert ivan.get(address).status_code == 200
        assert len(views(own_people)) == before + own_row, page
    assert {v.subject for v in views(own_people)} == {
        "timeline", "identity 1", "track 3", "track 4", "watch list",
    }  # fmt: skip


def test_the_pictures_that_a_program_was_told_of_are_in_its_row(own_people: People) -> None:
    program = own_people.program("ivan")
    asked = (
        program.post("/api/v1/search", data={"track": 3, "reason": "missing child"}),
        program.get("/api/v1/identities"),
        program.get("/api/v1/tracks/5"),
    )
    before = len(views(own_people))
    told = set(re.findall(r"/api/v1/pictures/\d+", " ".join(answer.text for answer in asked)))
    assert len(told) >= 5
    for address in told:
        assert program.get(address).status_code == 200
    assert len(views(own_people)) == before == 2


def test_who_is_to_be_watched_for_was_looked_at(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    for _ in range(2):
        assert ivan.get("/watches/new/picture?track=3").status_code == 200
    ivan.send("/watches", {"name": "x", "reason": "x", "expires": "2d", "track": 3})
    for _ in range(2):
        assert ivan.get("/watches/1/picture").status_code == 200
    assert [v.subject for v in views(own_people)] == ["track 3", "watch 1"]


def test_the_live_wall_has_a_row_however_it_is_looked_at(own: Served) -> None:
    for name, paths, subjects in (
        ("vera", ("/live/wall", "/live/wall", "/live/picture?camera=door"), ["live wall"]),
        ("ivan", ("/live/picture?camera=door",) * 3, ["camera door"]),
        ("anna", ("/live", "/live/wall", "/live/picture?camera=yard"), ["live wall"]),
    ):
        client = own.client(name)
        for path in paths:
            assert client.get(path).status_code == 200
        assert [v.subject for v in views(own) if v.actor == name] == subjects, name


@pytest.mark.parametrize(
    ("path", "subject", "details"),
    [
        (f"/timeline?start={WINDOW}&page=2", "timeline",
         {"from": "2023-11-14T22:00:00.000Z", "to": "2023-11-14T23:00:00.000Z", "page": 2}),
        (f"/api/v1/identities?from={WINDOW}&page=2&camera=door", "timeline",
         {"from": "2023-11-14T22:00:00.000Z", "to": "2023-11-14T23:00:00.000Z", "page": 2,
          "cameras": ["door"]}),
        ("/decisions?before=7", "decisions", {"before": 7}),
        ("/api/v1/decisions?before=7&track=1&actor=ivan", "decisions",
         {"before": 7, "track": 1, "actor": "ivan"}),
        ("/audit?actor=mia&before=7", "audit trail", {"actor": "mia", "before": 7}),
        ("/api/v1/audit?action=view&before=9", "audit trail", {"action": "view", "before": 9}),
    ],
)  # fmt: skip
def test_a_page_further_on_is_written_down_with_its_filters(
    own: Served, path: str, subject: str, details: dict[str, Any]
) -> None:
    """`page=2` and `before=` a large number showed everything without a row."""
    by_token = path.startswith("/api/")
    asks = own.program("anna") if by_token else own.client("anna").browser
    assert asks.get(path).status_code == 200
    through = {"through": "token test"} if by_token else {}
    assert [(v.subject, v.details) for v in views(own)] == [(subject, {**details, **through})]


def test_what_a_program_changes_says_through_which_token(own: Served) -> None:
    """Only what was looked at did; decisions and cases read as if the person had made them."""
    program, ivan = own.program("ivan"), own.client("ivan")
    made = program.post("/api/v1/cases", json={"name": "bag", "reason": "left alone"})
    program.post("/api/v1/cases/1/items", json={"track": 1})
    wanted = {"action": "merge", "identity": 1, "other": 2, "reason": "same bag"}
    assert program.post("/api/v1/decisions", json=wanted).status_code == made.status_code == 201
    ivan.post("/cases", name="hat", reason="lost")
    rows = entries(own.store.reader(), actor="ivan", limit=4)[::-1]
    assert [(r.action, r.details.get("through")) for r in rows] == [
        ("case", "token test"), ("case", "token test"), ("decide", "token test"), ("case", None),
    ]  # fmt: skip


def test_what_was_looked_at_is_forgotten_after_a_while_and_never_too_much() -> None:
    now = 0.0
    looked = Looked(lambda: now)
    looked.add("vera session", ["track 1", "/pictures/1"])
    assert looked.covers("vera session", ["track 9", "/pictures/1"])
    assert not looked.covers("vera session", ["track 9"])
    assert not looked.covers("vera token x", ["track 1"])
    now = KEPT
    assert not looked.covers("vera session", ["track 1"])
    looked.add("vera session", ["track 1"])
    looked.add("vera session", (f"/pictures/{n}" for n in range(MOST)))
    assert not looked.covers("vera session", ["track 1"])
    assert len(looked._at) == MOST
