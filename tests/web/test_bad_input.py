"""Each parameter of each route, as somebody would fill it who looks for a way to our files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import cv2
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import BaseModel

from reid.errors import StoreError
from tests.web.conftest import FAST, Client, Served
from tests.web.people import Browser, body, hits, photo
from web.app import ROUTERS

CANARY = "the canary sings in a file beside the store"
NASTY = (
    "../../../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/canary.txt",
    "../canary.txt\0.jpg",
)
# So that a request gets past its other parameters, and that one of ours is looked at.
PLAUSIBLE: dict[str, Any] = {
    "track": "1", "identity": "1", "camera": "door", "cameras": "door", "reason": "report 12",
    "name": "somebody", "from": "2023-11-14T22:13:20Z", "to": "2023-11-14T22:13:30Z",
    "case": "1", "watch": "1", "user": "1", "group": "1", "picture": "1", "decision": "1",
    "alert": "1", "hold": "1", "item": "1", "action": "confirm", "role": "viewer",
    "kind": "track", "key": "x" * 24, "expires": "2 days", "level": "strong",
}  # fmt: skip
SECONDS = {"from": "1700000000", "to": "1700000010"}  # what the player's script asks for


def routes() -> Iterator[tuple[str, APIRoute]]:
    """Every method of every route, but for those that end the session which asks."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path != "/sign-out":
                for method in sorted(route.methods or ()):
                    yield method, route


def parameters(route: APIRoute) -> Iterator[tuple[str, str]]:
    """Where each parameter stands (path, query, form, file, json, jsons: a list) and its name."""
    wanted = route.dependant
    assert all(not d.path_params + d.query_params + d.body_params for d in wanted.dependencies)
    for field in wanted.path_params:
        yield "path", field.alias
    for field in wanted.query_params:
        yield "query", field.alias
    for field in wanted.body_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, inner in kind.model_fields.items():
                many = str(inner.annotation).startswith("list")
                yield "jsons" if many else "json", inner.alias or name
        else:
            yield "file" if "UploadFile" in str(kind) else "form", field.alias


def ask(
    client: Client, program: TestClient, method: str, route: APIRoute, bad: str, value: str
) -> Any:
    """One request whose parameter `bad` is `value`; the others are plausible."""
    given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "form": {}, "json": {}}
    files = []
    for where, name in parameters(route):
        if where == "file":
            if name == bad:
                files.append((name, (value, io.BytesIO(b"\xff\xd8 no picture"))))
        elif name == bad or where == "path" or name in PLAUSIBLE:
            player = route.path.startswith("/replay/") and where == "query"
            known = SECONDS if player and name in SECONDS else PLAUSIBLE
            filled = value if name == bad else known.get(name, "1")
            given[where.removesuffix("s")][name] = [filled] if where == "jsons" else filled
    path = route.path
    for name, filled in given["path"].items():
        # A browser would send it quoted; the value's own quoting must survive as it is.
        path = path.replace("{" + name + "}", quote(filled, safe="/%"))
    browser = program if path.startswith("/api/") else client.browser
    options: dict[str, Any] = {"params": given["query"]}
    if method == "POST":
        if given["json"]:
            options["json"] = given["json"]
        else:
            options["data"] = {"csrf": client.csrf, **given["form"]}
        if files:
            options["files"] = files
    return browser.request(method, path, **options)


def names() -> list[tuple[str, str]]:
    """Route and parameter, to name each test."""
    return [
        (f"{method} {route.path}", name)
        for method, route in routes()
        for _, name in parameters(route)
    ]


@pytest.fixture(scope="module")
def tried(make_served: Callable[..., Served]) -> Served:
    """No model is loaded: that is not what is asked here."""
    served = make_served(FAST.model_copy(update={"weights": "no-such-model.safetensors"}))
    (served.path.parent / "canary.txt").write_text(CANARY)
    return served


@pytest.mark.parametrize("value", NASTY)
def test_no_parameter_is_a_way_to_a_file(tried: Served, value: str) -> None:
    client, program = tried.client("anna"), tried.program("anna")
    before = sorted(path.name for path in tried.path.parent.iterdir())
    wrong = []
    for method, route in routes():
        for _, name in parameters(route):
            answer = ask(client, program, method, route, name, value)
            shown = answer.content
            if answer.status_code == 503 and b"no-such-model.safetensors" in shown:
                continue  # the search would begin
            if answer.status_code >= 500 or b"root:" in shown or CANARY.encode() in shown:
                wrong.append((method, route.path, name, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    after = sorted(path.name for path in tried.path.parent.iterdir())
    assert [n for n in after if not n.startswith("store.")] == [
        n for n in before if not n.startswith("store.")
    ]
    assert client.get("/account").status_code == 200, "the session ended on the way"


MOST = 2**63 - 1  # the most that a database holds
TIMES = ("0001-01-01T00:00%2B02:00", "1969-12-31T23:59", "9999-12-31T23:59:59-01:00")


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        (f"/decisions?decided={MOST}", None, 200),
        (f"/tracks/1?decided={MOST}", None, 200),
        (f"/identities/1?decided={MOST}", None, 200),
        ("/decisions", {"action": "undo", "decision": MOST}, 404),
        ("/decisions", {"action": "split", "identity": 1, "tracks": 10**30, "reason": "x"}, 422),
        ("/alerts/seen", {"alert": 10**30}, 422),
        ("/cases/add", {"case": "9" * 20, "track": 1}, 422),
        ("/cases/add", {"case": str(MOST), "track": 1}, 404),
    ],
)
def test_a_number_that_no_database_holds_is_no_mistake_of_ours(
    tried: Served, path: str, fields: dict[str, Any] | None, status: int
) -> None:
    client = tried.client("ivan")
    answer = client.get(path) if fields is None else client.post(path, **fields)
    assert answer.status_code == status, answer.text
    assert tried.program("ivan").get(f"/api/v1/decisions/{MOST}").status_code == 404


