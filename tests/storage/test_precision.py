"""Precision from people's decisions, against figures worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from reid.errors import StoreError
from storage.decisions.decide import Decisions, precision
from storage.decisions.precision import Precision, judged_pairs, wilson
from storage.models import Run
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, points

# What the matcher did: track -> (identity, action, candidate, distance); threshold 0.3 for all.
LEDGER = {
    1: (1, "create", None, None),
    2: (1, "link", 1, 0.10),
    3: (1, "link", 1, 0.20),
    4: (1, "link", 1, 0.25),
    5: (5, "create", None, None),
    6: (5, "move", 5, 0.29),
    7: (7, "abstain", 1, 0.33),
    8: (8, "abstain", 5, 0.35),
}


@pytest.fixture
def store(url: str, media: Path) -> Iterator[Store]:
    with Store.open(url, media) as opened:
        run = opened.begin_run({"pipeline": {"matching": {"threshold": 0.3}}}, CAMERAS)
        opened.identity_allocator().next_id()
        for track, (identity, action, candidate, distance) in LEDGER.items():
            opened.add_points(run, "door", track, points(2))
            more = {"candidate": candidate, "distance": distance, "threshold": 0.3}
            opened.link(run, decision(track, identity, action, **more))
        opened.finish_run(run)
        yield opened


def shares(found: Precision) -> list[tuple[float, int, int, int, int]]:
    return [
        (r.factor, r.precision.right, r.precision.judged, r.recall.right, r.recall.judged)
        for r in found.table
    ]


def test_no_judged_link_yet(store: Store) -> None:
    found = precision(store.reader())
    assert (found.threshold, found.missed) == (0.3, 0)
    assert found.links.as_json() == {
        "right": 0, "judged": 0, "share": None, "low": None, "high": None,
    }  # fmt: skip
    assert shares(found) == [(0.8, 0, 0, 0, 0), (1.0, 0, 0, 0, 0), (1.2, 0, 0, 0, 0)]


def test_what_people_said_of_links_and_of_what_was_left_apart(store: Store) -> None:
    desk = Decisions(store)
    desk.confirm(2, 1, "anna", "right link, 0.10")
    desk.reject(3, 1, "anna", "wrong link, 0.20")
    desk.confirm(4, 5, "anna", "elsewhere: wrong link, 0.25")
    desk.confirm(6, 5, "anna", "right move, 0.29")
    desk.merge(1, 7, "anna", "missed, 0.33")
    desk.reject(8, 5, "anna", "rightly left alone, 0.35")
    found = precision(store.reader())
    assert (found.links.right, found.links.judged, found.missed) == (2, 4, 1)
    # below 0.24: 2 and 3; below 0.30: 2, 3, 4, 6; below 0.36: all six. Truly alike: 2, 6, 7.
    assert shares(found) == [(0.8, 1, 2, 1, 3), (1.0, 2, 4, 2, 3), (1.2, 3, 6, 3, 3)]
    assert [row.threshold for row in found.table] == pytest.approx([0.24, 0.3, 0.36])


# tracks that leave identity 1 (1 came first, then 2, 3, 4) -> links judged wrong, by distance
SPLITS: dict[tuple[int, ...], set[float]] = {
    (2,): {0.10},
    (3, 4): {0.20},  # 4 came to 3 as well: nobody said that the two are not one
    (1, 2): {0.20},  # the same said from the other side
    (2, 4): {0.10},
    (1, 3): {0.10},
    (1,): {0.10},  # 2 was linked to it alone; 3 and 4 to 2 as well
    (2, 3, 4): {0.10},
    (1, 2, 4): {0.20},  # 3 was linked to those who left
    (1, 2, 3): {0.25},
}


def wrong(store: Store) -> set[float]:
    """Distances of the links that people found wrong."""
    with store.reader().connection() as connection:
        pairs = judged_pairs(connection, None)
    assert not any(pair.same for pair in pairs)
    return {pair.distance for pair in pairs}


@pytest.mark.parametrize("leaving", SPLITS)
def test_a_split_speaks_against_links_from_one_side_to_the_other(
    store: Store, leaving: tuple[int, ...]
) -> None:
    """It spoke against right links where the first of an identity left together with others."""
    done = Decisions(store).split(1, leaving, "anna", "x")
    assert wrong(store) == SPLITS[leaving]
    Decisions(store).undo(done.id, "anna", "x")
    assert precision(store.reader()).links.judged == 0


def test_rejecting_the_first_of_an_identity_speaks_against_the_link_to_it(store: Store) -> None:
    desk = Decisions(store)
    desk.confirm(2, 1, "anna", "before it was seen that 1 is somebody else")
    desk.reject(1, 1, "anna", "x")
    assert wrong(store) == {0.10}, "the last word counts"
    desk.confirm(2, 1, "anna", "after all")
    found = precision(store.reader()).links
    assert (found.right, found.judged) == (1, 1)


def test_a_rejection_of_who_is_elsewhere_parts_nobody(store: Store) -> None:
    Decisions(store).reject(5, 1, "anna", "x")
    assert precision(store.reader()).links.judged == 0


def test_the_last_word_counts_and_undone_ones_do_not(store: Store) -> None:
    desk = Decisions(store)
    desk.confirm(2, 1, "anna", "x")
    wrong = desk.reject(2, 1, "bert", "x")
    assert precision(store.reader()).links.right == 0
    desk.undo(wrong.id, "bert", "x")
    found = precision(store.reader()).links
    assert (found.right, found.judged) == (1, 1)


def test_a_link_into_an_identity_that_people_merged(store: Store) -> None:
    desk = Decisions(store)
    desk.merge(5, 1, "anna", "x")
    assert precision(store.reader()).links.judged == 0, "a merge says nothing of the links in it"
    desk.confirm(2, 5, "anna", "x")
    assert (precision(store.reader()).links.right, precision(store.reader()).links.judged) == (1, 1)


def test_runs(store: Store) -> None:
    Decisions(store).confirm(2, 1, "anna", "x")
    assert precision(store.reader(), 1).links.judged == 1
    with pytest.raises(StoreError, match="has no run 9"):
        precision(store.reader(), 9)
    store.write(lambda c: c.execute(update(Run).values(rerun_of=7)))
    assert precision(store.reader()).links.judged == 0, "re-runs only when asked for"
    assert precision(store.reader(), 1).links.judged == 1


@pytest.mark.parametrize(
    ("right", "judged", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(right: int, judged: int, low: float, high: float) -> None:
    found = wilson(right, judged)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert found.share == right / judged
