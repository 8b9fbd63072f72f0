"""Somebody who is still in view is here and nowhere else, whatever was said of them earlier."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.trackers.people import embedding, tracklet
from trackers.allocator import CountingAllocator
from trackers.constraints import conflict
from trackers.gallery import Gallery
from trackers.matcher import CrossCameraMatcher
from trackers.records import LinkDecision, Rulings, Tracklet, TrackPoint
from trackers.settings import MatchingSettings

SETTINGS = MatchingSettings(threshold=0.3, gamma=0.6)
PLACES = {"gate": (0.0, 0.0), "yard": (300.0, 0.0)}


def matcher(**changes) -> CrossCameraMatcher:
    return CrossCameraMatcher(SETTINGS.model_copy(update=changes), CountingAllocator(), PLACES)


def seen(track: int, camera: str, start: float, end: float, person: int = 1) -> Tracklet:
    return tracklet(track, camera, start, end, embedding(person, seed=track))


def at(time: float, x: float = 100) -> TrackPoint:
    return (
        seen(0, "gate", 0, time).last
        if x == 100
        else tracklet(0, "", 0, time, None, at=(x, 1)).last
    )


def run(found: CrossCameraMatcher, *tracklets: Tracklet, still=None) -> list[LinkDecision]:
    for item in tracklets:
        found.add(item)
    found.still_open({track: at(time) for track, time in (still or {}).items()})
    return found.decide()


def home(found: CrossCameraMatcher) -> dict[int, int | None]:
    return {e.tracklet.track: e.identity for e in found._gallery.entries}


def test_who_is_still_in_view_is_not_linked_to_a_distant_place():
    """A track is handed in at ten seconds; at 300 s its person still stands at the gate."""
    for still, people in (({1: 320.0}, 2), ({1: 10.0}, 1), ({}, 1)):
        found = matcher()
        run(found, seen(1, "gate", 0, 10), still={1: 10.0})
        run(found, seen(2, "yard", 300, 320), still=still)
        assert len(set(home(found).values())) == people, still


def test_two_on_one_camera_do_not_become_one_through_a_third():
    found = matcher()
    run(found, seen(1, "gate", 0, 10), still={1: 10.0})
    run(found, seen(3, "hall", 60, 70), still={1: 70.0})
    run(found, seen(2, "gate", 100, 130), still={1: 130.0})
    run(found, seen(1, "gate", 0, 600))
    assert home(found)[3] == home(found)[1] != home(found)[2]


def test_a_link_that_proves_impossible_is_taken_back_by_a_further_row():
    """Nobody knew of 1 after 10 s when 2 was linked to it; then 1 is seen again at the gate."""
    found = matcher()
    run(found, seen(1, "gate", 0, 10), seen(3, "hall", 5, 15))
    run(found, seen(2, "yard", 300, 320))
    assert home(found) == {1: 1, 2: 1, 3: 1}
    (row,) = run(found, still={1: 330.0})
    assert (row.track, row.action, row.identity, row.time) == (2, "create", 2, 320.0)
    assert row.reason == "cannot be the same person as track 1: 300 m apart with 0.0 s between"
    assert row.distance is row.candidate is None
    assert run(found, seen(1, "gate", 0, 600)) == [], "and it stays so"
    assert home(found) == {1: 1, 2: 2, 3: 1}


def test_what_a_person_put_together_stays_and_is_warned_of_once(caplog):
    found = matcher()
    run(found, seen(1, "gate", 0, 10))
    run(found, seen(2, "yard", 300, 320, person=2))
    found.heed(Rulings({2: 1}, frozenset(), frozenset(), frozenset()))
    with caplog.at_level(logging.WARNING):
        assert run(found, still={1: 330.0}) == []
        assert run(found, seen(1, "gate", 0, 600)) == []
    assert home(found) == {1: 1, 2: 1}
    (record,) = caplog.records
    assert "somebody said so, but: 300 m apart" in record.getMessage()


def test_what_came_after_a_persons_word_is_not_covered_by_it():
    """A person confirmed 1; that 2 is the same was the matcher's own idea."""
    found = matcher()
    run(found, seen(1, "gate", 0, 10))
    found.heed(Rulings({1: 70}, frozenset({70}), frozenset(), frozenset()))
    run(found, seen(2, "yard", 300, 320))
    assert home(found) == {1: 70, 2: 70}
    (row,) = run(found, still={1: 330.0})
    assert row.track == 2
    assert home(found)[1] == 70


def test_a_track_in_view_is_not_forgotten_nor_what_was_said_of_it():
    """It outlived the gallery, was founded anew when it ended, and a person's word was lost."""
    for changes in ({"gallery": 10}, {"window": 100.0}):
        found = matcher(**changes)
        run(found, seen(1, "gate", 0, 10), still={1: 10.0})
        found.heed(Rulings({1: 777}, frozenset({777}), frozenset(), frozenset()))
        for i in range(2, 40):
            run(found, seen(i, "yard", 20 * i, 20 * i + 5, person=i), still={1: 20.0 * i})
            assert len(found._gallery) <= 11
        assert run(found, seen(1, "gate", 0, 800)) == []
        assert home(found)[1] == 777


@pytest.mark.parametrize("seed", range(4))
def test_a_track_that_goes_on_is_to_others_what_a_new_one_would_be(seed):
    rng = np.random.default_rng(seed)
    settings = SETTINGS.model_copy(update={"max_image_speed": 1.0, "view_reach": 5.0})
    gallery = Gallery(settings, PLACES)
    cameras = ("gate", "yard", "hall")
    for track in range(30):
        start = rng.uniform(0, 60)
        gallery.take_in(
            [
                tracklet(
                    track,
                    cameras[rng.integers(3)],
                    start,
                    start + rng.uniform(1, 9),
                    embedding(track),
                    at=tuple(rng.uniform(0, 900, 2)),
                )
            ]
        )

    def relations():
        tracks = [e.tracklet for e in gallery.entries]
        return [
            [
                (
                    i != j and conflict(a, b, PLACES, settings) is not None,
                    round(max(0.0, max(a.start, b.start) - min(a.end, b.end)), 9) if i != j else 0,
                )
                for j, b in enumerate(tracks)
            ]
            for i, a in enumerate(tracks)
        ]

    before = relations()
    points = {
        int(t): at(gallery.entries[t].tracklet.end + rng.uniform(-3, 20), rng.uniform(0, 900))
        for t in rng.choice(30, 8, replace=False)
    }
    ends = {t: gallery.entries[t].tracklet.end for t in points}
    changed = gallery.prolong({**points, 99: at(50)})
    after = relations()
    grown = {t for t, point in points.items() if point.time > ends[t]}
    assert set(changed) == {t for t in grown if before[t] != after[t]}
    assert len(changed) > 0
    assert gallery.conflicts.tolist() == [[pair[0] for pair in row] for row in after]
