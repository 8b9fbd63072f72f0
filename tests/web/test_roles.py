"""Each route as each role: who is not signed in, who may not, who may."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from httpx import Response

from storage.accounts.accounts import Role
from tests.web.conftest import FAST, Served
from tests.web.roles import ADMINISTRATOR, ANYBODY, INVESTIGATOR, ROLES, VIEWER
from web.access import check_routes, declared
from web.app import ROUTERS

RANK = {ANYBODY: 0, VIEWER: 1, INVESTIGATOR: 2, ADMINISTRATOR: 3}
PEOPLE = {VIEWER: "vera", INVESTIGATOR: "ivan", ADMINISTRATOR: "anna"}


def routes() -> dict[str, APIRoute]:
    return {
        f"{method} {route.path}": route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }


def test_every_route_stands_in_the_table_with_the_role_it_declares() -> None:
    found = {name: declared(route)[0].role for name, route in routes().items()}
    said = {name: "anybody" if role is None else role.word for name, role in found.items()}
    assert said == ROLES


def test_a_route_without_a_role_stops_the_server() -> None:
    router = APIRouter()
    router.get("/open")(lambda: "anybody may read this")
    with pytest.raises(RuntimeError, match="route /open must name exactly one role"):
        check_routes([router])


@pytest.fixture(scope="module")
def tried(make_served: Callable[..., Served]) -> Served:
    """Every route is really asked, also those that change something."""
    # No model is loaded: that is not what is asked here.
    return make_served(FAST.model_copy(update={"weights": "no-such-model.safetensors"}))


def ask(served: Served, name: str, who: str | None) -> Response:
    """Ask with a session of its own; ids in addresses are of nothing that exists."""
    method, path = name.split(" ")
    path = re.sub(r"\{\w+\}", "987654", path)
    if path.startswith("/api/"):
        browser = served.stranger() if who is None else served.program(who)
        return browser.request(method, path)
    browser = served.stranger()
    headers = {}
    if who is not None:
        cookie = served.desk.keys.sign_in(who, "korrekt pferd batterie", None)
        assert cookie is not None
        signed = served.desk.keys.session(cookie)
        assert signed is not None
        headers = {"cookie": f"crosscam={cookie}", "x-csrf-token": signed.csrf}
    return browser.request(method, path, headers=headers)


@pytest.mark.parametrize("name", sorted(ROLES))
def test_each_route_as_each_role(tried: Served, name: str) -> None:
    needed = RANK[ROLES[name]]
    if needed == 0:
        assert ask(tried, name, None).status_code not in (403, 500)
        return
    assert ask(tried, name, None).status_code == 401
    for role, who in PEOPLE.items():
        status = ask(tried, name, who).status_code
        if RANK[role] < needed:
            assert status == 403, (role, status)
        else:
            assert status not in (401, 403, 500), (role, status)


@pytest.mark.parametrize("name", sorted(n for n in ROLES if n.startswith("POST")))
def test_no_change_without_the_form_token(tried: Served, name: str) -> None:
    if ROLES[name] == ANYBODY:
        return  # there is no session yet; see test_sign_in for what protects them
    cookie = tried.desk.keys.sign_in("anna", "korrekt pferd batterie", None)
    assert cookie is not None
    path = re.sub(r"\{\w+\}", "987654", name.removeprefix("POST "))
    browser = tried.stranger()
    for token in (None, "", "x" * 43):
        headers = {"cookie": f"crosscam={cookie}"}
        if token is not None:
            headers["x-csrf-token"] = token
        # A program brings a token; the cookie of a browser is nothing to it.
        expected = 401 if path.startswith("/api/") else 403
        assert browser.post(path, headers=headers).status_code == expected
    assert tried.desk.keys.session(cookie) is not None  # no sign-out happened either


def test_the_role_of_a_token_is_its_users(tried: Served) -> None:
    assert Role.INVESTIGATOR < Role.ADMINISTRATOR
    assert tried.program("ivan").get("/api/v1/me").json() == {
        "name": "ivan",
        "role": "investigator",
        "cameras": None,
    }
    assert tried.program("eve").get("/api/v1/me").json()["cameras"] == ["door"]
