"""Rates, optimizers and frozen blocks."""

from __future__ import annotations

import pytest
import torch

from reid.errors import ConfigError
from reid.network.backbones import build_backbone
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.training.stages import build_stages, freeze, rate_factor, set_rates
from tests.reid.people import MODEL, tiny


def test_schedules():
    step = tiny(schedule="step", step_epochs=20, epochs=70)
    factors = [rate_factor(step, e, 70) for e in (0, 19.9, 20, 45)]
    assert factors == pytest.approx([1, 1, 0.1, 0.01])
    cosine = tiny(schedule="cosine", epochs=10, warmup_epochs=2)
    assert rate_factor(cosine, 0, 10) < 0.02
    assert rate_factor(cosine, 2, 10) == pytest.approx(1)
    assert rate_factor(cosine, 6, 10) == pytest.approx(0.5, abs=0.01)
    assert rate_factor(cosine, 10, 10) < 0.01
    assert rate_factor(cosine, 3, 4) == pytest.approx(0.5, abs=0.01), "a stage's own length counts"


def test_stages_have_their_own_rates():
    config = tiny(ide_epochs=3, lr=0.1, ide_lr=0.2, head_lr_scale=5.0, optimizer="adam")
    stages, frozen = build_stages(config, QPM(ModelConfig(**MODEL)), identities=4, device="cpu")
    ide, qpm = stages
    assert (ide.name, ide.epochs, qpm.name, qpm.epochs) == ("ide", 3, "qpm", 2)
    assert not len(frozen)
    assert set_rates(ide, config, 0.0) == pytest.approx(0.2)
    assert [g["lr"] for g in ide.optimizer.param_groups] == pytest.approx([0.2, 1.0])
    assert set_rates(qpm, config, 0.0) == pytest.approx(0.1)
    assert [g["lr"] for g in qpm.optimizer.param_groups] == pytest.approx([0.1, 0.5])
    draws = [set(range(s.draws, s.draws + s.epochs)) for s in stages]
    assert not draws[0] & draws[1], "no two epochs draw the same"


def test_an_optimizer_holds_each_parameter_once():
    model = QPM(ModelConfig(**MODEL))
    (qpm,), _ = build_stages(tiny(frozen_blocks=3), model, identities=4, device="cpu")
    held = [id(p) for group in qpm.optimizer.param_groups for p in group["params"]]
    expected = {id(p) for p in qpm.objective.parameters() if p.requires_grad}
    assert len(held) == len(set(held))
    assert set(held) == expected


@pytest.mark.parametrize(
    ("name", "blocks", "last", "next_one"),
    [
        ("mobilenetv2", 2, "features.1.", "features.2."),
        ("resnet50", 5, "layer1.", "layer2."),
        ("resnet50v2", 5, "stages.0.", "stages.1."),
    ],
)
def test_freezing_goes_by_blocks_of_the_trunk(name, blocks, last, next_one):
    with torch.device("meta"):
        backbone, _ = build_backbone(name)
    freeze(backbone, blocks)
    for key, parameter in backbone.named_parameters():
        if key.startswith(last):
            assert not parameter.requires_grad, key
        if key.startswith(next_one):
            assert parameter.requires_grad, key
    with pytest.raises(ConfigError, match="frozen_blocks is 64, but the trunk has"):
        freeze(backbone, 64)
