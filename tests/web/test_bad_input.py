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
