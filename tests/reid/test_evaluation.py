from __future__ import annotations

import numpy as np
import pytest

from reid.evaluation import accuracy, two_stage_order
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
    with pytest.raises(ValueError, match="no query"):
        one = np.array([1])
        accuracy(np.array([[0]]), one, np.array([2]), one, one)
