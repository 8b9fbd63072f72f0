"""Holds: placed, listed, released, each with an audit row."""

from __future__ import annotations

import json
import math

import pytest

from reid.errors import ConfigError
from run_pipeline import main
from storage.audit import entries
from storage.footage.holds import add_hold, holds, release_hold
from storage.store import Store
from tests.storage.footage import add_case
from tests.storage.samples import CAMERAS, NOON


@pytest.fixture
def store(url, media):
    with Store.open(url, media) as opened:
        opened.begin_run({}, CAMERAS)
        yield opened


def test_a_hold_holds_until_it_is_released(store):
    case = add_case(store, kind="clip", camera="door", start=NOON, end=NOON + 1)
    one = add_hold(store, "door", NOON, NOON + 60, "anna", " theft ", case=case, address="10.0.0.9")
    two = add_hold(store, None, NOON, NOON + 5, "cli:bob", "fire")
    reader = store.reader()
    assert holds(reader) == [one, two]
    assert (one.camera, one.start, one.end, one.reason, one.case, one.actor, one.released) == (
        "door", NOON, NOON + 60, "theft", case, "anna", None,
    )  # fmt: skip
    gone = release_hold(store, one.id, "carl", "solved")
    assert gone.released is not None and gone.released >= gone.created
    assert holds(reader) == [two]
    assert holds(reader, released=True) == [gone, two]
    told = [(e.actor, e.action, e.subject, e.reason, e.address) for e in entries(reader)]
    assert told == [
        ("carl", "hold", f"hold {one.id}: camera door", "solved", None),
        ("cli:bob", "hold", f"hold {two.id}: all cameras", "fire", None),
        ("anna", "hold", f"hold {one.id}: camera door", " theft ", "10.0.0.9"),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("gate", NOON, NOON + 1, "a", "r"), "no camera 'gate'; it has: door, yard"),
        (("door", NOON, NOON - 1, "a", "r"), "runs backwards: from 2023-11-14T22:13:20"),
        (("door", NOON, NOON, "a", "r"), "runs backwards"),
        (("door", math.nan, NOON, "a", "r"), "start is nan"),
        (("door", NOON, 1e15, "a", "r"), "end is 1000000000000000.0; allowed"),
        (("door", NOON, NOON + 1, "a", "  "), "needs a reason"),
    ],
)
def test_a_wrong_hold_is_refused_and_leaves_nothing(store, values, message):
    with pytest.raises(ConfigError, match=message):
        add_hold(store, *values)
    assert holds(store.reader(), released=True) == [] and entries(store.reader()) == []


def test_a_case_or_hold_that_is_not_there(store):
    with pytest.raises(ConfigError, match="no case 7"):
        add_hold(store, None, NOON, NOON + 1, "a", "r", case=7)
    with pytest.raises(ConfigError, match="no hold 7"):
        release_hold(store, 7, "a", "r")
    hold = add_hold(store, None, NOON, NOON + 1, "a", "r")
    release_hold(store, hold.id, "a", "r")
    with pytest.raises(ConfigError, match="released already"):
        release_hold(store, hold.id, "a", "r")


def test_the_command(sqlite_url, capsys):
    with Store.open(sqlite_url) as store:
        store.begin_run({}, CAMERAS)
    add = ["hold", "add", "--store", sqlite_url, "--camera", "door", "--reason", "theft"]
    assert main([*add, "--from", "2026-01-31T14:00:00Z", "--to", "2026-01-31T16:00+01:00"]) == 0
    assert "camera door, 2026-01-31T14:00:00.000000Z to 2026-01-31T15:00:00.000000Z" in (
        capsys.readouterr().out
    )
    assert main(["hold", "list", "--store", sqlite_url, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["camera"], listed["from"], listed["reason"], listed["released"]) == (
        "door", "2026-01-31T14:00:00.000000Z", "theft", None,
    )  # fmt: skip
    release = ["hold", "release", "--store", sqlite_url, str(listed["id"]), "--reason", "done"]
    assert main(release) == 0
    capsys.readouterr()
    assert main(["hold", "list", "--store", sqlite_url]) == 0
    assert capsys.readouterr().out == "no holds\n"
    assert main([*add, "--from", "2026-01-31T14:00:00Z", "--to", "yesterday"]) == 2
    assert "'yesterday'" in capsys.readouterr().err
    missing = sqlite_url.replace("store.db", "none.db")
    assert main(["hold", "release", "--store", missing, "1", "--reason", "x"]) == 2
    assert "there is no file" in capsys.readouterr().err
