from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from reid.embedding import Deployed
from reid.errors import ConfigError
from reid.network.config import ModelConfig
from reid.network.qpm import QPM, Classifiers
from reid.training.arms import ARMS, TABLE_IX_K, TABLE_X_D, TABLE_XI_GAMMA, arm
from reid.training.config import TrainConfig
from reid.training.objective import loss_terms
from tests.reid import naive

FULL = TrainConfig(
    model=ModelConfig(backbone="mobilenetv2", height=96, width=32, num_parts=3, dim=16), seed=7
)
PARTS = {"part_id", "part_tp"}
PAIRS = PARTS | {"pair_id", "global_tp"}
LABELS = [0, 0, 1, 1]
# What each row of Tables V to VII sums, and how it is ranked.
ROWS = {
    "baseline": ({"part_id"}, 1.0),
    "baseline_triplet": (PARTS, 1.0),
    "part_branch": (PARTS, 1.0),
    "gap_global": (PAIRS, 0.0),
    "gap_global_isa": (PAIRS | {"global_id"}, 0.0),
    "si_global": (PAIRS, 0.0),
    "agfe_global": (PAIRS, 0.0),
    "agfe_global_fc": (PAIRS, 0.0),
    "agfe_global_rga": (PAIRS, 0.0),
    "agfe_global_ra": (PAIRS, 0.0),
    "agfe_global_cbam": (PAIRS, 0.0),
    "agfe_global_isa": (PAIRS | {"global_id"}, 0.0),
    "qpm": (PAIRS | {"global_id"}, 0.6),
}


def test_every_row_is_checked_here():
    assert set(ARMS) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_an_arm_sums_its_losses_and_teaches_all_it_has(name):
    """A parameter without a gradient is one the arm should not have (torchrun stops on it)."""
    terms, gamma = ROWS[name]
    config, ranking = arm(FULL, name)
    assert ranking.gamma == config.model.gamma == gamma
    assert ranking.ranking == ("exhaustive" if gamma == 0 else "two_stage")
    assert config.seed == FULL.seed
    torch.manual_seed(1)
    model, heads = QPM(config.model), Classifiers(config.model, 2)
    images = torch.randn(4, 3, 96, 32)
    got = loss_terms(model, heads, images, torch.tensor(LABELS), config)
    assert set(got) == terms
    torch.stack(list(got.values())).sum().backward()
    idle = [
        n
        for module in (model, heads)
        for n, p in module.named_parameters()
        if p.grad is None and not n.startswith("backbone")
    ]
    assert idle == []
    parts, overall, quality = Deployed(model)(torch.zeros(2, 96, 32, 3, dtype=torch.uint8))
    assert parts.shape == overall.shape == (2, 3, 16)
    assert quality.shape == (2, 3)


def test_the_sum_is_equation_14():
    """All five terms of one batch, recomputed by loops from the features alone."""
    torch.manual_seed(5)
    model, heads = QPM(FULL.model).eval(), Classifiers(FULL.model, 2)
    images, labels = torch.randn(4, 3, 96, 32), torch.tensor(LABELS)
    with torch.no_grad():
        got = loss_terms(model, heads, images, labels, FULL)
        features = model(images)
    f, g, q = (
        t.double().numpy() for t in (features.parts, features.global_parts, features.quality)
    )
    h = features.reduced.double().numpy()
    part, reduced, pair = (
        w.detach().double().numpy()
        for w in (heads.part, heads.reduced.weight.T, heads.pair.weight.T)
    )
    n, k = q.shape
    eq1 = (
        sum(naive.cross_entropy(f[i, j] @ part[j], LABELS[i]) for i in range(n) for j in range(k))
        / n
    )
    eq6 = sum(naive.cross_entropy(h[i] @ reduced, LABELS[i]) for i in range(n)) / n
    table = [[naive.part_distance(f[i], q[i], f[j], q[j]) for j in range(n)] for i in range(n)]
    eq3 = naive.triplet(table, LABELS, FULL.margin)
    table = [[naive.global_distance(g[i], q[i], g[j], q[j]) for j in range(n)] for i in range(n)]
    eq13 = naive.triplet(table, LABELS, FULL.margin)
    eq12 = naive.pair_identity(g, g, q, pair, LABELS)
    expected = [eq1, eq3, eq6, eq12, eq13]
    assert list(got) == ["part_id", "part_tp", "global_id", "pair_id", "global_tp"]
    np.testing.assert_allclose([float(v) for v in got.values()], expected, rtol=1e-4, atol=1e-5)
    assert float(sum(got.values())) == pytest.approx(sum(expected), rel=1e-4)


def test_unknown_arms_are_named():
    with pytest.raises(ConfigError, match=r"arm 'qqpm' is not known: baseline, .*, qpm"):
        arm(FULL, "qqpm")


def test_qualities_that_nothing_teaches_are_refused():
    model = {"global_feature": "none", "gamma": 1}
    with pytest.raises(ValidationError, match="no loss reaches the qualities"):
        TrainConfig.model_validate({"part_triplet": False, "model": model})


def test_tables_ix_to_xi_are_configurations():
    for k in TABLE_IX_K:
        ModelConfig(num_parts=k)
    for d in TABLE_X_D:
        ModelConfig(dim=d)
    for gamma in TABLE_XI_GAMMA:
        ModelConfig(gamma=gamma)
