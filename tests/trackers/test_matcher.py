from __future__ import annotations

import numpy as np
import pytest

from reid.errors import FingerprintMismatch
from reid.records import PartEmbeddings
from tests.reid import naive
from tests.trackers.people import embedding, tracklet
from trackers.allocator import CountingAllocator
from trackers.gallery import FAR, Gallery
from trackers.matcher import CrossCameraMatcher
from trackers.settings import MatchingSettings

SETTINGS = MatchingSettings(threshold=0.3, gamma=0.6)


def matcher(places=None, **changes) -> CrossCameraMatcher:
    settings = SETTINGS.model_copy(update=changes)
    return CrossCameraMatcher(settings, CountingAllocator(), places or {})


def run(found: CrossCameraMatcher, *tracklets):
    for item in tracklets:
        found.add(item)
    decisions = found.decide()
    return {d.track: d for d in decisions}


def test_one_person_on_two_cameras_is_one_identity():
    got = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1, seed=1)),
        tracklet(2, "b", 10, 15, embedding(1, seed=2)),
        tracklet(3, "b", 20, 25, embedding(2)),
    )
    assert [got[t].identity for t in (1, 2, 3)] == [1, 1, 2]
    assert [got[t].action for t in (1, 2, 3)] == ["create", "link", "create"]
    link = got[2]
    assert link.candidate == 1
    assert link.distance is not None
    assert link.distance < 0.3
    assert link.support == pytest.approx(6 * 0.8 * 0.8, abs=1e-5)
    assert "looks alike" in link.reason


def test_order_of_arrival_does_not_matter():
    items = [
        tracklet(i, "ab"[i % 2], 10 * i, 10 * i + 5, embedding(i % 3, seed=i)) for i in range(1, 9)
    ]
    one = run(matcher(), *items)
    other = run(matcher(), *reversed(items))
    assert {t: d.identity for t, d in one.items()} == {t: d.identity for t, d in other.items()}


def test_later_calls_link_to_known_identities():
    found = matcher()
    first = run(found, tracklet(1, "a", 0, 5, embedding(1, seed=1)))
    second = run(found, tracklet(2, "b", 10, 15, embedding(1, seed=2)))
    assert first[1].identity == second[2].identity
    assert list(second) == [2], "what is settled is not decided again"


def test_two_people_on_one_camera_at_one_moment_are_two():
    got = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1, seed=1)),
        tracklet(2, "a", 3, 8, embedding(1, seed=2)),
    )
    assert got[1].identity != got[2].identity


def test_exclusion_reaches_through_a_third_track():
    """1 and 2 stood side by side; 3 looks like both and may join one of them only."""
    got = run(
        matcher(margin=0.0),
        tracklet(1, "a", 0, 5, embedding(1, noise=0.1, seed=1)),
        tracklet(2, "a", 0, 5, embedding(1, noise=0.3, seed=2)),
        tracklet(3, "b", 10, 15, embedding(1, noise=0.1, seed=3)),
    )
    assert got[1].identity != got[2].identity
    assert got[3].identity in (got[1].identity, got[2].identity)


def test_two_equally_near_rivals_are_left_alone():
    got = run(
        matcher(margin=0.2),
        tracklet(1, "a", 0, 5, embedding(1, noise=0.1, seed=1)),
        tracklet(2, "a", 0, 5, embedding(1, noise=0.1, seed=2)),
        tracklet(3, "b", 10, 15, embedding(1, noise=0.1, seed=3)),
    )
    assert len({d.identity for d in got.values()}) == 3
    assert got[3].action == "abstain"
    assert "equally alike" in got[3].reason
    assert got[3].runner_up is not None
    assert abs(got[3].runner_up - got[3].distance) < 0.2, "the rival that was in the way"
    assert got[3].candidate in (got[1].identity, got[2].identity)


