"""Cases: what goes in stays in, on both kinds of database, and every change leaves a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.errors import ConfigError, StoreError
from storage.audit import entries
from storage.cases import Cases, case, case_items, cases
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON, decision, points, tracklet


@pytest.fixture
def store(url: str, media: Path):
    """Track 1 on `door`, identity 7."""
    with Store.open(url, media) as opened:
        run = opened.begin_run({}, CAMERAS)
        opened.add_points(run, "door", 1, points(3))
        opened.save_tracklet(run, tracklet(1, count=3))
        opened.link(run, decision(1, 7))
        opened.flush()
        yield opened


def test_a_case_from_its_opening_to_its_end(store: Store) -> None:
    desk = Cases(store)
    made = desk.create("  Missing child ", "ann", "report 17/26")
    assert (made.id, made.name, made.actor, made.reason) == (
        1,
        "Missing child",
        "ann",
        "report 17/26",
    )
    desk.add_track(1, 1, "ann", "the red jacket")
    desk.add_identity(1, 7, "bob")
    desk.add_clip(1, "yard", NOON, NOON + 60, "bob")
    reader = store.reader()
    items = case_items(reader, 1)
    assert [(i.kind, i.track, i.identity, i.camera, i.start, i.end) for i in items] == [
        ("track", 1, None, None, None, None),
        ("identity", None, 7, None, None, None),
        ("clip", None, None, "yard", NOON, NOON + 60),
    ]
    assert [i.subject for i in items][:2] == ["track 1", "identity 7"]
    assert items[0].note == "the red jacket"
    desk.remove(1, items[1].id, "ann", "somebody else")
    assert [i.kind for i in case_items(reader, 1)] == ["track", "clip"]
    assert case(reader, 1).items == 2
    desk.close(1, "ann", "found")
    assert case(reader, 1).closed is not None
    assert [c.id for c in cases(reader)] == [1]
    assert cases(reader, closed=False) == []


def test_every_change_is_in_the_audit_trail(store: Store) -> None:
    desk = Cases(store)
    desk.create("A", "ann", "why")
    item = desk.add_track(1, 1, "bob", "look")
    desk.remove(1, item.id, "bob", "wrong one")
    desk.close(1, "ann", "done", address="10.0.0.9")
    trail = list(reversed(entries(store.reader(), action="case")))
    told = [(e.actor, e.subject, e.details["action"], e.reason, e.address) for e in trail]
    assert told == [
        ("ann", "case 1", "create", "why", None),
        ("bob", "case 1", "add", "look", None),
        ("bob", "case 1", "remove", "wrong one", None),
        ("ann", "case 1", "close", "done", "10.0.0.9"),
    ]


REFUSED: list[tuple[Callable[[Cases], object], str]] = [
    (lambda d: d.create(" ", "ann", "why"), "needs a name"),
    (lambda d: d.create("A", "ann", ""), "needs a reason"),
    (lambda d: d.create("A" * 2001, "ann", "why"), "2001 characters; allowed: 2000"),
    (lambda d: d.add_track(9, 1, "ann"), "no case 9"),
    (lambda d: d.add_track(1, 99, "ann"), "no track 99"),
    (lambda d: d.add_identity(1, 99, "ann"), "no identity 99"),
    (lambda d: d.add_clip(1, "shed", NOON, NOON + 1, "ann"), "no camera shed"),
    (lambda d: d.add_clip(1, "door", NOON, NOON, "ann"), "runs backwards"),
    (lambda d: d.remove(1, 5, "ann", "why"), "case 1 has no item 5"),
    (lambda d: d.close(1, "ann", ""), "say why"),
    (lambda d: d.close(2, "ann", "again"), "case 2 was closed at"),
    (lambda d: d.add_track(2, 1, "ann"), "case 2 was closed at"),
]


def test_what_cannot_be(store: Store) -> None:
    desk = Cases(store)
    desk.create("A", "ann", "why")
    desk.create("B", "ann", "why")
    desk.close(2, "ann", "done")
    before = len(entries(store.reader()))
    for deed, message in REFUSED:
        with pytest.raises(ConfigError, match=message):
            deed(desk)
    assert len(entries(store.reader())) == before, "nothing half done"
    assert case_items(store.reader(), 1) == []


def test_times_that_are_none(store: Store) -> None:
    desk = Cases(store)
    desk.create("A", "ann", "why")
    with pytest.raises(StoreError, match="is not UTC seconds"):
        desk.add_clip(1, "door", float("nan"), NOON, "ann")
