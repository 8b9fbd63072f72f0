"""Decisions reach a running pipeline, and the matcher's late rows do not outlast them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.decisions.decide import Decisions
from storage.decisions.news import DecisionNews
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, points
from trackers.records import Rulings


@pytest.fixture
def store(url: str, media: Path) -> Iterator[Store]:
    with Store.open(url, media) as opened:
        opened.identity_allocator().next_id()
        old = opened.begin_run({}, CAMERAS)
        opened.add_points(old, "door", 90, points(2))
        opened.link(old, decision(90, 9))
        opened.finish_run(old)
        run = opened.begin_run({}, CAMERAS)
        for track, identity in {1: 1, 2: 1, 3: 1, 4: 4, 5: 4}.items():
            opened.add_points(run, "door", track, points(2))
            opened.link(run, decision(track, identity))
        opened.flush()
        yield opened


def identities(store: Store) -> dict[int, int | None]:
    store.flush()
    return {row.id: row.identity for row in store.reader().tracks()}


def hear(news: DecisionNews) -> Rulings:
    found = news.rulings()
    assert found is not None
    return found


def test_only_what_is_new_is_news(store: Store) -> None:
    desk = Decisions(store)
    desk.confirm(1, 1, "anna", "before the run looked")
    news = DecisionNews(store, 2)
    assert news.rulings() is None
    desk.merge(1, 4, "anna", "x")
    assert hear(news).moved == {4: 1, 5: 1}
    assert news.rulings() is None
    desk.confirm(2, 1, "anna", "x")
    found = hear(news)
    assert found.moved == {2: 1}
    assert found.confirmed == {1}
    assert found.apart == found.distinct == frozenset()


def test_rejections_name_the_identities_as_they_are_now(store: Store) -> None:
    news, desk = DecisionNews(store, 2), Decisions(store)
    out = desk.reject(2, 1, "anna", "x")
    assert out.other is not None
    found = hear(news)
    assert found.moved == {2: out.other}
    assert found.apart == {(2, 1)}
    assert found.distinct == {(out.other, 1)}
    desk.undo(out.id, "anna", "x")
    found = hear(news)
    assert found.moved == {2: 1}
    assert found.apart == found.distinct == frozenset()


def test_an_undone_track_follows_a_merge_that_was_heard_before(store: Store) -> None:
    """The matcher would have put it where nobody is any more."""
    news, desk = DecisionNews(store, 2), Decisions(store)
    split = desk.split(1, [2], "anna", "x")
    merge = desk.merge(4, 1, "anna", "x")
    hear(news)
    desk.undo(split.id, "anna", "x")
    assert hear(news).moved == {2: 4}
    assert identities(store)[2] == 4
    desk.undo(merge.id, "anna", "x")
    assert hear(news).moved == {1: 1, 2: 1, 3: 1}


def test_tracks_of_other_runs_are_no_news_of_this_one(store: Store) -> None:
    news = DecisionNews(store, 2)
    Decisions(store).merge(1, 9, "anna", "x")
    assert hear(news).moved == {}


def test_a_late_move_of_the_matcher_does_not_outlast_a_decision(store: Store) -> None:
    """The matcher decided before it heard of the confirmation, and was committed after it."""
    news, desk = DecisionNews(store, 2), Decisions(store)
    done = desk.confirm(2, 4, "anna", "x")
    store.link(2, decision(2, 1, "move"))
    assert identities(store)[2] == 1
    assert hear(news).moved == {2: 4}
    assert identities(store)[2] == 4
    last = store.reader().ledger(2)[-1]
    assert (last.decision, last.action, last.actor) == (done.id, "confirm", "crosscam")
    assert last.reason.startswith(f"follows decision {done.id}: ")
    desk.undo(done.id, "anna", "x")
    assert identities(store)[2] == 1
    assert hear(news).moved == {2: 1}


def test_a_late_link_into_what_was_merged_away_follows(store: Store) -> None:
    news, desk = DecisionNews(store, 2), Decisions(store)
    first = desk.merge(1, 4, "anna", "x")
    second = desk.merge(9, 1, "anna", "x")
    store.add_points(2, "door", 6, points(2))
    store.link(2, decision(6, 4, "link"))
    assert hear(news).moved == dict.fromkeys((1, 2, 3, 4, 5, 6), 9)
    assert identities(store)[6] == 9
    desk.undo(second.id, "anna", "x")
    assert identities(store)[6] == 1, "what followed a merge goes with it"
    desk.undo(first.id, "anna", "x")
    assert identities(store) == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 90: 9}


def test_a_merge_undone_before_it_was_heard_moves_nobody(store: Store) -> None:
    news, desk = DecisionNews(store, 2), Decisions(store)
    desk.undo(desk.merge(1, 4, "anna", "x").id, "anna", "x")
    store.add_points(2, "door", 6, points(2))
    store.link(2, decision(6, 4, "link"))
    assert hear(news).moved == {4: 4, 5: 4}
    assert identities(store)[6] == 4