def test_nobody_is_in_two_distant_places():
    near = {"a": (0.0, 0.0), "b": (10.0, 0.0)}
    far = {"a": (0.0, 0.0), "b": (1000.0, 0.0)}
    items = (
        tracklet(1, "a", 0, 5, embedding(1, seed=1)),
        tracklet(2, "b", 8, 12, embedding(1, seed=2)),
    )
    assert len({d.identity for d in run(matcher(near), *items).values()}) == 1
    assert len({d.identity for d in run(matcher(far), *items).values()}) == 2
    # With time to walk there it is possible again.
    later = tracklet(2, "b", 400, 405, embedding(1, seed=2))
    assert len({d.identity for d in run(matcher(far), items[0], later).values()}) == 1


def test_nobody_flies_across_the_picture():
    items = (
        tracklet(1, "a", 0, 5, embedding(1, seed=1), at=(0, 100)),
        tracklet(2, "a", 5.2, 8, embedding(1, seed=2), at=(900, 100)),
    )
    assert len({d.identity for d in run(matcher(same_camera=True), *items).values()}) == 2
    again = tracklet(2, "a", 30, 35, embedding(1, seed=2), at=(900, 100))
    assert len({d.identity for d in run(matcher(same_camera=True), items[0], again).values()}) == 1


def test_two_tracks_of_one_camera_join_through_another_only():
    items = (
        tracklet(1, "a", 0, 5, embedding(1, seed=1)),
        tracklet(2, "a", 8, 12, embedding(1, seed=2)),
    )
    assert len({d.identity for d in run(matcher(), *items).values()}) == 2
    assert len({d.identity for d in run(matcher(same_camera=True), *items).values()}) == 1
    between = tracklet(3, "b", 4, 9, embedding(1, seed=3))
    assert len({d.identity for d in run(matcher(), *items, between).values()}) == 1


def test_the_threshold_sinks_with_the_time_between():
    items = (
        tracklet(1, "a", 0, 5, embedding(1, noise=0.55, seed=1)),
        tracklet(2, "b", 5, 12, embedding(1, noise=0.55, seed=2)),
    )
    soon = run(matcher(), *items)
    assert soon[2].action == "link"
    late = tracklet(2, "b", 3000, 3005, embedding(1, noise=0.55, seed=2))
    found = run(matcher(), items[0], late)
    assert found[2].action == "create"
    assert found[2].threshold == pytest.approx(0.3 - 0.15)
    assert soon[2].threshold == pytest.approx(0.3)


def test_alike_but_not_enough_is_an_abstention_that_names_the_candidate():
    items = (
        tracklet(1, "a", 0, 5, embedding(1, noise=0.55, seed=1)),
        tracklet(2, "b", 10, 15, embedding(1, noise=0.55, seed=2)),
    )
    got = run(matcher(threshold=0.1, possible=0.5), *items)
    assert (got[2].action, got[2].candidate) == ("abstain", got[1].identity)
    assert "alike, but not enough to link" in got[2].reason
    assert run(matcher(threshold=0.1, possible=0.1), *items)[2].action == "create"


def test_too_little_in_common_is_an_abstention():
    legs = [0.001, 0.001, 0.001, 0.001, 0.9, 0.9]
    head = [0.9, 0.9, 0.001, 0.001, 0.001, 0.001]
    got = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1, seed=1, quality=legs)),
        tracklet(2, "b", 10, 15, embedding(1, seed=2, quality=head)),
    )
    assert got[1].identity != got[2].identity
    assert got[2].action == "abstain"
    assert "not enough in common" in got[2].reason
    assert got[2].candidate == got[1].identity
    # The same people seen whole are linked: it was the evidence that was missing.
    whole = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1, seed=1)),
        tracklet(2, "b", 10, 15, embedding(1, seed=2)),
    )
    assert whole[1].identity == whole[2].identity


def test_a_track_without_an_embedding_is_never_linked():
    got = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1)),
        tracklet(2, "b", 10, 15, None),
        tracklet(3, "b", 20, 25, None),
    )
    assert len({d.identity for d in got.values()}) == 3
    assert got[2].action == "abstain"
    assert got[2].distance is None


