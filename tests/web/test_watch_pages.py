"""The watch list on the pages: made, looked through, its alerts with evidence, seen, ended."""

from __future__ import annotations

import re
import time

import pytest

from investigation.search.yardstick import Yardstick
from investigation.watching.watcher import Watcher
from reid.errors import ConfigError
from storage.accounts.keys import Keys
from storage.watches.alerts import alerts
from storage.watches.rows import watches
from tests.web.conftest import PASSWORD, text_of
from tests.web.people import Browser, People, body, photo
from web.watch import check_notify

ASKED = {"name": "red jacket", "reason": "missing child", "expires": "2d", "level": "possible"}


def watch(browser: Browser, **data: object) -> str:
    """Make a watch; its address."""
    answer = browser.send("/watches", {**ASKED, **data})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def look(people: People) -> None:
    """What the background of `crosscam serve` does every two seconds."""
    Watcher(people.desk.store, Yardstick.from_weights()).check()


def test_from_a_search_to_an_alert_that_was_seen(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    key = ivan.found({}, ("red.jpg", photo(body("red", 99)))).split("/")[2]
    form = ivan.get(f"/watches/new?query={key}")
    assert "Watch for photo red.jpg" in text_of(form)
    assert ivan.get(f"/watches/new/picture?query={key}").content.startswith(b"\xff\xd8")
    there = watch(ivan, query=key)
    look(own_people)
    page = ivan.get(there)
    assert "red jacket" in page.text and "missing child" in page.text
    assert ivan.get(f"{there}/picture").content.startswith(b"\xff\xd8")
    rows = alerts(own_people.desk.reader)
    assert {1, 2} <= {row.track for row in rows}  # the red person, once in each camera
    assert f"<b>{len(rows)}</b>" in ivan.get("/alerts/unseen").text
    row = next(row for row in rows if row.track == 2)
    evidence = ivan.get(f"/alerts/{row.id}")
    assert row.evidence["why"] in text_of(evidence)
    assert f"{row.distance:.3f}" in evidence.text
    assert evidence.text.count("<meter") == 2 * len(row.evidence["parts"])
    assert 'src="/watches/1/picture"' in evidence.text and 'src="/pictures/' in evidence.text
    assert ivan.post(f"/alerts/{row.id}/seen").status_code == 303
    assert "Seen by ivan" in text_of(ivan.get(f"/alerts/{row.id}"))
    assert f"<b>{len(rows) - 1}</b>" in ivan.get("/alerts/unseen").text
    assert f'href="/alerts/{row.id}"' not in ivan.get("/alerts").text
    assert f'href="/alerts/{row.id}"' in ivan.get("/alerts?all=true").text
    assert [e.subject for e in own_people.audit("alert-seen")] == [f"alert {row.id}"]
    assert own_people.audit("watch")[-1].address == "testclient"


def test_the_ticked_are_marked_together(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    watch(ivan, track=1)
    look(own_people)
    ticked = re.findall(r'name="alert" value="(\d+)"', ivan.get("/alerts").text)
    assert ticked
    assert ivan.send("/alerts/seen", {"alert": ticked}).status_code == 303
    assert "Nothing waits" in text_of(ivan.get("/alerts"))
    assert ivan.get("/alerts/unseen").text == ""


def test_a_watch_of_an_identity_lets_decide(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    watch(ivan, track=2, level="possible")
    look(own_people)
    row = next(r for r in alerts(own_people.desk.reader) if r.track == 1)
    text = text_of(ivan.get(f"/alerts/{row.id}"))
    assert "The watch was made of identity 1; track 1 is linked with it" in text


def test_ending_needs_a_reason_and_keeps_the_alerts(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = watch(ivan, identity=1)
    answer = ivan.post(f"{there}/end", reason=" ")
    assert answer.status_code == 422
    assert "say why" in text_of(answer)
    assert ivan.post(f"{there}/end", reason="was found").status_code == 303
    assert "Nobody is watched for" in text_of(ivan.get("/watches"))
    assert "red jacket" in text_of(ivan.get("/watches?ended=true"))
    assert own_people.audit("watch")[0].reason == "was found"
    assert ivan.post(f"{there}/end", reason="again").status_code == 422


def test_what_cannot_be_watched_is_told_and_the_form_kept(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    for data, status, says in (
        ({}, 422, "one search, one track or one identity"),
        ({"track": 1, "identity": 1}, 422, "one search, one track or one identity"),
        ({"track": 99}, 404, "here is no track 99"),
        ({"identity": 99}, 404, "here is no identity 99"),
        ({"query": "nothing"}, 404, "his search is over"),
        ({"track": 1, "name": " "}, 422, "needs a name"),
        ({"track": 1, "reason": " "}, 422, "needs a reason"),
        ({"track": 1, "until": "2001-01-01T00:00"}, 422, "has passed"),
        ({"track": 1, "level": "sure"}, 422, "level 'sure'"),
        ({"track": 1, "cameras": ["attic"]}, 422, "no camera 'attic'"),
        ({"track": 1, "notify": "gopher://x"}, 422, "these are allowed"),
    ):
        answer = ivan.send("/watches", {**ASKED, **data})
        assert answer.status_code == status, (data, answer.text)
        assert says in text_of(answer), data
    assert watches(own_people.desk.reader) == []


def test_a_secret_is_never_shown_again(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = watch(ivan, track=1, notify="mqtt://desk:geheim@broker/alerts\nhttps://host/hook-4711")
    for text in (ivan.get(there).text, ivan.get("/watches").text):
        assert "geheim" not in text and "4711" not in text
    assert "mqtt://desk:****@broker" in ivan.get(there).text


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/${CROSSCAM_STORE}",
        "https://evil.example/${CROSSCAM_NOTIFY_DESK}",
        "${CROSSCAM_STORE}",
        "${HOME}",
        "file:///etc/passwd",
        "msteams://a/b/c?template=/etc/passwd",
        "syslog://",
        "mailto://u:p@mail.example?pgppub=/etc/hostname",
        "mailtos://u:p@mail.example/?to=a@b.example&%50gpprv=/etc/hostname",
        "mailto://u:p@mail.example?to=a@b.example;pgp=sign",
        "mailto://u:p@mail.example?wkd=yes",
    ],
)
def test_the_network_cannot_have_the_servers_secrets_sent(address: str) -> None:
    with pytest.raises(ConfigError):
        check_notify([address])


def test_addresses_that_may_come_over_the_network() -> None:
    fine = [
        "https://host/hook",
        "mqtts://u:p@h/t",
        "${CROSSCAM_NOTIFY_DESK}",
        "mailto://u:p@mail.example?to=wkd@pgp.example&name=pgp",
        "https://host/?pgp=1",
    ]
    assert check_notify([*fine, "  ", ""]) == fine


def test_eve_watches_her_cameras_and_sees_nothing_of_others(own_people: People) -> None:
    ivan, eve = own_people.browse("ivan"), own_people.browse("eve")
    all_cameras = watch(ivan, track=1)
    yard = watch(ivan, track=3, cameras=["door"])  # its picture is of the yard
    hers = watch(eve, identity=1)
    assert watches(own_people.desk.reader, watch=3)[0].cameras == ("door",)
    assert watches(own_people.desk.reader, watch=3)[0].tracks == (1,)
    look(own_people)
    assert "1 watch" in text_of(eve.get("/watches"))
    assert eve.get(hers).status_code == 200
    rows = alerts(own_people.desk.reader)
    assert any(row.watch == 1 for row in rows)
    for row in rows:
        expected = 200 if row.watch == 3 and row.camera == "door" else 404
        assert eve.get(f"/alerts/{row.id}").status_code == expected
        assert eve.post(f"/alerts/{row.id}/seen").status_code in (303, expected)
    for address in (all_cameras, yard):
        assert eve.get(address).status_code == 404
        assert eve.get(f"{address}/picture").status_code == 404
        assert eve.post(f"{address}/end", reason="x").status_code == 404
    assert eve.send("/watches", {**ASKED, "track": 3}).status_code == 404
    assert eve.send("/watches", {**ASKED, "track": 1, "cameras": ["yard"]}).status_code == 422


def test_a_server_that_does_not_look_says_so(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    assert "started with --no-watch" in text_of(ivan.get("/watches"))


def test_the_count_in_the_navigation_does_not_keep_a_session_alive(own_people: People) -> None:
    now = time.time()
    clock = [now]
    desk = own_people.desk
    keys = Keys(desk.store, desk.passwords, idle=100, clock=lambda: clock[0])
    cookie = keys.sign_in("ivan", PASSWORD, None)
    assert cookie is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(desk), "keys", keys)
        headers = {"cookie": f"crosscam={cookie}"}
        browser = own_people.stranger(headers=headers)
        for clock[0] in (now + 40, now + 80):
            assert browser.get("/alerts/unseen").status_code == 200
        clock[0] = now + 101
        assert browser.get("/alerts/unseen").status_code == 401
