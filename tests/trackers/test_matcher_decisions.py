"""The matcher heeds people: confirmed stays, rejected never comes back, merges are followed."""

from __future__ import annotations

from tests.trackers.people import embedding, tracklet
from trackers.allocator import CountingAllocator
from trackers.matcher import CrossCameraMatcher
from trackers.records import LinkDecision, Rulings
from trackers.settings import MatchingSettings

SETTINGS = MatchingSettings(threshold=0.3, gamma=0.6)


def matcher(**changes) -> CrossCameraMatcher:
    return CrossCameraMatcher(SETTINGS.model_copy(update=changes), CountingAllocator(), {})


def rulings(moved=None, confirmed=(), apart=(), distinct=()) -> Rulings:
    return Rulings(moved or {}, frozenset(confirmed), frozenset(apart), frozenset(distinct))


def run(found: CrossCameraMatcher, *tracklets) -> dict[int, LinkDecision]:
    for item in tracklets:
        found.add(item)
    return {d.track: d for d in found.decide()}


def seen(track: int, person: int, start: float, camera: str = "", noise: float = 0.1):
    """A track of five seconds, on a camera of its own unless said otherwise."""
    of = embedding(person, noise=noise, seed=track)
    return tracklet(track, camera or f"camera {track}", start, start + 5, of)


def test_without_these_rulings_the_matcher_would_link():
    """What the other tests lean on."""
    found = matcher()
    run(found, seen(1, 1, 0))
    assert run(found, seen(2, 1, 10))[2].identity == 1
    assert run(found, seen(3, 1, 20))[3].identity == 1


def test_a_rejected_track_is_never_linked_again():
    found = matcher()
    run(found, seen(1, 1, 0), seen(2, 1, 10))
    found.heed(rulings({2: 50}, apart={(2, 1)}, distinct={(50, 1)}))
    again = run(found, seen(2, 1, 10), seen(9, 2, 20))
    assert 2 not in again, "the person's row stands; nothing is added to it"
    third = run(found, seen(3, 1, 30))[3]
    assert third.identity in (1, 50), "it looks like both and may join one of them"
    later = run(found, seen(4, 1, 40), seen(2, 1, 10))
    assert 2 not in later
    assert not {d.track for d in later.values() if d.action == "move"}


def home(found: CrossCameraMatcher) -> dict[int, int | None]:
    return {e.tracklet.track: e.identity for e in found._gallery.entries}


def test_the_rejection_outlives_the_tracks_it_was_about():
    """Both tracks have left the memory; those that joined their identities stay two people."""
    found = matcher(window=50.0)
    run(found, seen(1, 1, 0), seen(2, 2, 0))
    found.heed(rulings({2: 50}, apart={(2, 1)}, distinct={(50, 1)}))
    run(found, seen(3, 1, 40), seen(4, 2, 40))
    run(found, seen(8, 8, 60))
    assert home(found) == {3: 1, 4: 50, 8: 3}
    # 4 turns out to look like 3: without the rejection they would be one
    found.heed(rulings({}, apart={(2, 1)}, distinct={(50, 1)}))
    now = tracklet(4, "camera 4", 40, 64, embedding(1, seed=4))
    assert run(found, now) == {}
    found.heed(rulings())
    assert run(found, now)[4].identity == 1


def test_a_rejection_follows_the_matchers_own_merges():
    """3 is not identity 2. That becomes part of identity 1, so 3 must not join 1 either."""
    found = matcher()
    run(found, seen(1, 1, 0), seen(2, 7, 0))
    found.heed(rulings({3: 60}, apart={(3, 2)}, distinct={(60, 2)}))
    better_look = tracklet(2, "camera 2", 0, 9, embedding(1, seed=2))
    assert run(found, better_look)[2].identity == 1
    assert run(found, seen(3, 1, 20)) == {}
    assert home(found) == {1: 1, 2: 1, 3: 60}


def test_a_rejected_track_that_was_forgotten_comes_back_as_rejected():
    found = matcher(window=50.0)
    run(found, seen(2, 1, 0), seen(3, 1, 40))
    found.heed(rulings({2: 50}, apart={(2, 1)}, distinct={(50, 1)}))
    run(found, seen(8, 8, 70))
    assert home(found) == {3: 1, 8: 2}
    back = tracklet(2, "camera 2", 0, 75, embedding(1, seed=2))
    assert run(found, back)[2].identity not in (1, 2)


def test_an_undone_rejection_lets_the_two_join():
    found = matcher()
    run(found, seen(1, 1, 0), seen(2, 1, 10))
    found.heed(rulings({2: 50}, apart={(2, 1)}, distinct={(50, 1)}))
    assert 2 not in run(found, seen(8, 2, 20))
    found.heed(rulings())  # as if only the rejection were gone, not its move
    joined = run(found, seen(9, 3, 30))
    assert joined[2].identity == 1
    assert joined[2].action == "move"


def test_a_confirmed_identity_keeps_its_id():
    """The lower id would win; a person confirmed the higher one."""
    found = matcher()
    run(found, seen(1, 1, 0))
    found.heed(rulings({2: 70}, confirmed={70}))
    decided = run(found, seen(2, 1, 10))
    assert 2 not in decided
    assert decided[1].action == "move"
    assert decided[1].identity == 70
    assert run(found, seen(3, 1, 20))[3].identity == 70


def test_two_confirmed_identities_never_become_one():
    found = matcher()
    found.heed(rulings({1: 70, 2: 71}, confirmed={70, 71}))
    decided = run(found, seen(1, 1, 0), seen(2, 1, 10), seen(3, 1, 20))
    assert set(decided) == {3}
    assert run(found, seen(4, 1, 30), seen(1, 1, 0), seen(2, 1, 10)).keys() == {4}


def test_split_tracks_stay_together_and_away():
    found = matcher()
    run(found, *(seen(t, 1, 10 * t) for t in (1, 2, 3, 4)))
    found.heed(rulings({3: 50, 4: 50}, apart={(3, 1), (4, 1)}, distinct={(50, 1)}))
    for track in (5, 6, 7):
        decided = run(found, seen(track, 1, 10 * track))
        assert decided.keys() == {track}
    entries = {e.tracklet.track: e.identity for e in found._gallery.entries}
    assert entries[1] == entries[2] == 1
    assert entries[3] == entries[4] == 50


def test_a_merge_is_followed():
    """People say that two who look different are one: who looks like either is that one."""
    found = matcher()
    first = run(found, seen(1, 1, 0), seen(2, 2, 10))
    assert (first[1].identity, first[2].identity) == (1, 2)
    found.heed(rulings({2: 1}))
    assert run(found, seen(3, 2, 20, noise=0.05)).keys() == {3}
    entries = {e.tracklet.track: e.identity for e in found._gallery.entries}
    assert entries[2] == 1
    assert 2 not in entries.values()


def test_rulings_about_strangers_change_nothing():
    """Decisions about other runs reach every matcher."""

    def both(told: bool):
        found = matcher()
        decided = []
        for step in range(6):
            for camera in range(3):
                track = 3 * step + camera + 1
                found.add(seen(track, track % 4, 5 * step + camera, f"c{camera}"))
            if told:
                found.heed(rulings({}, {900}, {(901, 902)}, {(903, 902)}))
            decided += found.decide()
        return decided

    assert both(True) == both(False)
