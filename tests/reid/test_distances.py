from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import distances
from tests.reid import naive


def random_pair(seed: int, n: int = 5, k: int = 6, d: int = 8):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, k, d)),
        rng.normal(size=(n, k, d)) + 0.5,
        rng.uniform(0.01, 1, (n, k)),
    )


def tensors(*arrays, dtype=torch.float64):
    return tuple(torch.tensor(a, dtype=dtype) for a in arrays)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_part_distance_is_equation_2(dtype, tolerance):
    fp, _, qp = random_pair(1, n=4)
    fg, _, qg = random_pair(2, n=7)
    got = distances.part_distance(*tensors(fp, qp, fg, qg, dtype=dtype))
    expected = [[naive.part_distance(a, b, c, d) for c, d in zip(fg, qg, strict=True)]
                for a, b in zip(fp, qp, strict=True)]  # fmt: skip
    np.testing.assert_allclose(got.numpy(), expected, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_global_distance_is_equations_9_to_11(dtype, tolerance):
    _, gp, qp = random_pair(3, n=4)
    _, gg, qg = random_pair(4, n=6)
    got = distances.global_distance(*tensors(gp, qp, gg, qg, dtype=dtype))
    expected = [[naive.global_distance(a, b, c, d) for c, d in zip(gg, qg, strict=True)]
                for a, b in zip(gp, qp, strict=True)]  # fmt: skip
    np.testing.assert_allclose(got.numpy(), expected, atol=tolerance)


def test_global_features_are_equations_9_and_10():
    _, gp, qp = random_pair(5)
    _, gg, qg = random_pair(6)
    got_p, got_g = distances.global_features(*tensors(gp, qp, gg, qg))
    for i in range(len(qp)):
        hp, hg = naive.global_pair(gp[i], qp[i], gg[i], qg[i])
        np.testing.assert_allclose(got_p[i], hp, atol=1e-12)
        np.testing.assert_allclose(got_g[i], hg, atol=1e-12)


def test_rescore_is_equation_15():
    fp, gp, qp = random_pair(7, n=2)
    fg, gg, qg = random_pair(8, n=3)
    got = distances.rescore(*tensors(fp, gp, qp, fg, gg, qg), 0.6)
    for i in range(2):
        for j in range(3):
            part = naive.part_distance(fp[i], qp[i], fg[j], qg[j])
            whole = naive.global_distance(gp[i], qp[i], gg[j], qg[j])
            assert float(got[i, j]) == pytest.approx(0.6 * part + 0.4 * whole, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1.0), st.permutations(range(6)))
def test_distances_hold_what_mathematics_promises(seed, scale, order):
    f, g, q = tensors(*random_pair(seed, n=4))
    part = distances.part_distance(f, q, f, q)
    whole = distances.global_distance(g, q, g, q)
    for table in (part, whole):
        assert torch.allclose(table.diagonal(), torch.zeros(4, dtype=table.dtype), atol=1e-9)
        assert torch.allclose(table, table.T, atol=1e-9)
        assert ((table > -1e-9) & (table < 2 + 1e-9)).all()
    # The absolute value of q carries nothing, however small.
    for less in (scale, scale * 1e-7):
        assert torch.allclose(distances.part_distance(f, q * less, f, q), part, atol=1e-9)
        assert torch.allclose(distances.global_distance(g, q * less, g, q), whole, atol=1e-9)
        assert torch.allclose(
            distances.pair_weights(q * less, q), distances.pair_weights(q, q), atol=1e-9
        )
    # The order of the parts carries nothing, as long as both sides have the same.
    mixed = f[:, order], q[:, order]
    assert torch.allclose(distances.part_distance(*mixed, *mixed), part, atol=1e-9)
    mixed = g[:, order], q[:, order]
    assert torch.allclose(distances.global_distance(*mixed, *mixed), whole, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 9), st.integers(1, 8))
