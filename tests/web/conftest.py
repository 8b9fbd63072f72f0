"""A small real store behind the real application, and a signed-in client for each role."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from storage.accounts.accounts import Accounts, By, Role
from storage.media import safe_name, write_file
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON, decision, exemplar, tracklet
from web.app import create_app
from web.desk import Desk
from web.settings import WebSettings

PASSWORD = "korrekt pferd batterie"
HOME = "http://localhost:8800"
BY = By("test")
PICTURE = b"\xff\xd8 a picture \xff\xd9"
FAST = WebSettings(password_time=1, password_memory=32)


@dataclass
class Served:
    """The application over one store."""

    app: FastAPI
    url: str
    path: Path

    @property
    def desk(self) -> Desk:
        desk: Desk = self.app.state.desk
        return desk

    @property
    def store(self) -> Store:
        return self.desk.store

    def stranger(self, **options: object) -> TestClient:
        """A browser that is not signed in."""
        return TestClient(self.app, base_url=HOME, follow_redirects=False, **options)  # type: ignore[arg-type]

    def client(self, name: str) -> Client:
        """A browser that signed in as somebody."""
        browser = self.stranger()
        answer = browser.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return Client(browser)

    def program(self, name: str) -> TestClient:
        """A program with a token of somebody's."""
        user = next(u for u in self.users() if u.name == name)
        token = self.desk.tokens.issue(user.id, "test", BY, 1)
        return self.stranger(headers={"authorization": f"Bearer {token}"})

    def users(self) -> list:  # type: ignore[type-arg]
        from storage.accounts import accounts

        return accounts.users(self.store.reader())


class Client:
    """A browser with a session, which sends the form's token as a page would."""

    def __init__(self, browser: TestClient) -> None:
        self.browser = browser
        self.csrf = csrf_of(browser.get("/account"))

    def get(self, path: str, **options: object) -> Response:
        return self.browser.get(path, **options)  # type: ignore[arg-type]

    def post(self, path: str, **data: object) -> Response:
        return self.browser.post(path, data={"csrf": self.csrf, **data})  # type: ignore[dict-item]


def csrf_of(answer: Response) -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf" value="([\w-]{43})"', answer.text)
    assert found, answer.text
    return found.group(1)


def text_of(answer: Response) -> str:
    """What a person reads on a page, or on a piece of one, on one line."""
    body = answer.text.partition("<main")[2].partition(">")[2] or answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'").split())


def fill(store: Store) -> None:
    """Two cameras, a track in each, and a live picture of the door."""
    run = store.begin_run({}, CAMERAS)
    store.camera_state(run, "door", "running", None, 250, 3, NOON, NOON + 10)
    store.camera_state(run, "yard", "failed", "connection refused", 0)
    for track, camera in ((1, "door"), (2, "yard")):
        store.save_tracklet(run, tracklet(track, camera, exemplars=(exemplar(track),)))
        store.link(run, decision(track, track))
    store.finish_run(run)
    write_file(store.media / "live" / f"{safe_name('door')}.jpg", PICTURE)
    write_file(store.media / "live" / f"{safe_name('yard')}.jpg", PICTURE)


def add_people(desk: Desk) -> None:
    """One of each role who sees all, and `eve`, who sees the door alone."""
    accounts = Accounts(desk.store)
    door = accounts.add_group("Doors", BY, ["door"])
    for name, role, groups in (
        ("vera", Role.VIEWER, None),
        ("ivan", Role.INVESTIGATOR, None),
        ("anna", Role.ADMINISTRATOR, None),
        ("eve", Role.INVESTIGATOR, [door]),
    ):
        user = accounts.add_user(name, role, BY, all_cameras=groups is None, groups=groups or [])
        desk.links.use(desk.links.issue(user.id, BY), PASSWORD, None)


@pytest.fixture(scope="session")
def make_served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Served]]:
    """Makes an application over a new store."""
    made: list[Served] = []

    def make(settings: WebSettings = FAST) -> Served:
        path = tmp_path_factory.mktemp("web") / "store.db"
        url = f"sqlite:///{path}"
        with Store.open(url) as store:
            fill(store)
        served = Served(create_app(settings, url), url, path)
        add_people(served.desk)
        made.append(served)
        return served

    yield make
    for served in made:
        served.app.state.jobs.close()
        served.desk.close()


@pytest.fixture(scope="session")
def served(make_served: Callable[..., Served]) -> Served:
    """The application of the whole session: do not break it."""
    return make_served()


@pytest.fixture
def own(make_served: Callable[..., Served]) -> Served:
    """An application of this test's own."""
    return make_served()


@pytest.fixture(scope="session")
def viewer(served: Served) -> Client:
    return served.client("vera")


@pytest.fixture(scope="session")
def investigator(served: Served) -> Client:
    return served.client("ivan")


@pytest.fixture(scope="session")
def administrator(served: Served) -> Client:
    return served.client("anna")


@pytest.fixture(scope="session")
def limited(served: Served) -> Client:
    """An investigator who sees the camera `door` alone."""
    return served.client("eve")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


# The store of people for searches; at the end, for it uses what stands above.
from tests.web.people import eve, filled, ivan, own_people, people  # noqa: E402, F401
