"""Cases on the pages: opened, filled from other pages, exported, downloaded, closed."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile

from httpx import Response

from storage.cases import case, case_items, cases
from tests.web.conftest import text_of
from tests.web.people import Browser, People


def opened(browser: Browser, name: str = "Lost boy") -> str:
    """A new case; its address."""
    answer = browser.send("/cases", {"name": name, "reason": "report 12"})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def ready(browser: Browser, there: str) -> Response:
    """Wait for a job's page to say that it is over."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        page = browser.get(there)
        if 'hx-trigger="every 1s"' not in page.text:
            return page
        time.sleep(0.05)
    raise AssertionError(page.text)


def test_open_add_export_download(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = opened(ivan)
    for where, link in (
        ("/tracks/3", "/cases/add?track=3&amp;back=/tracks/3"),
        ("/identities/1", "/cases/add?identity=1&amp;back=/identities/1"),
    ):
        assert f'href="{link}"' in ivan.get(where).text
        form = ivan.get(link.replace("&amp;", "&"))
        assert "1. Lost boy" in form.text
    assert ivan.send("/cases/add", {"case": "1", "track": 3, "note": "green"}).status_code == 303
    ivan.send("/cases/add", {"case": "1", "identity": 1})
    stretch = {"camera": ["door", "yard"], "from": "2026-01-31T12:00:00Z",
               "to": "2026-01-31T12:01:00Z"}  # fmt: skip
    ivan.send("/cases/add", {"case": "1", **stretch})
    text = text_of(ivan.get(there))
    assert "Track 3 (yard)" in text and "green" in text
    assert "Identity 1 (door, yard)" in text
    assert "Footage of yard" in text
    answer = ivan.post(f"{there}/export", reason="for the police", blur="yes")
    assert answer.status_code == 303, answer.text
    job = str(answer.headers["location"])
    page = ready(ivan, job)
    assert "Ready:" in text_of(page), text_of(page)
    assert "No footage of" in text_of(page)  # this store has none: said, not swallowed
    content = ivan.get(f"{job}/file").content
    digest = hashlib.sha256(content).hexdigest()
    assert digest in page.text
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert "report.html" in names and names[-1] == "manifest.json"
    listed = ivan.get(there).text
    assert digest in listed and "for the police" in listed
    downloaded, exported = own_people.audit("export")
    assert exported.details["sha256"] == downloaded.details["of"] == digest
    assert exported.details["others_blurred"] is True
    assert (exported.actor, exported.address) == ("ivan", "testclient")


def test_an_export_belongs_to_who_asked(own_people: People) -> None:
    ivan, anna = own_people.browse("ivan"), own_people.browse("anna")
    there = opened(ivan)
    ivan.send("/cases/add", {"case": "1", "track": 3})
    job = str(ivan.post(f"{there}/export", reason="x").headers["location"])
    ready(ivan, job)
    for address in (job, f"{job}/file", job.replace("/cases/1/", "/cases/2/")):
        assert anna.get(address).status_code == 404
    assert ivan.get(job.replace("/cases/1/", "/cases/2/")).status_code == 404


def test_into_a_new_case_from_the_form(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    data = {"case": "new", "name": "Bag", "reason": "left alone", "track": 4, "back": "/tracks/4"}
    answer = ivan.send("/cases/add", {**data, "reason": " "})
    assert answer.status_code == 422
    assert "a case needs a reason" in text_of(answer)
    assert 'value="Bag"' in answer.text
    assert ivan.send("/cases/add", data).headers["location"] == "/cases/1"
    assert [item.track for item in case_items(own_people.desk.reader, 1)] == [4]


def test_what_is_refused_leaves_no_case_behind(own_people: People) -> None:
    """Each try to add what cannot be added left another empty case."""
    ivan = own_people.browse("ivan")
    new = {"case": "new", "name": "Bag", "reason": "left alone"}
    noon, night = "2026-01-31T12:00", "9999-12-31T23:59:59-01:00"
    for data in (
        {"camera": "door", "from": noon, "to": noon},
        {"camera": "door", "from": noon, "to": night},
        {"camera": "door", "from": "0001-01-01T00:00", "to": noon},
        {"track": 4, "note": "x" * 2001},
        {"track": 4, "case": "9" * 20},
    ):
        assert ivan.send("/cases/add", {**new, **data}).status_code == 422, data
        assert cases(own_people.desk.reader) == [], data


def test_take_out_and_close(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = opened(ivan)
    ivan.send("/cases/add", {"case": "1", "track": 3})
    assert ivan.post(f"{there}/items/1/remove", reason=" ").status_code == 422
    assert ivan.post(f"{there}/items/1/remove", reason="a mistake").status_code == 303
    assert ivan.post(f"{there}/items/1/remove", reason="again").status_code == 404
    assert case_items(own_people.desk.reader, 1) == []
    answer = ivan.post(f"{there}/export", reason="x")
    assert answer.status_code == 422 and "holds nothing" in text_of(answer)
    assert ivan.post(f"{there}/close", reason="done").status_code == 303
    assert case(own_people.desk.reader, 1).closed is not None
    text = text_of(ivan.get(there))
    assert "Closed" in text and "Close the case" not in text
    answer = ivan.send("/cases/add", {"case": "1", "track": 3})
    assert answer.status_code == 422 and "was closed" in text_of(answer)
    assert "Lost boy" not in ivan.get("/cases/add?track=3").text
    said = [(e.details["action"], e.reason) for e in own_people.audit("case")]
    assert said[:2] == [("close", "done"), ("remove", "a mistake")]


def test_what_cannot_be_added_is_told(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    opened(ivan)
    stretch = {"from": "2026-01-31T12:00", "to": "2026-01-31T11:00"}
    for data, status, says in (
        ({}, 422, "one track, one identity, or footage"),
        ({"track": 1, "identity": 1}, 422, "one track, one identity, or footage"),
        ({"track": 99}, 404, "here is no track 99"),
        ({"identity": 99}, 404, "here is no identity 99"),
        ({"camera": "attic", **stretch}, 404, "here is no camera"),
        ({"camera": "door"}, 422, "needs a time from and to"),
        ({"camera": "door", **stretch}, 422, "backwards"),
        ({"track": 1, "case": "77"}, 404, "here is no case 77"),
        ({"track": 1, "case": "x"}, 422, "choose a case"),
    ):
        answer = ivan.send("/cases/add", {"case": "1", **data})
        assert answer.status_code == status, (data, answer.text)
        assert says in text_of(answer), data


def test_eve_sees_of_a_case_what_her_cameras_saw(own_people: People) -> None:
    ivan, eve = own_people.browse("ivan"), own_people.browse("eve")
    there = opened(ivan, "Yard only")
    ivan.send("/cases/add", {"case": "1", "track": 3})
    assert eve.get(there).status_code == 404
    assert "Yard only" not in eve.get("/cases").text
    ivan.send("/cases/add", {"case": "1", "identity": 1})
    text = text_of(eve.get(there))
    assert "Identity 1 (door)" in text and "Track 3" not in text
    assert "1 more item is of cameras that you may not see" in text
    assert eve.post(f"{there}/export", reason="x").status_code == 403
    assert eve.post(f"{there}/items/1/remove", reason="x").status_code == 404
    assert eve.send("/cases/add", {"case": "1", "track": 3}).status_code == 404
    hers = opened(eve, "Hers")
    eve.send("/cases/add", {"case": "2", "identity": 1})
    assert eve.post(f"{hers}/export", reason="x").status_code == 403  # the yard saw it as well
