from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.datasets import Sample
from reid.errors import DataError, FingerprintMismatch
from reid.evaluation.scores import accuracy, distance_accuracy, evaluate, two_stage_order
from reid.records import PartEmbeddings
from tests.reid import naive


def embeddings(seed: int, n: int) -> PartEmbeddings:
    rng = np.random.default_rng(seed)
    return PartEmbeddings(
        rng.normal(size=(n, 3, 4)).astype(np.float32),
        rng.normal(size=(n, 3, 4)).astype(np.float32),
        rng.uniform(0.1, 1, (n, 3)).astype(np.float32),
        "m",
    )


def test_two_stages_reorder_the_first_n_as_a_block():
    p, g = embeddings(1, 4), embeddings(2, 20)
    got = two_stage_order(p, g, gamma=0.6, top_n=5)
    for i in range(4):
        part = [
            naive.part_distance(p.parts[i], p.quality[i], g.parts[j], g.quality[j])
            for j in range(20)
        ]
        first = sorted(range(20), key=lambda j: part[j])
        final = [
            0.6 * part[j]
            + 0.4
            * naive.global_distance(
                p.global_parts[i], p.quality[i], g.global_parts[j], g.quality[j]
            )
            for j in range(20)
        ]
        assert list(got[i]) == sorted(first[:5], key=lambda j: final[j]) + first[5:]


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(30) for _ in range(8)])
    gallery_ids, gallery_cameras = rng.integers(0, 5, 30), rng.integers(0, 3, 30)
    probe_ids, probe_cameras = rng.integers(0, 6, 8), rng.integers(0, 3, 8)
    got = accuracy(order, probe_ids, gallery_ids, probe_cameras, gallery_cameras, ranks=5)
    first_hits, precisions = [], []
    for q in range(8):
        kept = [
            g
            for g in order[q]
            if not (gallery_ids[g] == probe_ids[q] and gallery_cameras[g] == probe_cameras[q])
        ]
        truth = [gallery_ids[g] == probe_ids[q] for g in kept]
        if not any(truth):
            continue
        first_hits.append(truth.index(True))
        seen, total = 0, 0.0
        for position, hit in enumerate(truth, start=1):
            if hit:
                seen += 1
                total += seen / position
        precisions.append(total / seen)
    assert got.queries == len(first_hits)
    assert got.mean_ap == pytest.approx(np.mean(precisions))
    expected = [np.mean([h <= r for h in first_hits]) for r in range(5)]
    np.testing.assert_allclose(got.cmc, expected)


def test_no_query_with_a_match_is_an_error():
    with pytest.raises(DataError, match="no query"):
        one = np.array([1])
        accuracy(np.array([[0]]), one, np.array([2]), one, one)


def samples(rng, n: int, people: int, cameras: int = 3) -> list[Sample]:
    return [
        Sample(Path(f"{i}.jpg"), int(rng.integers(people)), int(rng.integers(cameras)))
        for i in range(n)
    ]


def brute_force(ranked, query: Sample, gallery: list[Sample], ranks: int):
    """CMC, AP and INP of one query by walking down its ranking; None without a true match."""
    hits = []
    for row in ranked:
        g = gallery[row]
        if g.identity == query.identity and g.camera == query.camera:
            continue
        hits.append(g.identity == query.identity)
    if True not in hits:
        return None
    seen, total, last = 0, 0.0, 0
    for place, hit in enumerate(hits, start=1):
        if hit:
            seen, last = seen + 1, place
            total += seen / place
    return [float(True in hits[: r + 1]) for r in range(ranks)], total / seen, seen / last


def check(found, expected) -> None:
    counted = [e for e in expected if e is not None]
    assert found.queries == len(counted)
    np.testing.assert_allclose(found.cmc, np.mean([e[0] for e in counted], axis=0), atol=1e-12)
    assert found.mean_ap == pytest.approx(np.mean([e[1] for e in counted]), abs=1e-12)
    assert found.mean_inp == pytest.approx(np.mean([e[2] for e in counted]), abs=1e-12)


@given(
    seed=st.integers(0, 10_000),
    values=st.sampled_from([2, 5, 1000]),  # few values: most of a row is tied
    gallery=st.integers(4, 40),
    ranks=st.integers(1, 50),
)
@settings(max_examples=150, deadline=None)
def test_places_without_sorting_equal_a_stable_sort(seed, values, gallery, ranks):
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, values, (6, gallery)).astype(np.float32) / 7
    q, g = samples(rng, 6, 4), samples(rng, gallery, 4)
    expected = [
        brute_force(row.argsort(kind="stable"), s, g, ranks)
        for row, s in zip(distance, q, strict=True)
    ]
    labels = [np.array([getattr(s, f) for s in x]) for f in ("identity", "camera") for x in (q, g)]
    if not any(expected):
        with pytest.raises(DataError, match="no query"):
            distance_accuracy(distance, *labels, ranks=ranks)
        return
    check(distance_accuracy(distance, *labels, ranks=ranks), expected)


