"""What is made in the background: rights count when it is made, and when it is fetched."""

from __future__ import annotations

import io
import threading
import time
import zipfile

from tests.web.conftest import text_of
from tests.web.people import People
from tests.web.test_case_pages import opened, ready


def test_a_case_that_grows_while_its_export_waits(own_people: People) -> None:
    """Another's track of another camera came into it: the export must not hand it over."""
    ivan, eve = own_people.browse("ivan"), own_people.browse("eve")
    go_on = threading.Event()
    own_people.app.state.jobs.start("ivan", "a clip", "a.mp4", lambda path, tell: go_on.wait(60))
    there = opened(eve, "Hers")
    eve.send("/cases/add", {"case": "1", "track": 1})
    answer = eve.post(f"{there}/export", reason="x")
    assert answer.status_code == 303, answer.text
    assert ivan.send("/cases/add", {"case": "1", "track": 3}).status_code == 303
    go_on.set()
    job = str(answer.headers["location"])
    assert "you may not see" in text_of(ready(eve, job))
    assert eve.get(f"{job}/file").status_code == 404
    assert not own_people.audit("export")


def test_a_file_is_not_handed_out_once_its_cameras_are_taken_away(own_people: People) -> None:
    eve, anna = own_people.browse("eve"), own_people.browse("anna")
    there = opened(eve, "Hers")
    eve.send("/cases/add", {"case": "1", "track": 1})
    job = str(eve.post(f"{there}/export", reason="x").headers["location"])
    ready(eve, job)
    content = eve.get(f"{job}/file").content
    assert "crops/track-00000001" in " ".join(zipfile.ZipFile(io.BytesIO(content)).namelist())
    api = f"/api/v1/jobs/{job.rsplit('/', 1)[1]}"
    program = own_people.program("eve")
    assert program.get(f"{api}/file").status_code == 200
    user = next(user for user in own_people.users() if user.name == "eve")
    anna.post(f"/users/{user.id}", role="investigator", cameras="groups")
    for address in (job, f"{job}/file"):
        assert eve.get(address).status_code == 404
    for address in (api, f"{api}/file"):
        assert program.get(address).status_code == 404


def test_an_export_by_a_token_says_so(own_people: People) -> None:
    ivan, program = own_people.browse("ivan"), own_people.program("ivan")
    opened(ivan)
    ivan.send("/cases/add", {"case": "1", "track": 1})
    asked = program.post("/api/v1/cases/1/export", json={"reason": "x"})
    assert asked.status_code == 202, asked.text
    end = time.monotonic() + 60
    while program.get(f"/api/v1/jobs/{asked.json()['job']}").json()["state"] != "ready":
        assert time.monotonic() < end
        time.sleep(0.05)
    (row,) = own_people.audit("export")
    assert "token" in str(row.details.get("through")), row.details
