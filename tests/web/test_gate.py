"""What every request passes and every answer carries; bad input of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.conftest import Client, Served, text_of
from web import static
from web.gate import STRANGERS_BODY, allowed_hosts, host_allowed
from web.settings import WebSettings


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8800", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8800", 200),
        ("[::1]:8800", 200),
        ("192.168.1.7", 200),  # a number cannot be pointed at us by a stranger's name server
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("", 400),
        ("[::1", 400),
    ],
)
def test_only_our_own_names(served: Served, host: str, status: int) -> None:
    answer = served.stranger().get("/sign-in", headers={"host": host})
    assert answer.status_code == status


def test_names_that_were_allowed() -> None:
    settings = WebSettings(
        host="10.0.0.5", base_url="https://Cameras.example:444/", allowed_hosts=("Desk.local",)
    )
    names = allowed_hosts(settings)
    assert all(host_allowed(h, names) for h in ("cameras.example:444", "desk.local", "10.0.0.5"))
    assert not host_allowed("other.local", names)


@pytest.mark.parametrize(
    "path", ["/sign-in", "/live", "/nothing/here", "/api/v1/me", "/live/picture?camera=door"]
)
def test_every_answer_keeps_the_browser_in_bounds(viewer: Client, path: str) -> None:
    headers = viewer.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "script-src 'self';" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_an_error_of_ours_carries_them_too_and_says_nothing_of_the_inside(
    own: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret inside")

    viewer = own.client("vera")
    monkeypatch.setattr("web.routes.live.tiles", fail)
    answer = viewer.get("/live")
    assert answer.status_code == 500
    assert "secret inside" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    number = text_of(answer).rpartition("as error ")[2][:8]
    assert number in caplog.text and "secret inside" in caplog.text


def test_no_page_has_inline_script_or_style(administrator: Client) -> None:
    paths = ("/live", "/account", "/users", "/users/1", "/groups", "/audit", "/docs")
    for path in paths:
        text = administrator.get(path).text
        assert " style=" not in text and "<style" not in text, path
        assert "<script>" not in text and "hx-on" not in text and "javascript:" not in text, path
        assert "https://" not in text, path  # nothing is loaded from elsewhere


def test_static_files_are_kept_for_a_year_and_change_their_address(served: Served) -> None:
    browser = served.stranger()
    for name in ("desk.css", "desk.js", "htmx.js", "icon.svg"):
        answer = browser.get(static.static_url(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"htmx" in static.files()["htmx.js"].content
    assert browser.get("/static/0000000000000000/desk.css").status_code == 404
    digest = static.files()["desk.css"].digest
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "desk.css/..", "/etc/passwd"):
        assert browser.get(f"/static/{digest}/{name}").status_code == 404


def test_a_strangers_body_is_small(served: Served) -> None:
    browser = served.stranger()
    data = {"name": "x" * STRANGERS_BODY, "password": "x"}
    answer = browser.post("/sign-in", data=data)
    assert answer.status_code == 413
    assert "0.0625 MB" in text_of(answer)


def test_a_body_whose_length_is_unsaid_is_counted_as_it_comes(served: Served) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"name="
        while sent < 100 * STRANGERS_BODY:
            sent += 4096
            yield b"x" * 4096

    answer = served.stranger().post(
        "/sign-in",
        content=endless(),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 20, "abc"])
def test_a_length_that_is_no_length(served: Served, length: str) -> None:
    headers = {"content-length": length, "content-type": "application/x-www-form-urlencoded"}
    answer = served.stranger().post("/sign-in", content=b"", headers=headers)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/jpeg", ""])
def test_a_body_of_a_kind_we_do_not_take(served: Served, kind: str) -> None:
    answer = served.stranger().post("/sign-in", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/x-www-form-urlencoded" in text_of(answer)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/users/abc", 422),
        ("/users/99999999999999999999999", 422),
        ("/users/-1", 422),
        ("/users/1%00", 422),
        ("/audit?before=0", 422),
        ("/audit?before=99999999999999999999999999", 422),
        ("/audit?start=yesterday", 422),
        ("/audit?start=2026-02-01T00:00&end=2026-01-01T00:00", 422),
        ("/audit?action=nothing", 422),
        ("/audit?actor=" + "x" * 300, 422),
        ("/audit?actor=%00", 200),
        ("/live/picture", 422),
        ("/live/picture?camera=" + "x" * 600, 422),
        ("/live/picture?camera=../../store.db", 404),
        ("/live/picture?camera=%00", 404),
        ("/..%2f..%2fetc/passwd", 404),
        ("//etc/passwd", 404),
    ],
)
def test_bad_parameters_have_the_right_status(
    administrator: Client, path: str, status: int
) -> None:
    answer = administrator.get(path)
    assert answer.status_code == status, text_of(answer)


def test_what_is_wrong_is_named_but_not_a_password(administrator: Client) -> None:
    answer = administrator.post("/users/1/disabled", disabled="perhaps")
    assert answer.status_code == 422 and "Disabled: Input should be" in text_of(answer)
    backwards = administrator.get("/audit?start=2026-02-01T00:00&end=2026-01-01T00:00")
    assert "backwards: from 2026-02-01T00:00:00+00:00" in text_of(backwards)


def test_an_answer_to_htmx_is_a_piece_and_asks_for_sign_in_by_itself(
    served: Served, viewer: Client
) -> None:
    piece = viewer.get("/live/picture?camera=nowhere", headers={"hx-request": "true"})
    assert piece.status_code == 404 and "<html" not in piece.text and 'role="alert"' in piece.text
    out = served.stranger().get("/live/wall", headers={"hx-request": "true"})
    assert (out.status_code, out.headers["hx-redirect"]) == (401, "/sign-in")


def test_the_api_describes_itself(served: Served, viewer: Client) -> None:
    spec = served.stranger().get("/openapi.json").json()
    assert all(path.startswith("/api/v1/") for path in spec["paths"])
    assert "HTTPBearer" in spec["components"]["securitySchemes"]
    page = text_of(viewer.get("/docs"))
    assert all(path in page for path in spec["paths"])


def test_health_needs_no_account(served: Served) -> None:
    answer = served.stranger().get("/health")
    assert (answer.status_code, answer.json()) == (200, {"store": "ok"})
