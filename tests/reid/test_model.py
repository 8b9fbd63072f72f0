from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError

from reid.distances import global_features
from reid.errors import ModelError
from reid.network.checkpoint import load_model, load_start, load_thresholds, save_model
from reid.network.config import ModelConfig
from reid.network.parts import FoldedPartBranch, PartBranch, region_average_pooling
from reid.network.qpm import QPM, Classifiers

SMALL = ModelConfig(backbone="mobilenetv2", height=96, width=32, num_parts=6, dim=16)


def test_region_average_pooling_is_the_mean_of_each_stripe():
    x = torch.randn(2, 3, 12, 5)
    got = region_average_pooling(x, 6)
    for k in range(6):
        expected = x[:, :, 2 * k : 2 * k + 2].mean((2, 3))
        assert torch.allclose(got[:, k], expected, atol=1e-6)


def test_part_convolutions_are_not_shared():
    branch = PartBranch(4, 3, 2, norm=False)
    pooled = torch.ones(1, 2, 4)
    parts, quality = branch.eval()(pooled)
    assert not torch.allclose(parts[0, 0], parts[0, 1])
    expected = pooled[0, 1] @ branch.feature_weight[1] + branch.feature_bias[1]
    assert torch.allclose(parts[0, 1], expected, atol=1e-6)
    assert quality.shape == (1, 2)


def test_quality_agrees_between_training_and_evaluation():
    """BN here normalises one scalar over the batch: its running values must follow the batch's."""
    torch.manual_seed(1)
    branch = PartBranch(32, 4, 6, norm=False)
    batches = [torch.randn(64, 6, 32) * 2 + 1 for _ in range(200)]
    for x in batches:
        trained = branch.train()(x)[1]
    evaluated = branch.eval()(batches[-1])[1]
    assert (trained - evaluated).abs().mean() < 0.05


def numbers(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("dim", "bare", "heads"), [(1024, 38_733_132, 5_211_648), (256, 27_225_228, 1_302_912)]
)
def test_parameter_count_of_resnet50(dim, bare, heads):
    """Table VIII's 29.0 M contradicts d = 1024; heads are those of Occluded-Duke's 702 people."""
    config = ModelConfig(backbone="resnet50", dim=dim)
    assert numbers(QPM(config)) == bare
    assert numbers(Classifiers(config, 702)) == heads


def test_training_and_evaluation_agree_when_statistics_agree():
    """The quality predictor's BN, and the part features' one, with the batch's own statistics."""
    torch.manual_seed(4)
    branch = PartBranch(16, 4, 6, norm=True).double()
    with torch.no_grad():
        branch.quality_norm.weight.uniform_(0.5, 2)
        branch.quality_norm.bias.normal_()
    pooled = torch.randn(32, 6, 16, dtype=torch.float64) * 3 + 1
    for norm in (branch.quality_norm, branch.feature_norm):
        norm.momentum = 1.0
    parts, quality = branch.train()(pooled)
    for norm in (branch.quality_norm, branch.feature_norm):
        norm.running_var *= 31 / 32  # running: unbiased; what training divided by: biased
    for evaluated in (branch.eval(), FoldedPartBranch(branch)):
        again = evaluated(pooled)
        assert torch.allclose(again[0], parts, atol=1e-9)
        assert torch.allclose(again[1], quality, atol=1e-9)


def tiny(**changes) -> QPM:
    torch.manual_seed(2)
    return QPM(SMALL.model_copy(update=changes)).eval()


def test_without_a_predictor_every_quality_is_one():
    model = tiny(quality=False)
    assert not [n for n, _ in model.named_parameters() if "quality" in n]
    with torch.inference_mode():
        assert torch.equal(model(torch.randn(2, 3, 96, 32)).quality, torch.ones(2, 6))


@pytest.mark.parametrize("feature", ["gap", "si"])
def test_one_vector_an_image_stays_itself_in_equations_9_to_11(feature):
    """Oracle: the mean over all pixels, or Eq. 4, computed here; then any pair's h."""
    model, base = tiny(global_feature=feature), tiny()
    x = torch.randn(2, 3, 96, 32)
    with torch.inference_mode():
        got, stripes = model(x), base(x)
    weights = torch.ones(2, 6) if feature == "gap" else stripes.quality
    for n in range(2):
        expected = sum(
            weights[n, k] / weights[n].sum() * stripes.global_parts[n, k] for k in range(6)
        )
        for k in range(6):
            assert torch.allclose(got.global_parts[n, k], expected, atol=1e-5)
    h = global_features(got.global_parts, got.quality, got.global_parts, torch.rand(2, 6))[0]
    assert torch.allclose(h, got.global_parts[:, 0], atol=1e-5)


