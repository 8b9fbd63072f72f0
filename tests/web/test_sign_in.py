"""Signing in: the cookie, who may send the form, how often, and where one is sent."""

from __future__ import annotations

import re

import pytest

from storage import audit
from tests.web.conftest import BY, FAST, HOME, PASSWORD, Client, Served, csrf_of, text_of
from web.app import create_app
from web.limits import PER_ADDRESS, PER_NAME, PER_PAIR, WINDOW, Attempts
from web.routes.sign_in import WRONG, local_path


def test_the_cookie_is_for_this_site_and_no_script(own: Served) -> None:
    browser = own.stranger()
    answer = browser.post("/sign-in", data={"name": "vera", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert re.match(r"crosscam=[\w-]{43}; ", answer.headers["set-cookie"])
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
    assert "secure" not in cookie
    assert browser.get("/live").status_code == 200


def test_over_https_the_cookie_is_for_https_alone(own: Served) -> None:
    settings = FAST.model_copy(update={"base_url": "https://cameras.example"})
    secure = Served(create_app(settings, own.url), own.url, own.path)
    try:
        browser = secure.stranger()
        answer = browser.post("/sign-in", data={"name": "vera", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-crosscam=") and "Secure" in cookie
        assert "max-age=31536000" in answer.headers["strict-transport-security"]
    finally:
        secure.desk.close()


def test_signing_out_ends_the_session_on_the_server(own: Served) -> None:
    vera = own.client("vera")
    cookie = vera.browser.cookies["crosscam"]
    assert vera.post("/sign-out").headers["location"] == "/sign-in"
    assert own.desk.keys.session(cookie) is None
    again = own.stranger(cookies={"crosscam": cookie})
    assert again.get("/live").status_code == 401
    page = again.get("/live", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/live")


def test_wrong_unknown_and_disabled_read_the_same(own: Served) -> None:
    vera = next(user for user in own.users() if user.name == "vera")
    own.desk.accounts.change_user(vera.id, BY, disabled=True)
    pages = [
        own.stranger().post("/sign-in", data={"name": name, "password": password})
        for name, password in (("ivan", "wrong"), ("nobody", "wrong"), ("vera", PASSWORD), ("", ""))
    ]
    assert [page.status_code for page in pages] == [401] * 4
    assert all(WRONG in text_of(page) and "set-cookie" not in page.headers for page in pages)


def test_after_five_wrong_tries_even_the_right_password_waits(own: Served) -> None:
    browser = own.stranger()
    for _ in range(PER_PAIR):
        assert browser.post("/sign-in", data={"name": "vera", "password": "x"}).status_code == 401
    answer = browser.post("/sign-in", data={"name": "VERA ", "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW
    assert "Try again in 15 min" in text_of(answer)
    assert own.client("ivan").get("/live").status_code == 200  # others are not held up
    failed = audit.entries(own.store.reader(), action="sign-in-failed")
    assert len(failed) == PER_PAIR  # what was not tried is not written down


def test_attempts_are_forgotten_after_the_window_and_by_success() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(PER_PAIR):
        assert attempts.begin("mia", "10.0.0.9") == 0
    assert attempts.begin("mia", "10.0.0.9") == WINDOW
    assert attempts.begin("mia", "10.0.0.8") == 0  # from her own desk she can still sign in
    now[0] = WINDOW
    assert attempts.begin("mia", "10.0.0.9") == 0
    attempts.succeeded("mia", "10.0.0.9")
    for _ in range(PER_PAIR):
        assert attempts.begin("mia", "10.0.0.9") == 0
    assert attempts.begin("mia", "10.0.0.9") > 0


def test_one_address_cannot_try_many_names_nor_many_addresses_one_name() -> None:
    attempts = Attempts(lambda: 0.0)
    tried = [attempts.begin(f"user{n}", "10.0.0.9") for n in range(PER_ADDRESS + 1)]
    assert tried[:-1] == [0.0] * PER_ADDRESS and tried[-1] > 0
    tried = [attempts.begin("mia", f"10.0.1.{n}") for n in range(PER_NAME + 1)]
    assert tried[:-1] == [0.0] * PER_NAME and tried[-1] > 0


def test_a_flood_of_names_does_not_fill_the_memory() -> None:
    attempts = Attempts(lambda: 0.0)
    for n in range(10_000):
        attempts.begin(f"user{n}", f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")
    assert len(attempts._failed) < 25_000


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "http://localhost:9999", "null", "http://localhost.evil",
        "http://[", "http://[::1",
    ],
)  # fmt: skip
def test_another_sites_page_cannot_send_our_forms(served: Served, origin: str) -> None:
    data = {"name": "vera", "password": PASSWORD}
    answer = served.stranger().post("/sign-in", data=data, headers={"origin": origin})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    ours = served.stranger().post("/sign-in", data=data, headers={"origin": HOME})
    assert ours.status_code == 303


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/audit?actor=mia&x=1", "/audit?actor=mia&x=1"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("/sign-in?next=/sign-in", "/"),
        ("", "/"),
    ],
)
def test_nobody_is_sent_to_another_site(served: Served, asked: str, sent: str) -> None:
    assert local_path(asked) == sent
    data = {"name": "vera", "password": PASSWORD, "next": asked}
    assert served.stranger().post("/sign-in", data=data).headers["location"] == sent


def test_a_one_time_link_sets_a_password_once(own: Served) -> None:
    page = own.client("anna").post("/users", name="mia", role="viewer", cameras="all")
    found = re.search(r'id="link">http://localhost:8800(/link/[\w-]{43})<', page.text)
    assert found, text_of(page)
    link = found.group(1)
    browser = own.stranger()
    for _ in range(2):  # looking does not use it
        shown = text_of(browser.get(link))
        assert "Set a password" in shown and "so do the tokens of mia's programs" in shown
    new = "ganz neue worte hier"
    assert "differ" in text_of(browser.post(link, data={"password": new, "again": "other"}))
    assert "12 to 256" in text_of(browser.post(link, data={"password": "x", "again": "x"}))
    done = browser.post(link, data={"password": new, "again": new})
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in?name=mia")
    assert "The password is set" in text_of(browser.get("/sign-in?name=mia"))
    assert browser.get(link).status_code == 404
    assert browser.post(link, data={"password": new, "again": new}).status_code == 404
    assert browser.post("/sign-in", data={"name": "mia", "password": new}).status_code == 303


def test_changing_ones_password_and_guessing_the_old_one(own: Served) -> None:
    vera, elsewhere = own.client("vera"), own.client("vera")
    new = "ganz neue worte hier"
    wrong = vera.post("/account/password", old="wrong", new=new, again=new)
    assert (wrong.status_code, "not right" in text_of(wrong)) == (422, True)
    right = vera.post("/account/password", old=PASSWORD, new=new, again=new)
    assert right.headers["location"] == "/account?done=password"
    assert vera.get("/live").status_code == 200
    assert elsewhere.get("/live").status_code == 401
    for _ in range(PER_PAIR):
        vera.post("/account/password", old="wrong", new=PASSWORD, again=PASSWORD)
    waits = vera.post("/account/password", old=new, new=PASSWORD, again=PASSWORD)
    assert "too many failed attempts" in text_of(waits)


def test_a_new_password_that_is_refused_locks_nobody_out(own: Served) -> None:
    """Each counted as a wrong guess of the old one, and after five nobody got in for a while."""
    vera = own.client("vera")
    for _ in range(PER_PAIR + 1):
        short = vera.post("/account/password", old=PASSWORD, new="short", again="short")
        assert "5 characters; allowed" in text_of(short)
    assert own.client("vera").get("/live").status_code == 200
    new = "ganz neue worte hier"
    done = vera.post("/account/password", old=PASSWORD, new=new, again=new)
    assert done.status_code == 303


def test_a_token_is_shown_once_and_ends_when_revoked(own: Served) -> None:
    ivan = own.client("ivan")
    page = ivan.post("/account/tokens", name="<b>backup</b>", days="30")
    secret = page.text.partition('id="secret">')[2].partition("<")[0]
    assert secret.startswith("crosscam_")
    assert "<b>" not in page.text and "&lt;b&gt;backup" in page.text
    assert secret not in ivan.get("/account").text
    program = own.stranger(headers={"authorization": f"Bearer {secret}"})
    assert program.get("/api/v1/me").json()["name"] == "ivan"
    assert program.get("/live").status_code == 401  # a token opens no page
    number = re.search(r"/account/tokens/(\d+)/revoke", ivan.get("/account").text)
    assert number
    other = own.client("vera").post(f"/account/tokens/{number.group(1)}/revoke")
    assert other.status_code == 422 and program.get("/api/v1/me").status_code == 200
    ivan.post(f"/account/tokens/{number.group(1)}/revoke")
    gone = program.get("/api/v1/me")
    assert gone.status_code == 401
    assert gone.json() == {"error": {"status": 401, "message": "sign in first"}}
    assert gone.headers["www-authenticate"] == "Bearer"


def test_a_cookie_opens_no_api(viewer: Client) -> None:
    assert viewer.get("/api/v1/me").status_code == 401


def test_two_sessions_have_two_form_tokens(served: Served, viewer: Client) -> None:
    other = served.client("vera")
    assert csrf_of(other.get("/account")) != viewer.csrf
    other.csrf = viewer.csrf
    assert other.post("/account/sessions").status_code == 403