@pytest.mark.parametrize("moment", TIMES)
@pytest.mark.parametrize(
    "path",
    [
        "/timeline?start={}", "/timeline?end={}", "/audit?start={}", "/audit?end={}",
        "/audit.csv?start={}", "/cases/add?camera=door&from={}&to={}", "/replay?from={}&to={}",
        "/api/v1/identities?from={}", "/api/v1/audit?end={}",
    ],
)  # fmt: skip
def test_a_time_that_no_database_holds_is_refused_by_its_field(
    tried: Served, path: str, moment: str
) -> None:
    """It was a 500, or a message with the SQL and the store's path."""
    browser = tried.program("anna") if path.startswith("/api/") else tried.client("anna").browser
    answer = browser.get(path.replace("{}", moment))
    assert answer.status_code == 422, answer.text
    assert "allowed: the years 1970 to 9999" in answer.text
    assert "SELECT" not in answer.text and "sqlite" not in answer.text


def test_the_last_hour_of_all_is_a_window_too(tried: Served) -> None:
    client = tried.client("vera")
    for query in ("start=9999-12-31T23:30", "end=1970-01-01T00:30"):
        assert client.get(f"/timeline?{query}").status_code == 200, query


def test_no_message_says_where_the_store_lies(
    tried: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ivan, program = tried.client("ivan"), tried.program("ivan")
    for answer, says in (
        (ivan.post("/search", reason="x", track=1, cameras="roof"), "has no camera"),
        (ivan.get("/precision?run=99"), "the store has no run 99"),
        (program.get("/api/v1/precision?run=99"), "the store has no run 99"),
        (ivan.post("/decisions", action="merge", identity=1, other=1), ""),
    ):
        assert answer.status_code == 422 and says in answer.text.lower(), answer.text
        assert "sqlite" not in answer.text and str(tried.path) not in answer.text

    def fail(*_: object) -> None:
        raise StoreError(f"cannot read store sqlite:///{tried.path}: {tried.path} is odd")

    monkeypatch.setattr("web.routes.live.tiles", fail)
    page = ivan.get("/live")
    assert (page.status_code, str(tried.path) in page.text) == (422, False)
    assert "Cannot read the store" in page.text


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "utf-16", "rot13", "a\0b"])
def test_a_body_in_other_letters_than_utf8_is_refused(tried: Served, charset: str) -> None:
    """`unicode_escape` made a half letter of `\\ud800`, at which the database failed."""
    kind = f"multipart/form-data; boundary=B; charset={charset}"
    part = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n\\ud800abc\r\n'
    body = part % b"name" + part % b"password" + b"--B--\r\n"
    stranger = tried.stranger()
    answer = stranger.post("/sign-in", content=body, headers={"content-type": kind})
    assert answer.status_code == 415 and "allowed: utf-8" in answer.text
    kind = 'multipart/form-data; boundary=B; charset="UTF-8"'
    answer = stranger.post("/sign-in", content=body, headers={"content-type": kind})
    assert answer.status_code == 401  # only that nobody is called so


def test_a_model_that_is_not_there_is_no_mistake_of_ours(tried: Served) -> None:
    ivan, program = tried.client("ivan"), tried.program("ivan")
    wanted = {"track": 1, "name": "x", "reason": "x", "expires": "2d"}
    for answer in (
        ivan.get("/watches/new?track=1"),
        ivan.post("/watches", **wanted),
        program.post("/api/v1/watches", json=wanted),
    ):
        assert answer.status_code == 503, answer.text
        assert "no-such-model.safetensors" in answer.text


def test_the_sweep_covers_what_there_is() -> None:
    found = names()
    assert len(found) > 150
    for expected in (
        ("GET /pictures/{picture}", "picture"), ("GET /live/picture", "camera"),
        ("POST /search", "photos"), ("POST /search", "cameras"), ("GET /replay/video", "camera"),
        ("GET /static/{digest}/{name}", "name"), ("POST /cases/add", "back"),
        ("POST /api/v1/cases/{case}/items", "cameras"),
    ):  # fmt: skip
        assert expected in found, expected


def test_a_photo_lying_on_its_side_finds_the_same_people(ivan: Browser) -> None:
    """Telephones store the picture as the sensor lay, and how to turn it."""
    upright = body("red", 99)
    lying = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    turn = Image.Exif()
    turn[0x0112] = 6  # show it turned by 90 degrees clockwise
    file = io.BytesIO()
    Image.fromarray(lying[..., ::-1]).save(file, "JPEG", quality=98, exif=turn)
    straight = ivan.get(ivan.found(None, ("kid.jpg", photo(upright)))).text
    turned = ivan.get(ivan.found(None, ("kid.jpg", file.getvalue()))).text
    assert hits(turned) == hits(straight)
    assert hits(turned)[0] in (1, 2)
