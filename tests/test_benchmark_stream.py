"""Market-1501's tracklets in time: grouping, the clock, the scores, and the stream itself."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from benchmarks.link_errors import (
    DIRECT,
    DRAWN,
    LOOKS,
    SAME,
    THIN,
    WAITING,
    abstentions,
    missed_links,
    wrong_links,
)
from benchmarks.link_scores import identity_f1, pairwise_scores
from benchmarks.market_clock import find_clock, peaks
from benchmarks.market_features import cached, mean_quality
from benchmarks.market_stream import ARMS, People, matcher_method
from benchmarks.track_stream import (
    Matched,
    Stream,
    build_stream,
    pooled,
    run_greedy,
    run_matcher,
    vectors,
)
from reid.datasets import Sample
from reid.errors import DataError
from reid.evaluation.market_tracks import Track, group_tracks, spread
from reid.records import PartEmbeddings
from trackers.records import LinkDecision
from trackers.settings import MatchingSettings

SETTINGS = MatchingSettings(threshold=0.5, possible=0.5, gamma=0.6)


def sample(name: str) -> Sample:
    return Sample(Path(name), int(name[:4]), int(name[6]))


def test_grouping_by_person_camera_sequence_and_pause() -> None:
    names = [
        "0002_c1s1_000501_00.jpg",  # 20 s after the one below: still the same track
        "0002_c1s1_000001_00.jpg",
        "0002_c1s1_000001_01.jpg",  # second box of the same frame
        "0002_c1s1_001026_00.jpg",  # 21 s later: a new track
        "0002_c1s2_000001_00.jpg",  # another file of the camera
        "0002_c2s1_000001_00.jpg.jpg",  # another camera; queries are named so
        "0001_c1s1_000001_00.jpg",
    ]
    tracks = group_tracks([sample(n) for n in names], pause=20.0)
    found = [(t.identity, t.camera, t.sequence, len(t.paths), t.times[0]) for t in tracks]
    assert found == [
        (1, 1, 1, 1, 0.04),
        (2, 1, 1, 3, 0.04),
        (2, 1, 1, 1, 41.04),
        (2, 1, 2, 1, 0.04),
        (2, 2, 1, 1, 0.04),
    ]
    assert tracks[1].times == (0.04, 0.04, 20.04)
    assert [len(t.paths) for t in group_tracks([sample(n) for n in names])] == [1, 4, 1, 1]


def test_each_distractor_is_a_track_of_its_own() -> None:
    names = ["0000_c1s1_000001_00.jpg", "0000_c1s1_000001_01.jpg", "0000_c1s1_000026_00.jpg"]
    assert len(group_tracks([sample(n) for n in names], pause=20.0)) == 3


def test_names_of_another_set_make_one_track_per_camera() -> None:
    paths = [Sample(Path(f"{n}.jpg"), 7, 2) for n in "bca"]
    (track,) = group_tracks(paths)
    assert [p.stem for p in track.paths] == ["a", "b", "c"]
    assert (track.sequence, track.times) == (0, (0.0, 0.0, 0.0))


def test_spread() -> None:
    assert spread([1, 2], 3) == [1, 2]
    assert spread(range(11), 3) == [0, 5, 10]


def test_clock_from_people_who_walk_by() -> None:
    """Two cameras, two files each; a walk takes 30 s; some people turn up at other times."""
    begin = {(1, 1): 0.0, (1, 2): 3000.0, (2, 1): 0.0, (2, 2): 4000.0}
    rng = np.random.default_rng(0)
    tracks = []
    for person in range(400):
        moment = float(rng.uniform(0, 7000))
        walk = 30.0 if person % 4 else float(rng.uniform(-2000, 2000))
        for camera, at in ((1, moment), (2, moment + walk)):
            sequence = 2 if at >= begin[camera, 2] else 1
            time = at - begin[camera, sequence]
            tracks.append(Track(person + 1, camera, sequence, (time,), (Path(),)))
    found = find_clock(peaks(tracks))
    assert found.keys() == begin.keys()
    assert [found[f] for f in sorted(begin)] == pytest.approx([0, 3000, 0, 4000], abs=1)


def test_files_that_nothing_ties_together_have_no_clock() -> None:
    """Second files that share people only with each other could lie anywhere."""
    files = [((1, 1), (2, 1), 30.0, 50), ((1, 2), (2, 2), 30.0, 50)]
    with pytest.raises(DataError, match="too few people"):
        find_clock(files)


def naive_pairs(truth, found, camera) -> tuple[int, int, int]:
    right = linked = true = 0
    for i, j in combinations(range(len(truth)), 2):
        if camera is not None and camera[i] == camera[j]:
            continue
        if truth[i] == 0 and truth[j] == 0:
            continue
        same = truth[i] == truth[j]
        together = found[i] == found[j]
        right += same and together
        linked += together
        true += same
    return right, linked, true


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_pairwise_against_a_double_loop(seed: int, across: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, found, camera = rng.integers(0, 6, 40), rng.integers(0, 8, 40), rng.integers(1, 4, 40)
    chosen = camera if across else None
    scores = pairwise_scores(truth, found, chosen)
    right, linked, true = naive_pairs(truth, found, chosen)
    precision, recall = right / linked, right / true
    assert (scores.linked, scores.true) == (linked, true)
    assert (scores.precision, scores.recall) == pytest.approx((precision, recall))
    assert scores.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_pairwise_without_any_pair() -> None:
    scores = pairwise_scores(np.array([1, 2, 0]), np.array([1, 2, 3]))
    assert (scores.precision, scores.recall, scores.f1) == (0, 0, 0)


@pytest.mark.parametrize(
    ("truth", "found", "images", "expected"),
    [
        # other names, all right
        ([1, 1, 2], [7, 7, 9], [3, 1, 2], 1.0),
        # one person under two identities: 3 of 4 images count, 6 of 8 with both halves
        ([1, 1], [7, 8], [3, 1], 0.75),
        # two people switch identities halfway: 4 of 8 images
        ([1, 1, 2, 2], [7, 8, 8, 7], [2, 2, 2, 2], 0.5),
        # two people under one identity: only the longer one can have it
        ([1, 2], [7, 7], [3, 1], 0.75),
        # a distractor is a false positive: 4 right, 1 too many
        ([1, 0], [7, 8], [4, 1], 2 * 4 / (2 * 4 + 1)),
    ],
)
def test_idf1_by_hand(truth, found, images, expected) -> None:
    pytest.importorskip("trackeval", reason="trackeval is in the extra 'bench'")
    arrays = (np.array(a) for a in (truth, found, images))
    assert identity_f1(*arrays)["IDF1"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_idf1_against_a_bipartite_assignment(seed: int) -> None:
    pytest.importorskip("trackeval", reason="trackeval is in the extra 'bench'")
    rng = np.random.default_rng(seed)
    truth, found, images = rng.integers(1, 6, 30), rng.integers(0, 9, 30), rng.integers(1, 7, 30)
    table = np.zeros((6, 9))
    np.add.at(table, (truth, found), images)
    best = table[linear_sum_assignment(-table)].sum()
    assert identity_f1(truth, found, images)["IDF1"] == pytest.approx(best / images.sum())


def walkers(people: int, cameras: int) -> Stream:
    """People one after another through the same cameras, three images at each."""
    tracks = [
        Track(p + 1, c + 1, 1, tuple(40.0 * p + 10 * c + s for s in range(3)), (Path(),) * 3)
        for p in range(people)
        for c in range(cameras)
    ]
    return build_stream(tracks, {(c + 1, 1): 0.0 for c in range(cameras)})


def embeddings(owner: np.ndarray, seed: int = 0, noise: float = 0.0) -> PartEmbeddings:
    """One vector per owner and part, plus noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(2, int(owner.max()) + 1, 6, 32))
    parts, overall = (
        (b[owner] + noise * rng.normal(size=(len(owner), 6, 32))).astype(np.float32) for b in base
    )
    quality = rng.uniform(0.2, 1, (len(owner), 6)).astype(np.float32)
    return PartEmbeddings(parts, overall, quality, "made-up")


