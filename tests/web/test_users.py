"""Administration: users, camera groups, the audit trail."""

from __future__ import annotations

import csv
import io
import re

from sqlalchemy import Connection

from storage import audit
from storage.accounts import accounts
from storage.accounts.accounts import Role
from tests.web.conftest import PASSWORD, Client, Served, text_of


def user_of(served: Served, name: str) -> accounts.UserRow:
    return accounts.find_user(served.store.reader(), name)


def test_an_administrator_makes_a_user_with_rights(own: Served) -> None:
    anna = own.client("anna")
    (doors,) = accounts.groups(own.store.reader())
    made = anna.post("/users", name="Mia", role="investigator", cameras="groups", groups=[doors.id])
    assert made.status_code == 200 and "One-time link for mia" in text_of(made)
    mia = user_of(own, "mia")
    assert (mia.role, mia.all_cameras, mia.groups) == (Role.INVESTIGATOR, False, (doors.id,))
    page = anna.get(f"/users/{mia.id}")
    assert "No password yet" in text_of(page)
    assert 'value="investigator" selected' in page.text
    row = audit.entries(own.store.reader(), action="user", limit=1)[0]
    assert (row.actor, row.subject, row.address) == ("anna", "user mia", "testclient")


def test_what_cannot_be_is_said_beside_the_form_and_nothing_changes(own: Served) -> None:
    anna = own.client("anna")
    before = own.users()
    for name, role, says in (
        ("vera", "viewer", "there is a user 'vera' already"),
        ("../x", "viewer", "user name '../x'"),
        ("mia", "boss", "role 'boss' is none of"),
    ):
        answer = anna.post("/users", name=name, role=role)
        assert answer.status_code == 422
        assert says in text_of(answer)
        assert "New user" in text_of(answer)  # the form is there to be corrected
    last = anna.post(f"/users/{user_of(own, 'anna').id}/disabled", disabled="true")
    assert last.status_code == 422 and "last administrator" in text_of(last)
    assert own.users() == before


def test_disabling_ends_a_running_session_at_once(own: Served) -> None:
    anna, vera = own.client("anna"), own.client("vera")
    program = own.program("vera")
    number = user_of(own, "vera").id
    assert anna.post(f"/users/{number}/disabled", disabled="true").status_code == 303
    assert vera.get("/live").status_code == 401
    assert program.get("/api/v1/me").status_code == 401
    assert "Disabled" in text_of(anna.get(f"/users/{number}"))
    anna.post(f"/users/{number}/disabled", disabled="false")
    assert own.client("vera").get("/live").status_code == 200


def test_a_changed_role_counts_at_the_next_click(own: Served) -> None:
    anna, vera = own.client("anna"), own.client("vera")
    number = user_of(own, "vera").id
    assert vera.get("/users").status_code == 403
    anna.post(f"/users/{number}", role="administrator", cameras="all")
    assert vera.get("/users").status_code == 200
    vera.post(f"/users/{number}", role="viewer", cameras="groups")
    assert vera.get("/users").status_code == 403
    assert "door" not in text_of(vera.get("/live"))


def test_groups_are_made_changed_and_removed(own: Served) -> None:
    anna = own.client("anna")
    assert anna.post("/groups", name="East", cameras=["yard", "door"]).status_code == 303
    groups = {g.name: g for g in accounts.groups(own.store.reader())}
    assert groups["East"].cameras == ("door", "yard")
    for data, says in (
        ({"name": "east"}, "there is a camera group 'east' already"),
        ({"name": " "}, "has 0 characters"),
        ({"name": "West", "cameras": ["nowhere"]}, "there is no camera 'nowhere'"),
    ):
        answer = anna.post("/groups", **data)
        assert answer.status_code == 422 and says in text_of(answer)
    eve = own.client("eve")
    anna.post(f"/groups/{groups['Doors'].id}", name="Gates", cameras=["yard"])
    assert "yard" in text_of(eve.get("/live")) and "door" not in text_of(eve.get("/live"))
    anna.post(f"/groups/{groups['Doors'].id}/remove")
    assert "yard" not in text_of(eve.get("/live"))
    assert anna.post(f"/groups/{groups['Doors'].id}/remove").status_code == 422


def test_the_trail_is_filtered_and_turned_page_by_page(own: Served) -> None:
    for number in range(230):
        own.desk.audit("mia", "search", f"photo {number}", reason="missing child")
    anna = own.client("anna")
    seen: list[str] = []
    path = "/audit?actor=mia&action=search"
    for _ in range(3):
        page = anna.get(path)
        seen += re.findall(r">photo (\d+)<", page.text)
        more = re.search(r'href="(/audit\?[^"]*before=\d+)"', page.text)
        path = more.group(1).replace("&amp;", "&") if more else ""
    assert [int(n) for n in seen] == list(range(229, -1, -1)) and path == ""
    assert "fits" in text_of(anna.get("/audit?actor=mia&start=2100-01-01T00:00"))
    assert "photo 0" in text_of(anna.get("/audit?actor=mia&end=2100-01-01T00:00&before=40"))


def test_looking_at_the_trail_is_an_entry_of_it(own: Served) -> None:
    own.client("anna").get("/audit?actor=vera")
    row = audit.entries(own.store.reader(), action="view", limit=1)[0]
    assert (row.actor, row.subject, row.details) == ("anna", "audit trail", {"actor": "vera"})


def test_the_trail_as_a_table_holds_every_row_and_no_formula(own: Served) -> None:
    evil = '=HYPERLINK("http://evil.example","x")'

    def many(connection: Connection) -> None:
        for number in range(1100):
            entry = audit.Audit("mia", "search", f"photo {number}", 'a, b\nand "c"')
            audit.record(connection, entry)

    own.store.write(many)
    own.desk.audit("mia", "search", evil, reason="+1", details={"a": [1, {"b": "ü"}]})
    answer = own.client("anna").get("/audit.csv?actor=mia")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len(rows) == 1101
    assert rows[0]["subject"] == f"'{evil}" and rows[0]["reason"] == "'+1"
    assert rows[0]["details"] == '{"a": [1, {"b": "ü"}]}'
    assert rows[1]["reason"] == 'a, b\nand "c"'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["time"])
    assert audit.entries(own.store.reader(), limit=1)[0].action == "export"


def test_the_trail_by_the_api_is_for_administrators(own: Served) -> None:
    own.desk.audit("mia", "search", "photo", reason="missing child")
    rows = own.program("anna").get("/api/v1/audit?actor=mia").json()
    assert [(r["actor"], r["action"], r["reason"]) for r in rows] == [
        ("mia", "search", "missing child")
    ]
    refused = own.program("ivan").get("/api/v1/audit")
    assert refused.status_code == 403
    assert "role administrator; yours is investigator" in refused.json()["error"]["message"]
    backwards = own.program("anna").get("/api/v1/audit?start=2026-02-01&end=2026-01-01")
    assert backwards.status_code == 422 and "backwards" in backwards.json()["error"]["message"]


def test_what_a_program_looks_at_is_written_down_with_its_token(own: Served) -> None:
    own.program("anna").get("/api/v1/audit")
    row = audit.entries(own.store.reader(), action="view", limit=1)[0]
    assert (row.actor, row.details) == ("anna", {"through": "token test"})


def test_nobodys_password_is_shown_anywhere(own: Served) -> None:
    anna: Client = own.client("anna")
    for path in ("/users", "/users/1", "/audit", "/audit.csv", "/account"):
        assert PASSWORD not in anna.get(path).text and "$argon2" not in anna.get(path).text
