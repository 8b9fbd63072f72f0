"""The ledger is append-only, whoever asks; the views show what a person wants to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from storage.engine import connect, parse_url
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, points

CHANGES = [
    "UPDATE ledger SET identity = 2",
    "UPDATE ledger SET reason = 'x' WHERE id = 1",
    "DELETE FROM ledger",
    "DELETE FROM ledger WHERE id = 2",
]
REPLACE = (
    "INSERT OR REPLACE INTO ledger (id, written, track, identity, action, time, reason, actor) "
    "SELECT id, written, track, 2, action, time, reason, actor FROM ledger WHERE id = 1"
)


@pytest.fixture
def filled(url: str, media: Path) -> str:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        for track, camera in ((1, "door"), (2, "yard")):
            store.add_points(run, camera, track, points(3))
            store.link(run, decision(track, track))
        store.link(run, decision(2, 1, "move"))
        store.finish_run(run)
    return url


def test_the_ledger_refuses_changes(filled: str) -> None:
    engine = connect(parse_url(filled))
    changes = list(CHANGES)
    changes.append(REPLACE if engine.dialect.name == "sqlite" else "TRUNCATE ledger")
    everything = text("SELECT * FROM ledger ORDER BY id")
    with engine.connect() as connection:
        before = connection.execute(everything).all()
    assert len(before) == 3
    for change in changes:
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(change)
    with engine.connect() as connection:
        assert connection.execute(everything).all() == before
    engine.dispose()


def test_views(filled: str) -> None:
    engine = connect(parse_url(filled))
    with engine.connect() as connection:
        links = connection.execute(text("SELECT track, identity FROM current_links ORDER BY 1"))
        assert links.all() == [(1, 1), (2, 1)]
        seen = connection.execute(
            text('SELECT "identity", camera, place, "start", "end" FROM sightings ORDER BY 2')
        )
        times = ("2023-11-14T22:13:20.250000Z", "2023-11-14T22:13:20.450000Z")
        assert seen.all() == [(1, "door", "Front door", *times), (1, "yard", None, *times)]
    engine.dispose()