def test_later_evidence_joins_two_identities_by_a_further_row():
    """Tracks 1 and 2 look different; 3 links both: the later identity's track moves."""
    rng = np.random.default_rng(5)
    a = embedding(1)
    step = rng.normal(size=a.parts.shape).astype(np.float32)

    def between(share: float) -> PartEmbeddings:
        return PartEmbeddings(
            a.parts + share * step, a.global_parts + share * step, a.quality, a.fingerprint
        )

    found = matcher(threshold=0.28, margin=0.0, recency=0.0)
    first = run(
        found,
        tracklet(1, "a", 0, 5, between(0.0)),
        tracklet(2, "b", 10, 15, between(0.95)),
    )
    assert first[1].identity != first[2].identity
    second = run(
        found,
        tracklet(3, "c", 20, 25, between(0.45)),
        tracklet(4, "c", 30, 35, between(0.5)),
        tracklet(5, "c", 40, 45, between(0.55)),
    )
    moved = [d for d in second.values() if d.action == "move"]
    assert [d.track for d in moved] == [2]
    assert moved[0].identity == first[1].identity


def test_a_growing_track_is_measured_again():
    found = matcher()
    run(found, tracklet(1, "a", 0, 5, embedding(1)))
    early = run(found, tracklet(2, "b", 10, 12, embedding(2)))
    assert early[2].identity == 2
    late = run(found, tracklet(2, "b", 10, 30, embedding(1, seed=3)))
    assert late[2].action == "move"
    assert late[2].identity == 1


def test_nan_never_links():
    broken = embedding(1)
    broken.parts[:] = np.nan
    got = run(
        matcher(),
        tracklet(1, "a", 0, 5, embedding(1)),
        tracklet(2, "b", 10, 15, broken),
    )
    assert got[1].identity != got[2].identity


def test_models_do_not_mix():
    other = embedding(1)
    other = PartEmbeddings(other.parts, other.global_parts, other.quality, "another")
    with pytest.raises(FingerprintMismatch):
        run(matcher(), tracklet(1, "a", 0, 5, embedding(1)), tracklet(2, "b", 10, 15, other))


def test_the_gallery_stays_bounded():
    found = matcher(gallery=10)
    for i in range(1, 40):
        run(found, tracklet(i, "a", 10 * i, 10 * i + 5, embedding(i)))
    assert len(found._gallery) == 10
    again = run(found, tracklet(50, "b", 500, 505, embedding(39, seed=1)))
    assert again[50].identity == 39


def test_gallery_distances_are_equation_15():
    items = [tracklet(i, "a", i, i + 0.5, embedding(i, seed=i)) for i in range(1, 5)]
    gallery = Gallery(SETTINGS)
    gallery.take_in(items[:2])
    gallery.take_in(items[2:])
    for i, a in enumerate(items):
        for j, b in enumerate(items):
            if i == j:
                assert gallery.distance[i, j] == FAR
                continue
            x, y = a.embedding, b.embedding
            part = naive.part_distance(x.parts[0], x.quality[0], y.parts[0], y.quality[0])
            whole = naive.global_distance(
                x.global_parts[0], x.quality[0], y.global_parts[0], y.quality[0]
            )
            assert gallery.distance[i, j] == pytest.approx(0.6 * part + 0.4 * whole, abs=1e-5)
            assert gallery.support[i, j] == pytest.approx(float(x.quality[0] @ y.quality[0]), 1e-5)


def test_pairs_behind_the_first_n_stay_behind():
    items = [
        tracklet(i, "a", i, i + 0.5, embedding(1, noise=0.05 * i, seed=i)) for i in range(1, 9)
    ]
    gallery = Gallery(SETTINGS.model_copy(update={"top_n": 2}))
    gallery.take_in(items[:7])
    gallery.take_in(items[7:])
    row = np.sort(np.delete(gallery.distance[7], 7))
    assert (row[2:] >= row[1] - 1e-6).all()
