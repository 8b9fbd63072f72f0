"""Deciding on the page: confirm, reject, merge, split, undo, and who may."""

from __future__ import annotations

import re

from storage.sightings import tracks_by_id
from tests.web.conftest import text_of
from tests.web.people import Browser, People, hits


def identity_of(people: People, track: int) -> int | None:
    return tracks_by_id(people.desk.reader, [track])[0].identity


def decide(browser: Browser, action: str, **data: object) -> str:
    answer = browser.send("/decisions", {"action": action, **data})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_confirm_and_undo_from_the_evidence(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = ivan.from_stored(track=1)
    hit = f"{there}/hit/3"
    text = text_of(ivan.get(hit))
    assert "The person searched for is identity 1; track 3 is identity 2" in text
    back = decide(ivan, "confirm", track=3, identity=1, search=there.split("/")[2], back=hit)
    assert identity_of(own_people, 3) == 1
    assert back == f"{hit}?decided=1"
    page = ivan.get(back)
    assert "Track 3 confirmed as identity 1, before identity 2" in text_of(page)
    assert "You said: looks alike" in text_of(page)
    (made,) = own_people.decided()
    assert (made.actor, made.reason) == ("ivan", "search for track 1: missing child")
    back = decide(ivan, "undo", decision=made.id, back=hit, search=there.split("/")[2])
    assert identity_of(own_people, 3) == 2
    text = text_of(ivan.get(back))
    assert "Decision 1 undone" in text
    assert "You said" not in text
    assert [row.subject for row in own_people.audit("decide")] == ["decision 1", "track 3"]


def test_a_rejected_track_is_not_proposed_again(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = ivan.from_stored(identity=1)
    assert 3 in hits(ivan.get(there).text)
    decide(ivan, "reject", track=3, identity=1, back="/decisions")
    page = ivan.get(there)
    assert 3 not in hits(page.text)
    assert "1 left out" in text_of(page)
    assert 3 not in hits(ivan.get(ivan.from_stored(identity=1)).text)


def test_the_first_confirmation_tells_whom_a_photo_shows(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = ivan.found()
    key = there.split("/")[2]
    text = text_of(ivan.get(f"{there}/hit/1"))
    assert "Track 1 is identity 1. With a confirmation this search is about that identity" in text
    assert "reject" not in text
    decide(ivan, "confirm", track=1, identity=1, search=key, back=f"{there}/hit/1")
    text = text_of(ivan.get(f"{there}/hit/4"))
    assert "The person searched for is identity 1; track 4 is identity 3" in text
    assert "Somebody else: reject" in text


def test_somebody_else_than_on_the_photo(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = ivan.found()
    answer = ivan.post(f"{there}/hit/4/refuse")
    assert answer.headers["location"] == f"{there}/hit/4"
    assert "You said: somebody else" in text_of(ivan.get(there))
    entry = own_people.audit("decide")[0]
    assert (entry.actor, entry.subject, entry.reason) == ("ivan", "track 4", "missing child")
    ivan.post(f"{there}/hit/4/refuse", refused="false")
    assert "You said" not in text_of(ivan.get(there))
    assert own_people.decided() == []  # no identity was known: nothing for the ledger


def test_merge_look_first_then_undo(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    answer = ivan.get("/identities/1/with?other=3")
    assert answer.headers["location"] == "/identities/1/with/3"
    page = ivan.get("/identities/1/with/3")
    assert page.text.count('<img src="/pictures/') == 3  # two tracks of 1, one of 3
    back = decide(ivan, "merge", identity=1, other=3, back="/identities/1")
    assert identity_of(own_people, 4) == 1
    text = text_of(ivan.get(back))
    assert "Identity 3 merged into identity 1 (track 4)" in text
    gone = ivan.get("/identities/3")
    assert (gone.status_code, gone.headers["location"]) == (303, "/identities/1?merged=3")
    assert "Identity 3 was merged into this one" in text_of(ivan.get("/identities/1?merged=3"))
    decide(ivan, "undo", decision=1, back="/identities/1")
    assert identity_of(own_people, 4) == 3


def test_split_the_ticked(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    page = ivan.get("/identities/1")
    assert re.findall(r'name="tracks" value="(\d+)"', page.text) == ["1", "2"]
    decide(ivan, "split", identity=1, tracks=[2], back="/identities/1")
    assert identity_of(own_people, 1) == 1
    assert identity_of(own_people, 2) not in (None, 1)
    answer = ivan.send("/decisions", {"action": "split", "identity": 1, "tracks": []})
    assert answer.status_code == 422
    assert "no track was named to be split off" in text_of(answer)


def test_what_cannot_be_decided_is_told(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    for data, status, says in (
        ({"action": "dance"}, 422, "allowed: confirm, reject"),
        ({"action": "confirm", "track": 1}, 422, "dentity is missing"),
        ({"action": "confirm", "track": 99, "identity": 1}, 404, "here is no track 99"),
        ({"action": "confirm", "track": 1, "identity": 99}, 404, "here is no identity 99"),
        ({"action": "merge", "identity": 1, "other": 1}, 422, "cannot be merged with itself"),
        ({"action": "undo", "decision": 99}, 404, "here is no decision 99"),
        ({"action": "confirm", "track": 2**70, "identity": 1}, 422, "rack"),
    ):
        answer = ivan.send("/decisions", data)
        assert (answer.status_code, says in text_of(answer)) == (status, True), (data, answer.text)
    assert own_people.decided() == []


def test_nobody_is_sent_to_another_site(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    assert decide(ivan, "confirm", track=1, identity=1, back="//evil.example") == "/?decided=1"


def test_only_what_one_sees_can_be_decided(own_people: People) -> None:
    eve = own_people.browse("eve")  # the door alone: tracks 1 and 4
    for data, status in (
        ({"action": "confirm", "track": 3, "identity": 1}, 404),
        ({"action": "confirm", "track": 4, "identity": 2}, 404),
        ({"action": "split", "identity": 1, "tracks": [2]}, 404),
        ({"action": "merge", "identity": 3, "other": 1}, 403),  # would move track 2 of the yard
    ):
        assert eve.send("/decisions", data).status_code == status, data
    decide(own_people.browse("ivan"), "merge", identity=3, other=1)
    assert eve.send("/decisions", {"action": "undo", "decision": 1}).status_code == 403
    assert own_people.browse("vera").send(
        "/decisions", {"action": "undo", "decision": 1}
    ).status_code == 403  # fmt: skip
    assert identity_of(own_people, 1) == 3


def test_a_decision_names_no_track_of_cameras_one_may_not_see(own_people: People) -> None:
    ivan, eve = own_people.browse("ivan"), own_people.browse("eve")  # eve: the door, tracks 1, 4
    decide(ivan, "merge", identity=3, other=1)
    assert "Identity 1 merged into identity 3 (tracks 1, 2)" in text_of(ivan.get("/decisions"))
    for page in ("/decisions", "/identities/3", "/tracks/1?decided=1"):
        answer = eve.get(page)
        said = "Identity 1 merged into identity 3 (tracks 1 and 1 of cameras you may not see)"
        assert said in text_of(answer), page
        assert 'name="decision" value="1"' not in answer.text  # undoing it would be refused
    for program, tracks, hidden in (("ivan", [1, 2], 0), ("eve", [1], 1)):
        rows = own_people.program(program).get("/api/v1/decisions").json()
        assert [(row["tracks"], row["hidden"]) for row in rows] == [(tracks, hidden)]
        one = own_people.program(program).get("/api/v1/decisions/1").json()
        assert (one["tracks"], one["hidden"]) == (tracks, hidden)


def test_the_list_of_decisions_and_the_precision(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    decide(ivan, "confirm", track=2, identity=1, reason="same scar")
    text = text_of(ivan.get("/decisions"))
    assert "Track 2 confirmed as identity 1" in text
    assert "same scar" in text
    text = text_of(ivan.get("/precision"))
    assert "100.0 % 1 of 1" in text
    assert "0.375 (as it is)" in text
