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
    # The absolute value of q carries nothing.
    assert torch.allclose(distances.part_distance(f, q * scale, f, q), part, atol=1e-9)
    assert torch.allclose(distances.global_distance(g, q * scale, g, q), whole, atol=1e-9)
    # The order of the parts carries nothing.
    again = distances.part_distance(f[:, order], q[:, order], f[:, order], q[:, order])
    assert torch.allclose(again, part, atol=1e-9)


def test_a_part_without_quality_changes_nothing():
    fp, gp, qp = random_pair(9)
    fg, gg, qg = random_pair(10)
    qp[:, 2] = 0
    before = distances.rescore(*tensors(fp, gp, qp, fg, gg, qg), 0.6)
    fg[:, 2], gg[:, 2] = 100.0, -7.0
    after = distances.rescore(*tensors(fp, gp, qp, fg, gg, qg), 0.6)
    assert torch.allclose(before, after, atol=1e-12)


def test_nothing_shared_is_neutral_and_has_no_support():
    f, g, _ = tensors(*random_pair(11, n=1))
    upper = torch.tensor([[1.0, 1, 1, 0, 0, 0]], dtype=torch.float64)
    lower = 1 - upper
    assert float(distances.support(upper, lower)) == 0
    assert float(distances.part_distance(f, upper, f, lower)) == 1
    assert float(distances.global_distance(g, upper, g, lower)) == 1


def test_normalised_quality_is_equation_5():
    q = torch.tensor([[0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    got = distances.normalised_quality(q)
    assert torch.allclose(got[0], torch.tensor([0.2, 0.6, 0.2]))
    assert torch.equal(got[1], torch.zeros(3))
