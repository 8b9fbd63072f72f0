from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from reid.backbones import ResNet50V2, build_backbone, load_imagenet
from reid.checkpoint import load_model, load_thresholds, save_model
from reid.config import ModelConfig
from reid.errors import ModelError
from reid.model import QPM
from reid.parts import PartBranch, region_average_pooling

SMALL = ModelConfig(backbone="mobilenetv2", height=96, width=32, num_parts=6, dim=16)


def test_region_average_pooling_is_the_mean_of_each_stripe():
    x = torch.randn(2, 3, 12, 5)
    got = region_average_pooling(x, 6)
    for k in range(6):
        expected = x[:, :, 2 * k : 2 * k + 2].mean((2, 3))
        assert torch.allclose(got[:, k], expected, atol=1e-6)


def test_attention_is_equations_4_to_8():
    torch.manual_seed(0)
    isa = IdentityAwareAttention(8).double()
    g_map = torch.randn(2, 8, 6, 3, dtype=torch.float64)
    quality = torch.rand(2, 3, dtype=torch.float64)
    # float32 inside (the inner product of Eq. 7): compare at float32's precision.
    isa.float()
    out, reduced, attention = isa(g_map.float(), quality.float())
    for n in range(2):
        h = torch.zeros(8, dtype=torch.float64)
        for k in range(3):  # Eqs. 4 and 5
            g_k = g_map[n, :, 2 * k : 2 * k + 2].mean((1, 2))
            h += quality[n, k] / quality[n].sum() * g_k
        h_hat = isa.reduce.weight.double() @ h + isa.reduce.bias.double()
        h_tilde = isa.expand.weight.double() @ h_hat.clamp_min(0) + isa.expand.bias.double()
        assert torch.allclose(reduced[n].double(), h_hat, atol=1e-5)
        for y in range(6):
            for x in range(3):
                m = torch.sigmoid(g_map[n, :, y, x] @ h_tilde)  # Eq. 7
                assert float(attention[n, 0, y, x]) == pytest.approx(float(m), abs=1e-5)
                expected = m * g_map[n, :, y, x] + g_map[n, :, y, x]  # Eq. 8
                assert torch.allclose(out[n, :, y, x].double(), expected, atol=1e-4)


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


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "resnet50v2"])
def test_trunks_keep_their_last_stride(name):
    trunk, channels = build_backbone(name)
    with torch.inference_mode():
        out = trunk.eval()(torch.zeros(1, 3, 96, 32))
    assert out.shape == (1, channels, 6, 2)


def test_parameter_count_at_d_256_and_1024():
    """Table VIII's 29.0 M contradicts d = 1024 (qpm_notes): 27.2 M and 38.7 M without heads."""
    for dim, millions in ((256, 27.2), (1024, 38.7)):
        model = QPM(ModelConfig(backbone="resnet50", dim=dim))
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_height_that_stripes_do_not_divide_is_refused():
    with pytest.raises(ValidationError, match="multiple of 96"):
        ModelConfig(height=256)


def test_imagenet_weights_load(shared):
    trunk, _ = build_backbone("mobilenetv2")
    assert load_imagenet(trunk, "mobilenetv2", shared / "models/mobilenetv2_imagenet.pt") == []
    stored = torch.load(shared / "models/mobilenetv2_imagenet.pt", weights_only=True)
    own = trunk.state_dict()
    assert torch.equal(own["features.18.0.weight"], stored["features.18.0.weight"])
    assert torch.equal(own["features.3.conv.2.weight"], stored["features.3.conv.6.weight"])


def test_partial_resnet50v2_weights_leave_stage_4_fresh(shared):
    trunk = ResNet50V2()
    path = shared / "models/resnet50v2_imagenet_partial.pt"
    fresh = load_imagenet(trunk, "resnet50v2", path)
    assert fresh
    assert all(name.startswith("stage4_conv") for name in fresh)
    stored = torch.load(path, weights_only=True)
    shortcut = trunk.stages[1][0].shortcut  # the fourth convolution of its stage
    assert torch.equal(shortcut.weight, stored["stage2_conv3_weight"].float())
    with torch.inference_mode():
        assert torch.isfinite(trunk.eval()(torch.randn(1, 3, 96, 32))).all()


def test_weights_of_another_trunk_are_refused(shared):
    trunk, _ = build_backbone("resnet50")
    with pytest.raises(ModelError, match="does not hold the weights of resnet50"):
        load_imagenet(trunk, "resnet50", shared / "models/mobilenetv2_imagenet.pt")


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
