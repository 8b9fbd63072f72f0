from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid.settings import EmbeddingSettings
from tests.trackers.people import embedding
from trackers.bodies import BodyHistory, crop, visible_shares
from trackers.records import Box, TrackPoint
from trackers.tracklets import TrackletBuilder, covered_share

IMAGE = np.random.default_rng(0).integers(0, 255, (400, 600, 3), dtype=np.uint8)


BOX = Box(100, 100, 140, 200)


def point(time: float, box: Box = BOX, confidence: float = 0.9) -> TrackPoint:
    return TrackPoint(int(time * 10), time, box, confidence)


def builder(**settings) -> TrackletBuilder:
    return TrackletBuilder(7, "cam", 6, EmbeddingSettings(**settings))


def test_a_track_embeds_now_and_then_never_every_frame():
    found = builder(interval=0.5, crops_per_track=3)
    asked = [t / 10 for t in range(60) if found.add(point(t / 10), IMAGE, []) is not None]
    assert asked == [0.0, 0.5, 1.0], "then only a better picture"
    better = Box(100, 50, 160, 300)
    assert found.add(point(6.0, better), IMAGE, []) is not None


def test_a_clock_that_was_set_back_delays_no_crop():
    """Symptom: until the clock was where it had been, the track gave no picture to embed."""
    found = builder(interval=0.5)
    assert found.add(point(100.0), IMAGE, []) is not None
    asked = [t / 10 for t in range(12) if found.add(point(t / 10), IMAGE, []) is not None]
    assert asked == [0.0, 0.5, 1.0]


def test_a_hidden_person_is_not_embedded():
    found = builder()
    nearer = Box(95, 110, 150, 260)
    assert found.add(point(0), IMAGE, [nearer]) is None
    assert found.add(point(0.1), IMAGE, []) is not None


def test_covered_share_counts_nearer_people_only():
    box = Box(0, 0, 10, 100)
    assert covered_share(box, [Box(0, 50, 10, 120)]) == pytest.approx(0.5)
    assert covered_share(box, [Box(0, 0, 10, 50)]) == 0, "feet higher in the picture: behind"


def test_hidden_legs_are_padded_back_and_marked():
    history = BodyHistory()
    for _ in range(5):
        whole = history.observe(Box(100, 100, 140, 220), 400, 6)
        assert whole.box == Box(100, 100, 140, 220)
        assert whole.visible == (1.0,) * 6
    hidden = history.observe(Box(100, 100, 140, 160), 400, 6)
    assert hidden.box.bottom == pytest.approx(220, abs=1)
    assert hidden.visible == pytest.approx((1, 1, 1, 0, 0, 0), abs=0.05)


def test_a_hidden_head_is_padded_at_the_top():
    history = BodyHistory()
    for _ in range(5):
        history.observe(Box(100, 100, 140, 220), 400, 6)
    hidden = history.observe(Box(100, 160, 140, 220), 400, 6)
    assert hidden.box.top == pytest.approx(100, abs=1)
    assert hidden.visible == pytest.approx((0, 0, 0, 1, 1, 1), abs=0.05)


def test_a_person_who_walks_away_is_not_padded_for_ever():
    history = BodyHistory()
    for step in range(200):
        height = 200 * 0.99**step
        found = history.observe(Box(0, 0, 0.4 * height, height), 10_000, 6)
    assert found.box.height == pytest.approx(height)


def test_a_body_cut_by_the_lower_edge_is_whole_beyond_it():
    found = BodyHistory().observe(Box(100, 340, 160, 400), 400, 6)
    assert found.box.height == pytest.approx(150)
    picture = crop(IMAGE, found.box)
    assert picture.shape == (150, 60, 3)
    np.testing.assert_array_equal(picture[:60], IMAGE[340:400, 100:160])
    assert picture[60:].std(axis=(0, 1)).max() == 0


def test_visible_shares_of_a_box_inside():
    shares = visible_shares(Box(0, 0, 10, 60), Box(0, 5, 10, 35), 6)
    assert shares == pytest.approx((0.5, 1, 1, 0.5, 0, 0))


@pytest.mark.parametrize("box", [Box(700, 0, 800, 50), Box(-50, 0, -10, 50), Box(5, 5, 5.2, 5.4)])
def test_boxes_outside_the_frame_or_without_area_give_no_crop(box):
    assert crop(IMAGE, box) is None


def test_tracklet_pools_what_was_embedded():
    found = builder(interval=0.5)
    requests = [r for t in range(20) if (r := found.add(point(t / 10), IMAGE, [])) is not None]
    for request in requests:
        found.receive(request, embedding(1))
    got = found.tracklet()
    assert (got.track, got.camera, got.start, got.end, got.boxes) == (7, "cam", 0.0, 1.9, 20)
    np.testing.assert_allclose(got.embedding.parts, embedding(1).parts, rtol=1e-5)
    assert 0 < len(got.exemplars) <= 4
    picture = cv2.imdecode(np.frombuffer(got.exemplars[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > picture.shape[1]


@pytest.mark.parametrize("field", ["parts", "global_parts", "quality"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_numbers_that_cannot_be_stored_are_left_out(field, value):
    """Symptom: one such crop of one camera ended the run for all of them, in the store."""
    found = builder(interval=0.1, crops_per_track=1)
    bad = embedding(1)
    getattr(bad, field).flat[3] = value
    assert not found.receive(found.add(point(0.0), IMAGE, []), bad)
    assert found.embedded == 0 and found.tracklet().embedding is None
    request = found.add(point(0.1), IMAGE, [])
    assert request is not None, "another crop takes its place"
    assert found.receive(request, embedding(1))
    np.testing.assert_array_equal(found.tracklet().embedding.parts, embedding(1).parts)


def test_padded_rows_weigh_nothing():
    found = builder(interval=0.0)
    for t in range(5):
        found.add(point(t / 10, Box(100, 100, 140, 220)), IMAGE, [])
    request = found.add(point(0.6, Box(100, 100, 140, 160)), IMAGE, [])
    found.receive(request, embedding(1))
    quality = found.tracklet().embedding.quality[0]
    assert quality[0] > 0.5
    assert quality[5] == pytest.approx(0, abs=1e-6)


def test_a_track_without_a_box_has_no_tracklet():
    with pytest.raises(ValueError, match="track 7 has no box yet"):
        builder().tracklet()
