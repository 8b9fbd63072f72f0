"""A store that disappears while we serve, and comes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from reid.errors import StoreError
from storage import audit
from tests.web.conftest import Served, text_of


def test_a_file_that_is_moved_away_and_comes_back(
    own: Served, caplog: pytest.LogCaptureFixture
) -> None:
    vera = own.client("vera")
    vera.get("/live")
    aside = own.path.with_name("aside.db")
    own.desk.store.flush()
    own.path.rename(aside)

    page = vera.get("/live")
    assert page.status_code == 503 and page.headers["retry-after"] == "2"
    assert "Nothing was changed" in text_of(page)
    assert str(own.path) not in page.text  # a stranger may be asking
    piece = vera.get("/live/wall", headers={"hx-request": "true"})
    assert piece.status_code == 503 and 'role="alert"' in piece.text  # the wall shows it
    assert vera.get("/live/picture?camera=door").status_code == 503
    assert own.stranger().get("/health").status_code == 503
    api = own.stranger(headers={"authorization": "Bearer crosscam_x"}).get("/api/v1/me")
    assert api.status_code == 503 and "cannot be reached" in api.json()["error"]["message"]
    told = [r.message for r in caplog.records if f"there is no file {own.path}" in r.message]
    assert len(told) == 1  # not at every request
    sign_in = own.stranger().post("/sign-in", data={"name": "vera", "password": "x"})
    assert sign_in.status_code == 503
    assert not own.path.exists()  # nothing made a new, empty store in its place

    aside.rename(own.path)
    assert vera.get("/live").status_code == 200  # still signed in
    assert own.stranger().get("/health").json() == {"store": "ok"}
    views = audit.entries(own.store.reader(), action="view", actor="vera")
    assert len(views) == 2  # one before, one after: none lost, none made up


def test_another_file_in_its_place_is_left_alone(
    own: Served, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite would read the old file's -wal into it, and it would be malformed."""
    vera = own.client("vera")
    served.desk.store.flush()
    copy = own.path.with_name("copy.db")
    with closing(sqlite3.connect(served.path)) as connection:
        connection.execute(f"VACUUM INTO '{copy}'")
    content = copy.read_bytes()
    copy.replace(own.path)
    page = vera.get("/live")
    assert page.status_code == 503 and f"another file lies at {own.path}" in caplog.text
    assert own.path.read_bytes() == content


def test_what_is_no_store_is_told(own: Served, caplog: pytest.LogCaptureFixture) -> None:
    vera = own.client("vera")
    own.path.unlink()
    own.path.write_bytes(b"this is not a database at all")
    page = vera.get("/live")
    assert page.status_code == 503 and "is not a SQLite database" in caplog.text


def test_a_writer_that_broke_is_replaced(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    vera = own.client("vera")
    broken = own.desk.store

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as context:
        context.setattr("storage.writer.write_transaction", fail)
        assert vera.get("/live").status_code == 503
    answer = vera.get("/live")
    assert answer.status_code == 200
    assert own.desk.store is not broken


def test_a_wrong_question_is_not_a_store_that_is_away(
    own: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> None:
        raise StoreError("store x has no run 7; it has: 1 (finished)")

    monkeypatch.setattr("web.routes.live.tiles", ask)
    answer = own.client("vera").get("/live")
    assert answer.status_code == 422 and "has no run 7" in text_of(answer)