def test_the_ways_to_the_global_distance_agree(seed, probes, gallery, parts):
    """One probe, many probes, blocks of the gallery, and a batch of queries with own galleries."""
    _, gp, qp = tensors(*random_pair(seed, n=probes, k=parts))
    _, gg, qg = tensors(*random_pair(seed + 1, n=gallery, k=parts))
    whole = distances.global_distance(gp, qp, gg, qg)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK_CPU", 1)
        assert torch.allclose(distances.global_distance(gp, qp, gg, qg), whole, atol=1e-12)
    for i in range(probes):
        alone = distances.global_distance(gp[i : i + 1], qp[i : i + 1], gg, qg)
        assert torch.allclose(alone[0], whole[i], atol=1e-12)
    own = gg.expand(probes, *gg.shape), qg.expand(probes, *qg.shape)
    batched = distances.global_distance(gp[:, None], qp[:, None], *own)
    assert torch.allclose(batched[:, 0], whole, atol=1e-12)
    each = distances.part_distance(gp[:, None], qp[:, None], *own)
    assert torch.allclose(each[:, 0], distances.part_distance(gp, qp, gg, qg), atol=1e-12)


@pytest.mark.parametrize("probes", [1, 3])
def test_gradients_of_the_distances(probes):
    _, gp, qp = random_pair(12, n=probes, k=3, d=4)
    _, gg, qg = random_pair(13, n=2, k=3, d=4)
    inputs = [t.requires_grad_() for t in tensors(gp, qp, gg, qg)]
    assert torch.autograd.gradcheck(distances.part_distance, inputs)
    assert torch.autograd.gradcheck(distances.global_distance, inputs)


def test_bfloat16_follows_float32():
    """bfloat16 keeps 8 bits: each operand of a cosine is off by 2^-9 relative at most, and the
    sums over K d = 48 products are rounded once to 2^-9; 0.03 leaves them room to add up."""
    inputs = tensors(*random_pair(14), dtype=torch.float32)
    f, g, q = inputs
    half_f, half_g, half_q = (t.bfloat16() for t in inputs)
    part = distances.part_distance(half_f, half_q, half_f, half_q)
    whole = distances.global_distance(half_g, half_q, half_g, half_q)
    assert part.dtype == whole.dtype == torch.bfloat16
    assert torch.allclose(part.float(), distances.part_distance(f, q, f, q), atol=0.03)
    assert torch.allclose(whole.float(), distances.global_distance(g, q, g, q), atol=0.03)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_all_or_nothing_of_equation_15(gamma):
    fp, gp, qp = tensors(*random_pair(15, n=2))
    fg, gg, qg = tensors(*random_pair(16, n=3))
    got = distances.rescore(fp, gp, qp, fg, gg, qg, gamma)
    part = distances.part_distance(fp, qp, fg, qg)
    whole = distances.global_distance(gp, qp, gg, qg)
    assert torch.allclose(got, distances.combined_distance(part, whole, gamma))


def test_part_distances_and_weights_are_equations_2_and_11():
    fp, _, qp = random_pair(17, n=3)
    fg, _, qg = random_pair(18, n=2)
    each = distances.part_distances(*tensors(fp, fg))
    weights = distances.pair_weights(*tensors(qp, qg))
    for i in range(3):
        for j in range(2):
            total = sum(qp[i][m] * qg[j][m] for m in range(6))
            for k in range(6):
                d_k = naive.cosine_distance(fp[i][k], fg[j][k])
                assert float(each[i, j, k]) == pytest.approx(d_k, abs=1e-12)
                assert float(weights[i, j, k]) == pytest.approx(qp[i][k] * qg[j][k] / total)


def test_a_part_without_quality_changes_nothing():
    fp, gp, qp = random_pair(9)
    fg, gg, qg = random_pair(10)
    qp[:, 2] = 0
    before = distances.rescore(*tensors(fp, gp, qp, fg, gg, qg), 0.6)
    fg[:, 2], gg[:, 2] = 100.0, -7.0
    after = distances.rescore(*tensors(fp, gp, qp, fg, gg, qg), 0.6)
    assert torch.allclose(before, after, atol=1e-12)


@pytest.mark.parametrize("probes", [1, 2])
def test_nothing_shared_is_neutral_and_has_no_support(probes):
    f, g, _ = tensors(*random_pair(11, n=probes))
    upper = torch.tensor([[1.0, 1, 1, 0, 0, 0]] * probes, dtype=torch.float64)
    for other in (1 - upper, torch.zeros_like(upper)):
        assert (distances.support(upper, other) == 0).all()
        assert (distances.part_distance(f, upper, f, other) == 1).all()
        assert (distances.global_distance(g, upper, g, other) == 1).all()


def test_normalised_quality_is_equation_5():
    q = torch.tensor([[0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    got = distances.normalised_quality(q)
    assert torch.allclose(got[0], torch.tensor([0.2, 0.6, 0.2]))
    assert torch.equal(got[1], torch.zeros(3))