@pytest.mark.parametrize("ranking", ["two_stage", "exhaustive"])
@pytest.mark.parametrize("top_n", [0, 1, 7, 200])
@pytest.mark.parametrize("seed", range(3))
def test_evaluation_equals_brute_force(seed, top_n, ranking, monkeypatch):
    monkeypatch.setattr("reid.evaluation.ranking.GALLERY_BLOCK", 13)
    monkeypatch.setattr("reid.evaluation.ranking.PAIRS", 20)
    rng = np.random.default_rng(seed)
    p, g = embeddings(seed, 9), embeddings(seed + 50, 40)
    q, s = samples(rng, 9, 5), samples(rng, 40, 5)
    expected = []
    for i in range(9):
        part, both = np.empty(40), np.empty(40)
        for j in range(40):
            pair = (p.quality[i], g.quality[j])
            part[j] = naive.part_distance(p.parts[i], pair[0], g.parts[j], pair[1])
            other = naive.global_distance(p.global_parts[i], pair[0], g.global_parts[j], pair[1])
            both[j] = 0.6 * part[j] + 0.4 * other
        order = np.argsort(both if ranking == "exhaustive" else part, kind="stable")
        if ranking == "two_stage":
            head = sorted(order[:top_n], key=lambda j: both[j])
            order = [*head, *order[top_n:]]
        expected.append(brute_force(order, q[i], s, 10))
    check(evaluate(p, g, q, s, gamma=0.6, top_n=top_n, ranking=ranking), expected)


def test_the_first_n_are_taken_before_the_same_camera_is_left_out():
    # Three images of the probe's own camera fill the first n = 3; the match behind them is not
    # re-scored, although Eq. 15 would bring it to the front.
    near, far = np.eye(3, 4, dtype=np.float32), np.flip(np.eye(3, 4, dtype=np.float32), 1)
    parts = np.stack([near, near, near, near + 0.2, near + 0.3])
    overall = np.stack([near, near, near, far, near])
    gallery = PartEmbeddings(parts, overall, np.ones((5, 3), np.float32), "m")
    probe = PartEmbeddings(near[None], near[None], np.ones((1, 3), np.float32), "m")
    labels = [(1, 0), (1, 0), (1, 0), (2, 1), (1, 1)]
    s = [Sample(Path(str(i)), *label) for i, label in enumerate(labels)]
    one = [Sample(Path("q"), 1, 0)]
    short = evaluate(probe, gallery, one, s, gamma=0.1, top_n=3)
    assert short.cmc[0] == 0, "the stranger at place 4 stays ahead of the match at place 5"
    assert evaluate(probe, gallery, one, s, gamma=0.1, top_n=5).cmc[0] == 1


def test_small_blocks_change_nothing(monkeypatch):
    p, g = embeddings(3, 11), embeddings(4, 30)
    whole = two_stage_order(p, g, 0.6, 8)
    monkeypatch.setattr("reid.evaluation.ranking.PAIRS", 9)
    np.testing.assert_array_equal(two_stage_order(p, g, 0.6, 8, block=3), whole)


def test_wrong_input_is_named():
    p, g = embeddings(1, 2), embeddings(2, 5)
    rng = np.random.default_rng(0)
    q, s = samples(rng, 2, 2), samples(rng, 5, 2)
    with pytest.raises(ValueError, match="2 embeddings, but 1 samples"):
        evaluate(p, g, q[:1], s, gamma=0.6, top_n=3)
    other = PartEmbeddings(g.parts, g.global_parts, g.quality, "another")
    with pytest.raises(FingerprintMismatch, match="another"):
        evaluate(p, other, q, s, gamma=0.6, top_n=3)
    broken = PartEmbeddings(p.parts * np.nan, p.global_parts, p.quality, "m")
    with pytest.raises(ValueError, match="probes 0 to 1 is NaN"):
        evaluate(broken, g, q, s, gamma=0.6, top_n=3)


@pytest.mark.filterwarnings("ignore:Cython evaluation")
@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_torchreids(seed):
    peer = pytest.importorskip("torchreid.reid.metrics.rank", reason="torchreid is not installed")
    rng = np.random.default_rng(seed)
    distance = rng.random((30, 200))
    q, g = samples(rng, 30, 12), samples(rng, 200, 12)
    ids, gallery_ids, cameras, gallery_cameras = (
        np.array([getattr(s, f) for s in x]) for f in ("identity", "camera") for x in (q, g)
    )
    cmc, mean_ap = peer.evaluate_rank(
        distance, ids, gallery_ids, cameras, gallery_cameras, max_rank=10, use_cython=False
    )
    found = distance_accuracy(distance, ids, gallery_ids, cameras, gallery_cameras)
    np.testing.assert_allclose(found.cmc, cmc, atol=1e-6)
    assert found.mean_ap == pytest.approx(mean_ap, abs=1e-6)