def test_perfect_features_give_perfect_identities() -> None:
    stream = walkers(8, 3)
    crops = embeddings(np.repeat(stream.identity, 3))
    matched = run_matcher(stream, crops, SETTINGS)
    assert pairwise_scores(stream.identity, matched.identity).f1 == 1
    flat = vectors(stream, crops)
    greedy = run_greedy(stream, 1 - flat @ flat.T, 0.5)
    assert pairwise_scores(stream.identity, greedy).f1 == 1


def test_random_features_give_nothing() -> None:
    stream = walkers(8, 3)
    crops = embeddings(np.arange(3 * len(stream.identity)))
    strict = SETTINGS.model_copy(update={"threshold": 0.2, "possible": 0.2})
    matched = run_matcher(stream, crops, strict)
    assert pairwise_scores(stream.identity, matched.identity).f1 < 0.1
    flat = vectors(stream, crops)
    greedy = run_greedy(stream, 1 - flat @ flat.T, 2.1)  # no threshold at all: all are linked
    scores = pairwise_scores(stream.identity, greedy)
    assert scores.recall == 1
    assert scores.precision < 0.1


def test_a_long_track_is_matched_before_it_ends() -> None:
    """A camera that sees somebody for a minute: the first look links, the end changes nothing."""
    long = Track(1, 1, 1, tuple(float(s) for s in range(60)), (Path(),) * 60)
    short = Track(1, 2, 1, (12.0, 13.0, 14.0), (Path(),) * 3)
    stream = build_stream([long, short], {(1, 1): 0.0, (2, 1): 0.0})
    crops = embeddings(np.repeat(stream.identity, [60, 3]), noise=0.1)
    matched = run_matcher(stream, crops, SETTINGS)
    assert matched.identity[0] == matched.identity[1]
    assert [d.action for d in matched.decisions] == ["create", "link"]


