"""A small store of people made of colours, embedded by the shipped model, and its browsers.

track  camera  person  identity
1      door    red     1, begins it
2      yard    red     1, linked
3      yard    green   2, begins it
4      door    blue    3, begins it
5      yard    grey    nobody decided
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from httpx import Response
from numpy.typing import NDArray

from investigation.search.desk import SearchDesk
from investigation.search.photos import Person
from reid.errors import DataError
from reid.explain.explanation import Explainer
from storage.audit import AuditRow, entries
from storage.decisions.decide import DecisionRow, decisions
from storage.records import CameraRow
from storage.store import Store
from tests.storage.samples import decision, exemplar, points, tracklet
from tests.web.conftest import PASSWORD, Client, Served, add_people
from web import room
from web.app import create_app
from web.settings import WebSettings

SETTINGS = WebSettings(device="cpu", password_time=1, password_memory=32)
PEOPLE = {"red": (40, 40, 200), "green": (50, 170, 60), "blue": (200, 90, 30), "grey": (90, 90, 90)}
TRACKS = {1: ("door", "red"), 2: ("yard", "red"), 3: ("yard", "green"), 4: ("door", "blue"),
          5: ("yard", "grey")}  # fmt: skip


def body(person: str, seed: int) -> NDArray[np.uint8]:
    """A crop, (256, 128, 3) BGR: head, jacket, legs and shoes; no two seeds are equal."""
    random = np.random.default_rng(seed)
    image = np.full((256, 128, 3), 120, np.uint8)
    jacket = PEOPLE[person]
    legs = tuple(255 - c for c in jacket)
    shift = int(random.integers(-3, 4))
    cv2.circle(image, (64 + shift, 26), 17, (150, 170, 210), -1)
    cv2.rectangle(image, (34 + shift, 46), (94 + shift, 132), jacket, -1)
    cv2.rectangle(image, (42 + shift, 132), (62 + shift, 236), legs, -1)
    cv2.rectangle(image, (66 + shift, 132), (86 + shift, 236), legs, -1)
    cv2.rectangle(image, (38 + shift, 236), (90 + shift, 252), jacket, -1)
    noise = random.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def photo(image: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    """A picture as a file."""
    return bytes(cv2.imencode(suffix, image)[1].tobytes())


def make(folder: Path) -> str:
    """Fill a store; returns its URL."""
    url = f"sqlite:///{folder / 'site.db'}"
    model = Explainer.from_weights("default", "cpu")
    cameras = [CameraRow("door", "door.mp4", "Front door"), CameraRow("yard", "yard.mp4", "Yard")]
    with Store.open(url) as store:
        run = store.begin_run({"pipeline": {"matching": {"threshold": 0.375}}}, cameras)
        config = model.config
        described = {"gamma": config.gamma, "top_n": config.top_n}
        store.register_model(model.fingerprint, config.num_parts, config.dim, described)
        assert [store.identity_allocator().next_id() for _ in range(3)] == [1, 2, 3]
        for track, (camera, person) in TRACKS.items():
            assert store.track_allocator().next_id() == track
            store.add_points(run, camera, track, points(10))
            crops = [body(person, 10 * track + n) for n in range(2)]
            pictures = tuple(exemplar(n, 2.0 - n, photo(crop)) for n, crop in enumerate(crops))
            pooled = model.image(crops[0]).embedding
            made = tracklet(track, camera, embedded=pooled, exemplars=pictures)
            store.save_tracklet(run, made)
            store.close_track(track)
        store.link(run, decision(1, 1))
        store.link(run, decision(2, 1, "link", candidate=1, distance=0.1, support=1.5))
        store.link(run, decision(3, 2))
        store.link(run, decision(4, 3))
        for camera in ("door", "yard"):
            store.camera_state(run, camera, "ended", None, 10, 0, points(1)[0].time,
                               points(10)[9].time)  # fmt: skip
        store.finish_run(run)
    return url


class Blind(SearchDesk):
    """A search whose detector is not there: photos are crops. It finds nobody."""

    def find_people(self, image: NDArray[np.uint8], name: str) -> list[Person]:
        raise DataError(f"{name}: nobody is found in it")


class Browser(Client):
    """A signed-in browser that searches."""

    def send(self, path: str, data: dict[str, Any], **more: Any) -> Response:
        """A form, with files or headers."""
        return self.browser.post(path, data={"csrf": self.csrf, **data}, **more)

    def search(
        self, data: dict[str, Any] | None = None, *photos: tuple[str, bytes], **more: Any
    ) -> Response:
        """A search with photos that are crops; by default one of the red person."""
        sent = photos or (("red.jpg", photo(body("red", 99))),)
        files = [("photos", (name, io.BytesIO(content))) for name, content in sent]
        fields = {"reason": "missing child", "crop": "true", **(data or {})}
        return self.send("/search", fields, files=files, **more)

    def found(self, data: dict[str, Any] | None = None, *photos: tuple[str, bytes]) -> str:
        """The address of the results."""
        answer = self.search(data, *photos)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def from_stored(self, **data: Any) -> str:
        """The address of the results of a search from a track, an identity or a query."""
        answer = self.send("/search", {"reason": "missing child", **data})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])


class People(Served):
    """The application over the store of people."""

    def browse(self, name: str) -> Browser:
        """A browser that signed in as somebody: vera, ivan, anna, or eve (the door alone)."""
        browser = self.stranger()
        answer = browser.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return Browser(browser)

    def audit(self, action: str) -> list[AuditRow]:
        """What was written down, the newest first."""
        return entries(self.desk.reader, action=action)

    def decided(self) -> list[DecisionRow]:
        """All decisions, the newest first."""
        return decisions(self.desk.reader)


def hits(text: str) -> list[int]:
    """The tracks on a page of results, in their order."""
    return [int(n) for n in re.findall(r'href="/search/[^"/]+/hit/(\d+)"', text)]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that nobody served yet."""
    folder = tmp_path_factory.mktemp("people")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def people(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """The application of the whole session: do not decide in it."""
    yield from _serve(filled, tmp_path_factory.mktemp("served"))


@pytest.fixture
def own_people(filled: Path, tmp_path: Path) -> Iterator[People]:
    """An application of this test's own."""
    yield from _serve(filled, tmp_path)


@pytest.fixture(scope="session")
def ivan(people: People) -> Browser:
    """An investigator who sees all."""
    return people.browse("ivan")


@pytest.fixture(scope="session")
def eve(people: People) -> Browser:
    """An investigator who sees the door alone."""
    return people.browse("eve")


def _serve(filled: Path, folder: Path) -> Iterator[People]:
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    path = folder / "site.db"
    url = f"sqlite:///{path}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "SearchDesk", Blind)
        served = People(create_app(SETTINGS, url), url, path)
        add_people(served.desk)
        yield served
        served.app.state.jobs.close()
        served.desk.close()
