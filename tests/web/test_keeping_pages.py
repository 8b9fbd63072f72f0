"""Holds and erasure on the pages: administrators alone, each with its reason."""

from __future__ import annotations

from storage.decisions.decide import Decisions
from storage.footage.holds import holds
from storage.sightings import tracks_by_id
from storage.watches.rows import watches
from tests.web.conftest import text_of
from tests.web.people import People

STRETCH = {"from": "2026-01-31T12:00:00", "to": "2026-01-31T13:00:00"}


def test_place_and_release_a_hold(own_people: People) -> None:
    anna = own_people.browse("anna")
    held = {"camera": "door", "reason": "report 12", **STRETCH}
    assert anna.send("/holds", held).status_code == 303
    assert anna.send("/holds", {**held, "camera": ""}).status_code == 303
    text = text_of(anna.get("/holds"))
    assert "door" in text and "all cameras" in text and "report 12" in text
    assert anna.post("/holds/1/release", reason=" ").status_code == 422
    assert anna.post("/holds/1/release", reason="over").status_code == 303
    assert [row.id for row in holds(own_people.desk.reader)] == [2]
    assert "Released" not in text_of(anna.get("/holds"))
    assert "Released" in text_of(anna.get("/holds?released=true"))
    assert [e.reason for e in own_people.audit("hold")] == ["over", "report 12", "report 12"]
    for wrong, says in (
        ({"camera": "attic"}, "no camera 'attic'"),
        ({"reason": " "}, "needs a reason"),
        ({"to": "2026-01-31T11:00:00"}, "backwards"),
        ({"to": ""}, "needs a time"),
        ({"case": 9}, "no case 9"),
    ):
        answer = anna.send("/holds", {**held, **wrong})
        assert answer.status_code == 422 and says in text_of(answer), wrong
    assert anna.post("/holds/77/release", reason="x").status_code == 404


def test_erase_after_a_look_and_the_number_again(own_people: People) -> None:
    ivan, anna = own_people.browse("ivan"), own_people.browse("anna")
    searched = ivan.from_stored(track=1)
    data = {"identity": 1, "name": "red", "reason": "r", "expires": "2d"}
    assert ivan.send("/watches", data).status_code == 303
    assert 'href="/identities/1/erase"' in anna.get("/identities/1").text
    assert 'href="/identities/1/erase"' not in ivan.get("/identities/1").text
    assert ivan.get("/identities/1/erase").status_code == 403
    assert ivan.post("/identities/1/erase", again=1, reason="x").status_code == 403
    text = text_of(anna.get("/identities/1/erase"))
    assert "2 tracks" in text and "Also the watches made of it" in text and "red" in text
    for wrong, says in (
        ({"again": 2, "reason": "request"}, "type the number 1 again"),
        ({"reason": "request"}, "type the number 1 again"),
        ({"again": 1, "reason": " "}, "say why"),
    ):
        answer = anna.post("/identities/1/erase", **wrong)
        assert answer.status_code == 422 and says in text_of(answer)
    assert len(tracks_by_id(own_people.desk.reader, [1, 2])) == 2
    answer = anna.post("/identities/1/erase", again=1, reason="request 7", watches="true")
    assert answer.status_code == 200, text_of(answer)
    assert "Identity 1 is erased" in text_of(answer)
    assert tracks_by_id(own_people.desk.reader, [1, 2]) == []
    assert watches(own_people.desk.reader) == []
    assert anna.get("/identities/1").status_code == 404
    assert anna.get("/identities/1/erase").status_code == 404
    assert ivan.get(searched).status_code == 404  # a search made of the person is over
    (entry,) = own_people.audit("erase")
    assert (entry.actor, entry.reason, entry.subject) == ("anna", "request 7", "identity 1")
    assert entry.address == "testclient"


def test_a_watch_is_kept_where_that_was_chosen_and_told(own_people: People) -> None:
    anna = own_people.browse("anna")
    data = {"identity": 2, "name": "green", "reason": "r", "expires": "2d"}
    assert anna.send("/watches", data).status_code == 303
    text = text_of(anna.post("/identities/2/erase", again=2, reason="request 8"))
    assert "watch 1 (green) was made of it and holds its look" in text
    assert len(watches(own_people.desk.reader)) == 1


def test_who_was_merged_away_is_not_erased_but_named(own_people: People) -> None:
    """It said that the person was erased, who stayed under the other number."""
    anna = own_people.browse("anna")
    Decisions(own_people.desk.store).merge(3, 1, "ivan", "one person")
    says = "dentity 1 has no tracks any more: it went into 3; erase that one"
    for answer in (
        anna.get("/identities/1/erase"),
        anna.post("/identities/1/erase", again=1, reason="request 9"),
    ):
        assert answer.status_code == 409 and says in text_of(answer)
    assert own_people.audit("erase") == []
    assert "Identity 3 is erased" in text_of(
        anna.post("/identities/3/erase", again=3, reason="request 9")
    )
    assert tracks_by_id(own_people.desk.reader, [1, 2]) == []
