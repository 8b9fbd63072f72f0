from __future__ import annotations

import numpy as np
import pytest
import torch

from reid.training import losses
from tests.reid import naive

LABELS = [0, 0, 1, 1, 2, 2]


def batch(seed: int, k: int = 3, d: int = 5, classes: int = 4):
    rng = np.random.default_rng(seed)
    n = len(LABELS)
    return (
        rng.normal(size=(n, k, d)),
        rng.uniform(0.05, 1, (n, k)),
        rng.normal(size=(n, k, classes)),
        torch.tensor(LABELS),
    )


def test_part_identity_loss_is_equation_1():
    _, _, logits, labels = batch(1)
    got = losses.part_identity_loss(torch.tensor(logits), labels)
    total = sum(naive.cross_entropy(logits[i, k], LABELS[i]) for i in range(6) for k in range(3))
    assert float(got) == pytest.approx(total / 6, abs=1e-12)


def test_stripes_that_do_not_count_have_no_part_in_equation_1():
    rng = np.random.default_rng(8)
    logits, labels = rng.normal(size=(4, 3, 5)), torch.tensor([0, 4, 2, 2])
    counts = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1]], dtype=torch.bool)
    total = 0.0
    for n, k in counts.nonzero().tolist():
        row = logits[n, k]
        total += np.log(np.exp(row).sum()) - row[labels[n]]
    got = losses.part_identity_loss(torch.tensor(logits), labels, counts=counts)
    assert float(got) == pytest.approx(3 * total / int(counts.sum()))
    everyone = torch.ones_like(counts)
    assert torch.isclose(
        losses.part_identity_loss(torch.tensor(logits), labels, counts=everyone),
        losses.part_identity_loss(torch.tensor(logits), labels),
    )
    assert float(losses.part_identity_loss(torch.tensor(logits), labels, counts=~everyone)) == 0


def test_part_triplet_loss_is_equation_3():
    f, q, _, labels = batch(2)
    got = losses.part_triplet_loss(torch.tensor(f), torch.tensor(q), labels, 0.3)
    table = [[naive.part_distance(f[i], q[i], f[j], q[j]) for j in range(6)] for i in range(6)]
    assert float(got) == pytest.approx(naive.triplet(table, LABELS, 0.3), abs=1e-12)


def test_global_triplet_loss_is_equation_13():
    g, q, _, labels = batch(3)
    got = losses.global_triplet_loss(torch.tensor(g), torch.tensor(q), labels, 0.3)
    table = [[naive.global_distance(g[i], q[i], g[j], q[j]) for j in range(6)] for i in range(6)]
    assert float(got) == pytest.approx(naive.triplet(table, LABELS, 0.3), abs=1e-12)


def test_global_identity_loss_is_equation_6():
    _, _, logits, labels = batch(4)
    got = losses.global_identity_loss(torch.tensor(logits[:, 0]), labels)
    total = sum(naive.cross_entropy(logits[i, 0], LABELS[i]) for i in range(6))
    assert float(got) == pytest.approx(total / 6, abs=1e-12)


def test_pair_identity_loss_is_equation_12():
    g, q, _, labels = batch(5)
    weight = np.random.default_rng(6).normal(size=(5, 4))
    got = losses.pair_identity_loss(torch.tensor(g @ weight), torch.tensor(q), labels)
    assert float(got) == pytest.approx(naive.pair_identity(g, g, q, weight, LABELS), abs=1e-12)


def test_triplets_that_keep_the_margin_do_not_dilute_the_loss():
    # One anchor of four violates: the mean runs over violating triplets, not over anchors.
    distance = torch.tensor(
        [[0.0, 0.1, 1.0, 1.0], [0.1, 0.0, 0.2, 1.0], [1.0, 1.0, 0.0, 0.1], [1.0, 1.0, 0.1, 0.0]]
    )
    got = losses.hard_triplet_loss(distance, torch.tensor([0, 0, 1, 1]), 0.3)
    assert float(got) == pytest.approx(0.3 + 0.1 - 0.2, abs=1e-6)


def test_no_violation_gives_zero_and_not_nan():
    distance = torch.tensor([[0.0, 0.0, 2.0, 2.0]] * 2 + [[2.0, 2.0, 0.0, 0.0]] * 2)
    assert float(losses.hard_triplet_loss(distance, torch.tensor([0, 0, 1, 1]), 0.3)) == 0


def test_gradients_are_those_of_the_equations():
    """Finite differences in float64, through features and qualities alike."""
    f, q, logits, labels = batch(7)
    f, q, logits = (torch.tensor(a, requires_grad=True) for a in (f, q, logits))
    assert torch.autograd.gradcheck(
        lambda f, q: losses.part_triplet_loss(f, q, labels, 0.3), (f, q)
    )
    assert torch.autograd.gradcheck(
        lambda g, q: losses.global_triplet_loss(g, q, labels, 0.3), (f, q)
    )
    assert torch.autograd.gradcheck(
        lambda x, q: losses.pair_identity_loss(x, q, labels), (logits, q)
    )


def test_the_triplet_loss_teaches_quality():
    # Part 0 tells people apart, part 1 misleads: the gradient must lower the quality of part 1.
    f = torch.tensor(
        [[[1.0, 0], [1.0, 0]], [[1.0, 0], [0.0, 1]], [[0.0, 1], [1.0, 0]], [[0.0, 1], [0.0, 1]]]
    )
    q = torch.full((4, 2), 0.5, requires_grad=True)
    losses.part_triplet_loss(f, q, torch.tensor([0, 0, 1, 1]), 0.3).backward()
    assert q.grad is not None
    assert (q.grad[:, 1] > 0).all()
    assert (q.grad[:, 0] < 0).all()
