"""The pages over PostgreSQL: each opens, and what people do there is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.audit import entries
from storage.store import Store
from tests.storage.conftest import new_postgresql, postgresql_server
from tests.web.conftest import FAST, Served, add_people, fill, text_of
from web.app import create_app

__all__ = ["new_postgresql", "postgresql_server"]  # fixtures

PAGES = (
    "/live", "/timeline", "/search", "/identities/1", "/tracks/1", "/replay", "/watches", "/alerts",
    "/cases", "/decisions", "/account", "/users", "/groups", "/holds", "/audit", "/docs",
    "/watches/new", "/cases/add?identity=1", "/live/picture?camera=door",
)  # fmt: skip
WINDOW = {"from": "2024-05-01T12:00:00Z", "to": "2024-05-01T12:10:00Z"}


@pytest.fixture
def served(new_postgresql: Callable[[], str], tmp_path: Path) -> Iterator[Served]:
    url = new_postgresql()
    media = tmp_path / "media"
    with Store.open(url, media) as store:
        fill(store)
    made = Served(create_app(FAST, url, media), url, media)
    add_people(made.desk)
    yield made
    made.desk.close()


def test_every_page_opens(served: Served) -> None:
    anna = served.client("anna")
    for path in PAGES:
        answer = anna.get(path)
        assert answer.status_code == 200, (path, answer.status_code, text_of(answer))
    program = served.program("anna")
    for path in ("/api/v1/cameras", "/api/v1/precision", "/api/v1/identities/1"):
        answer = program.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)


def test_decisions_cases_and_holds_are_kept(served: Served) -> None:
    anna = served.client("anna")
    done = anna.post("/decisions", action="merge", identity=1, other=2, reason="the same coat")
    assert done.status_code in (200, 303), text_of(done)
    assert "the same coat" in text_of(anna.get("/decisions"))
    done = anna.post("/cases", name="Lost child", reason="call at noon")
    assert done.status_code == 303, text_of(done)
    assert "Lost child" in text_of(anna.get(done.headers["location"]))
    done = anna.post("/holds", camera="door", reason="for the court", **WINDOW)
    assert done.status_code in (200, 303), text_of(done)
    assert "for the court" in text_of(anna.get("/holds"))
    trail = {(row.actor, row.action) for row in entries(served.store.reader(), limit=100)}
    assert {actor for actor, _ in trail} >= {"anna"} and len(trail) >= 4, trail