def test_early_decisions_see_no_later_image() -> None:
    """Images after the decision must not matter: the short track is decided at 20 s."""
    long = Track(1, 1, 1, tuple(float(s) for s in range(60)), (Path(),) * 60)
    short = Track(1, 2, 1, (12.0, 13.0, 14.0), (Path(),) * 3)
    stream = build_stream([long, short], {(1, 1): 0.0, (2, 1): 0.0})
    owner = np.concatenate([np.repeat([1, 2], [30, 30]), np.repeat(1, 3)])
    matched = run_matcher(stream, embeddings(owner, noise=0.1), SETTINGS)
    assert matched.decisions[1].action == "link"


def test_one_camera_at_one_moment_holds_two_people() -> None:
    twins = [Track(p, 1, 1, (1.0, 2.0), (Path(),) * 2) for p in (1, 2)]
    stream = build_stream(twins, {(1, 1): 0.0})
    zero = np.zeros((2, 2))
    assert len(set(run_greedy(stream, zero, 0.5))) == 1
    assert len(set(run_greedy(stream, zero, 0.5, exclusive=True))) == 2


def test_a_priced_threshold_counts_the_seconds_between() -> None:
    stream = walkers(2, 2)
    people = People(stream, {"qpm": embeddings(np.repeat(stream.identity, 3))})
    plain, priced = (matcher_method(ARMS[n], 0.6).distance(people) for n in ("default", "priced"))
    seconds = [[0, 8, 38, 48], [8, 0, 28, 38], [38, 28, 0, 8], [48, 38, 8, 0]]
    expected = MatchingSettings().recency * np.log1p(seconds)
    assert priced - plain == pytest.approx(expected, abs=1e-6)


def test_plain_means_are_plain() -> None:
    stream = walkers(2, 1)
    crops = embeddings(np.arange(6))
    found = pooled(stream, mean_quality(crops, stream.rows))
    for i, rows in enumerate(stream.rows):
        assert found.parts[i] == pytest.approx(crops.parts[rows].mean(0), abs=1e-5)
        assert found.quality[i] == pytest.approx(crops.quality[rows].mean(0), abs=1e-5)


def decision(track: int, identity: int, **changes) -> LinkDecision:
    known = {"action": "create", "candidate": None, "reason": "looks like nobody known"} | changes
    return LinkDecision(track, identity, time=0.0, distance=None, runner_up=None, support=None,
                        threshold=None, matcher="hand", **known)  # fmt: skip


def test_errors_name_their_rule() -> None:
    """Four tracklets of person 1 and one of person 2, linked by hand."""
    tracks = [
        Track(1, 1, 1, (0.0,), (Path(),)),
        Track(1, 1, 1, (50.0,), (Path(),)),  # same camera as the first
        Track(1, 2, 1, (900.0,), (Path(),)),  # alike, but long after
        Track(1, 3, 1, (5.0,), (Path(),)),  # looks different from all
        Track(2, 3, 1, (2.0,), (Path(),)),  # another person, taken for the first tracklet
    ]
    stream = build_stream(tracks, {(c, 1): 0.0 for c in (1, 2, 3)})
    distance = np.full((5, 5), 0.4)
    distance[3] = distance[:, 3] = 0.9
    distance[0, 4] = distance[4, 0] = 0.1
    doubt = {"action": "abstain", "reason": "alike, but not enough to link: distance 0.400"}
    decisions = [
        decision(1, 1),
        decision(2, 2, candidate=1, **doubt),
        decision(3, 3, candidate=4, **doubt),
        decision(4, 4),
        decision(5, 1, action="link"),
    ]
    matched = Matched(np.array([d.identity for d in decisions]), decisions)
    settings = SETTINGS.model_copy(update={"recency": 0.05, "recency_limit": 0.15})
    missed = missed_links(stream, matched, distance, np.ones((5, 5)), settings)
    assert missed == {SAME: 1, WAITING: 2, LOOKS: 3}
    thin = missed_links(stream, matched, np.full((5, 5), 0.1), np.zeros((5, 5)), settings)
    assert thin == {SAME: 1, THIN: 5}
    assert wrong_links(stream, matched, distance, settings) == {DIRECT: 1}
    assert wrong_links(stream, matched, distance + 0.5, settings) == {DRAWN: 1}
    reason = "alike, but not enough to link"
    # Candidate 1 holds one tracklet of each person: the first stands for it.
    assert abstentions(stream, matched) == {(reason, True): 2}


def test_the_cache_embeds_each_image_once(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def embed(paths) -> PartEmbeddings:
        asked.append([p.name for p in paths])
        values = np.array([float(p.stem) for p in paths], np.float32).reshape(-1, 1, 1)
        return PartEmbeddings(values, values, values[..., 0], "made-up")

    paths = [Path(f"test/{n}.jpg") for n in (3, 1, 2)]
    cached(tmp_path, "m", paths[:2], embed)
    found = cached(tmp_path, "m", paths[::-1], embed)
    assert asked == [["3.jpg", "1.jpg"], ["2.jpg"]]
    assert found.quality[:, 0].tolist() == [2, 1, 3]
    assert found.fingerprint == "made-up"
    cached(tmp_path, "m", paths, embed)
    assert len(asked) == 2