def test_without_a_global_branch_the_parts_stand_in():
    model = tiny(global_feature="none", gamma=1.0)
    assert model.global_conv is None
    assert model.attention is None
    with torch.inference_mode():
        got = model(torch.randn(1, 3, 96, 32))
    assert torch.equal(got.global_parts, got.parts)
    assert got.attention is None
    with pytest.raises(ValidationError, match="gamma must be 1"):
        ModelConfig(global_feature="none")


def test_files_from_before_the_switches_are_the_full_model(tmp_path):
    """The first weights of ours: their header names none of the switches, their tensors all fit."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    save_model(QPM(SMALL), new, {"data": "none"}, half=False)
    with safe_open(new, framework="pt") as file:
        header = file.metadata()
    settings = json.loads(header["model"])
    for switch in ("quality", "global_feature", "attention", "global_norm"):
        del settings[switch]
    save_file(load_file(new), old, header | {"model": json.dumps(settings)})

    model, _ = load_model(old)
    config = model.config
    assert (config.quality, config.global_feature, config.attention) == (True, "agfe", "isa")
    assert not config.global_norm
    with torch.inference_mode():
        out = model(torch.zeros(1, 3, config.height, config.width))
    assert torch.isfinite(out.global_parts).all()


def test_height_that_stripes_do_not_divide_is_refused():
    with pytest.raises(ValidationError, match="multiple of 96"):
        ModelConfig(height=256)


def test_model_file_round_trip(tmp_path):
    torch.manual_seed(3)
    model = QPM(SMALL).eval()
    save_model(model, tmp_path / "m.safetensors", {"data": "none"}, half=False)
    again, fingerprint = load_model(tmp_path / "m.safetensors")
    x = torch.randn(2, 3, 96, 32)
    with torch.inference_mode():
        assert torch.equal(model(x).parts, again(x).parts)
    assert len(fingerprint) == 16


def test_weights_of_another_d_or_k_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    save_model(QPM(SMALL), tmp_path / "m.safetensors", {})
    other = SMALL.model_copy(update={"dim": 32})
    save_file(
        load_file(tmp_path / "m.safetensors"),
        tmp_path / "w.safetensors",
        metadata={"format": "crosscam-qpm-1", "model": other.model_dump_json()},
    )
    with pytest.raises(ModelError, match=r"w\.safetensors: weights do not fit K=6, d=32: .* is \("):
        load_model(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 64])
def test_damaged_model_files_are_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        load_model(path)


def test_calibration_of_other_weights_is_refused(tmp_path):
    (tmp_path / "m.json").write_text('{"threshold": 0.2, "possible": 0.3, "fingerprint": "abc"}')
    with pytest.raises(ModelError, match="calibrated for model abc"):
        load_thresholds(tmp_path / "m.safetensors", "def")
    assert load_thresholds(tmp_path / "m.safetensors", "abc") == (0.2, 0.3)
    assert load_thresholds(tmp_path / "none.safetensors", "abc") is None


def test_global_norm_normalises_g_in_training():
    config = ModelConfig(
        backbone="mobilenetv2", height=96, width=32, num_parts=3, dim=16, global_norm=True
    )
    model = QPM(config).train()
    seen = []
    assert model.global_conv is not None
    model.global_conv.register_forward_hook(lambda _, __, out: seen.append(out))
    model(torch.rand(4, 3, 96, 32))
    torch.testing.assert_close(seen[0].mean((0, 2, 3)), torch.zeros(16), rtol=0, atol=1e-4)
    spread = seen[0].var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(spread, torch.ones(16), rtol=0.01, atol=0)


def test_a_value_beyond_float16_stays_finite(tmp_path):
    """A running variance of 1e5 was saved as infinite, and its channel was dead from then on."""
    model = QPM(SMALL)
    name, norm = next(
        (n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)
    )
    norm.running_var[0] = 1e5
    save_model(model, tmp_path / "m.safetensors", {})
    again = dict(load_model(tmp_path / "m.safetensors")[0].named_modules())[name]
    assert again.running_var[0] == 1e5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_file_with_a_value_that_is_not_finite_is_refused(tmp_path, value):
    """It loaded, and every distance was NaN."""
    model = QPM(SMALL)
    model.global_conv.bias.data[0] = value
    save_model(model, tmp_path / "m.safetensors", {})
    with pytest.raises(ModelError, match=r"m\.safetensors: global_conv\.bias .* not finite"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("attention", ["fc", "rga"])
def test_an_attention_made_for_one_size_does_not_start_another(tmp_path, attention):
    """It ended in PyTorch's size mismatch."""
    config = SMALL.model_copy(update={"attention": attention})
    save_model(QPM(config), tmp_path / "m.safetensors", {})
    load_start(QPM(config), tmp_path / "m.safetensors")
    larger = QPM(config.model_copy(update={"height": 192}))
    with pytest.raises(ModelError, match=r"model\.height is 96 there and 192 in the config"):
        load_start(larger, tmp_path / "m.safetensors")
