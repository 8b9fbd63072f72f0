"""Watches, alerts, cases, exports, clips and holds for programs."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from fastapi.testclient import TestClient

from investigation.search.yardstick import Yardstick
from investigation.watching.watcher import Watcher
from tests.web.people import People

V1 = "/api/v1"
WANTED = {"name": "red", "reason": "missing child", "expires": "2d", "level": "possible"}


def over(program: TestClient, key: str) -> Any:
    """Wait for a job's end."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        job = program.get(f"{V1}/jobs/{key}").json()
        if job["state"] in ("ready", "failed"):
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def test_watch_alert_seen_end(own_people: People) -> None:
    program = own_people.program("ivan")
    answer = program.post(f"{V1}/watches", json={**WANTED, "track": 1})
    assert answer.status_code == 201, answer.text
    watch = answer.json()
    assert (watch["watch"], watch["state"], watch["past"]) == (1, "active", None)
    Watcher(own_people.desk.store, Yardstick.from_weights()).check()
    found = program.get(f"{V1}/alerts", params={"watch": 1, "unseen": True}).json()
    alert = next(a for a in found if a["track"] == 2)
    assert alert["verdict"] in ("strong", "possible") and alert["parts"]
    assert program.get(alert["picture"]).content.startswith(b"\xff\xd8")
    assert "targets" not in alert and "sent" not in alert
    newest = max(a["alert"] for a in found)
    assert program.get(f"{V1}/alerts", params={"after": newest}).json() == []
    seen = program.post(f"{V1}/alerts/{alert['alert']}/seen").json()
    assert seen["seen_by"] == "ivan"
    assert program.get(f"{V1}/alerts/{alert['alert']}").json() == seen
    assert program.get(f"{V1}/watches/1").json()["alerts"] == len(found)
    ended = program.post(f"{V1}/watches/1/end", json={"reason": "found"}).json()
    assert ended["state"] == "ended"
    assert program.get(f"{V1}/watches").json() == []
    assert len(program.get(f"{V1}/watches", params={"ended": True}).json()) == 1


def test_a_program_sees_what_its_user_sees(own_people: People) -> None:
    ivan, eve = own_people.program("ivan"), own_people.program("eve")
    ivan.post(f"{V1}/watches", json={**WANTED, "track": 1})
    Watcher(own_people.desk.store, Yardstick.from_weights()).check()
    assert eve.get(f"{V1}/watches").json() == []
    assert eve.get(f"{V1}/alerts").json() == []
    assert eve.get(f"{V1}/watches/1").status_code == 404
    assert eve.get(f"{V1}/alerts/1").status_code == 404
    assert eve.post(f"{V1}/watches", json={**WANTED, "track": 3}).status_code == 404
    wrong = {**WANTED, "track": 1, "notify": ["https://evil/${CROSSCAM_STORE}"]}
    answer = ivan.post(f"{V1}/watches", json=wrong)
    assert answer.status_code == 422
    assert "${CROSSCAM_NOTIFY_NAME}" in answer.json()["error"]["message"]


def test_case_to_export(own_people: People) -> None:
    program, other = own_people.program("ivan"), own_people.program("anna")
    made = program.post(f"{V1}/cases", json={"name": "Lost", "reason": "report 12"})
    assert made.status_code == 201
    answer = program.post(f"{V1}/cases/1/items", json={"identity": 1, "note": "red"})
    assert answer.status_code == 201, answer.text
    stretch = {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T12:01:00Z"}
    clips = program.post(f"{V1}/cases/1/items", json={"cameras": ["door", "yard"], **stretch})
    assert [item["camera"] for item in clips.json()] == ["door", "yard"]
    removed = program.post(f"{V1}/cases/1/items/2/remove", json={"reason": "wrong"}).json()
    assert [item["id"] for item in removed["holds"]] == [1, 3]
    begun = program.post(f"{V1}/cases/1/export", json={"reason": "for the police"})
    assert begun.status_code == 202, begun.text
    key = begun.json()["job"]
    job = over(program, key)
    assert job["state"] == "ready", job
    content = program.get(job["file"]).content
    assert hashlib.sha256(content).hexdigest() == job["sha256"]
    assert other.get(f"{V1}/jobs/{key}").status_code == 404
    assert other.get(f"{V1}/jobs/{key}/file").status_code == 404
    whole = program.get(f"{V1}/cases/1").json()
    assert [e["sha256"] for e in whole["exports"]] == [job["sha256"]]
    closed = program.post(f"{V1}/cases/1/close", json={"reason": "done"}).json()
    assert closed["closed"] is not None
    assert program.get(f"{V1}/cases", params={"closed": False}).json() == []
    assert program.post(f"{V1}/cases/1/items", json={"track": 3}).status_code == 422
    assert own_people.audit("case")[0].details["action"] == "close"


def test_a_clip_without_footage_fails_and_says_why(own_people: People) -> None:
    program = own_people.program("ivan")
    answer = program.post(f"{V1}/clips", json={"track": 1})
    assert answer.status_code == 202, answer.text
    job = over(program, answer.json()["job"])
    assert job["state"] == "failed" and job["problem"]
    assert program.get(f"{V1}/jobs/{job['job']}/file").status_code == 404
    assert program.post(f"{V1}/clips", json={"track": 99}).status_code == 404
    assert program.post(f"{V1}/clips", json={}).status_code == 422


def test_holds(own_people: People) -> None:
    program = own_people.program("anna")
    wanted = {"camera": "door", "reason": "report", "from": "2026-01-31T12:00:00Z",
              "to": "2026-01-31T13:00:00Z"}  # fmt: skip
    made = program.post(f"{V1}/holds", json=wanted)
    assert made.status_code == 201, made.text
    assert made.json()["from"] == "2026-01-31T12:00:00.000000Z"
    assert [h["id"] for h in program.get(f"{V1}/holds").json()] == [1]
    released = program.post(f"{V1}/holds/1/release", json={"reason": "over"}).json()
    assert released["released"] is not None
    assert program.get(f"{V1}/holds").json() == []
    assert program.post(f"{V1}/holds/9/release", json={"reason": "x"}).status_code == 404
    assert program.post(f"{V1}/holds/1/release", json={"reason": " "}).status_code == 422


def test_what_is_there_is_described(own_people: People) -> None:
    spec = own_people.stranger().get("/openapi.json").json()["paths"]
    for path in ("watches", "alerts", "cases", "cases/{case}/export", "clips", "jobs/{key}/file"):
        assert f"{V1}/{path}" in spec
