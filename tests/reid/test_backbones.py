from __future__ import annotations

import sys
import urllib.error

import pytest
import torch
import torch.nn.functional as F

from reid.errors import ModelError
from reid.network.backbones import ResNet50V2, build_backbone, load_imagenet


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "resnet50v2"])
def test_trunks_keep_their_last_stride(name):
    trunk, channels = build_backbone(name)
    with torch.inference_mode():
        out = trunk.eval()(torch.zeros(1, 3, 96, 32))
    assert out.shape == (1, channels, 6, 2)


def test_unknown_trunks_are_named():
    with pytest.raises(ModelError, match="'vgg' is not known: resnet50"):
        build_backbone("vgg")


def test_imagenet_weights_load(shared):
    trunk, _ = build_backbone("mobilenetv2")
    assert load_imagenet(trunk, "mobilenetv2", shared / "models/mobilenetv2_imagenet.pt") == []
    stored = torch.load(shared / "models/mobilenetv2_imagenet.pt", weights_only=True)
    own = trunk.state_dict()
    assert torch.equal(own["features.18.0.weight"], stored["features.18.0.weight"])
    assert torch.equal(own["features.3.conv.2.weight"], stored["features.3.conv.6.weight"])


def test_partial_resnet50v2_leaves_stage_4s_later_convolutions_fresh(shared):
    """The file's arithmetic written out from its own names: stem to stage 3 must agree."""
    trunk = ResNet50V2()
    path = shared / "models/resnet50v2_imagenet_partial.pt"
    fresh = load_imagenet(trunk, "resnet50v2", path)
    assert fresh == [f"stage4_conv{i}_weight" for i in (1, 2, 3, 4, 5, 6, 7, 8, 9)]
    stored = {k: v.float() for k, v in torch.load(path, weights_only=True).items()}
    image = torch.randn(1, 3, 96, 32)

    def norm(x, name):
        keys = ("running_mean", "running_var", "gamma", "beta")
        return F.batch_norm(x, *(stored[f"{name}_{k}"] for k in keys), eps=1e-5)

    x = F.conv2d(norm(image, "batchnorm0"), stored["conv0_weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, "batchnorm1").relu(), 3, 2, 1)
    for stage, (blocks, stride) in enumerate([(3, 1), (4, 2), (6, 2)], start=1):
        conv = 0
        for block in range(blocks):
            step = stride if block == 0 else 1
            first = norm(x, f"stage{stage}_batchnorm{3 * block}").relu()
            inner = first
            for i, (padding, at) in enumerate([(0, 1), (1, step), (0, 1)]):
                if i:
                    inner = norm(inner, f"stage{stage}_batchnorm{3 * block + i}").relu()
                weight = stored[f"stage{stage}_conv{conv}_weight"]
                inner = F.conv2d(inner, weight, stride=at, padding=padding)
                conv += 1
            if block == 0:
                x = F.conv2d(first, stored[f"stage{stage}_conv{conv}_weight"], stride=step)
                conv += 1
            x = x + inner
    trunk.eval()
    with torch.inference_mode():
        got = trunk.pool(torch.relu(trunk.batchnorm1(trunk.conv0(trunk.batchnorm0(image)))))
        for stage in trunk.stages[:3]:
            for block in stage:
                got = block(got)
        assert torch.isfinite(trunk(image)).all()
    assert got.shape == x.shape == (1, 1024, 6, 2)
    assert torch.allclose(got, x, atol=1e-4 * float(x.abs().max()))


def test_weights_of_another_trunk_are_refused(shared):
    trunk, _ = build_backbone("resnet50")
    with pytest.raises(ModelError, match="does not hold the weights of resnet50"):
        load_imagenet(trunk, "resnet50", shared / "models/mobilenetv2_imagenet.pt")


def test_damaged_imagenet_files_are_named(tmp_path):
    trunk, _ = build_backbone("mobilenetv2")
    for name, content in (("a.pt", b"no weights"), ("b.safetensors", b"none"), ("c.pt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=f"{name}: cannot read ImageNet weights"):
            load_imagenet(trunk, "mobilenetv2", tmp_path / name)


def test_no_network_is_a_clear_error(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    trunk, _ = build_backbone("mobilenetv2")
    with pytest.raises(ModelError, match="mobilenetv2: ImageNet weights cannot be downloaded"):
        load_imagenet(trunk, "mobilenetv2", "download")
    with pytest.raises(ModelError, match="no hub has its weights"):
        load_imagenet(ResNet50V2(), "resnet50v2", "download")


def test_a_downloaded_trunk_is_the_published_one(monkeypatch):
    """What the hub would send, made here: all is taken but the classifier."""
    from torchvision.models import ResNet50_Weights, resnet50

    sent = resnet50(weights=None).state_dict()
    monkeypatch.setattr(
        type(ResNet50_Weights.IMAGENET1K_V1), "get_state_dict", lambda *_, **__: sent
    )
    trunk, _ = build_backbone("resnet50")
    assert load_imagenet(trunk, "resnet50", "download") == []
    assert torch.equal(trunk.state_dict()["layer4.2.conv3.weight"], sent["layer4.2.conv3.weight"])


def test_hrnet_joins_its_branches_at_stride_16(tmp_path):
    timm = pytest.importorskip("timm")
    full = timm.create_model("hrnet_w32", pretrained=False)
    torch.save(full.state_dict(), tmp_path / "hrnet.pt")
    trunk, channels = build_backbone("hrnet_w32")
    assert load_imagenet(trunk, "hrnet_w32", tmp_path / "hrnet.pt") == []
    own = trunk.state_dict()["net.stage4.2.fuse_layers.0.1.0.weight"]
    assert torch.equal(own, full.state_dict()["stage4.2.fuse_layers.0.1.0.weight"])
    trunk.eval()
    image = torch.randn(1, 3, 96, 32)
    with torch.inference_mode():
        fine, middle, level, _ = trunk.net(image)
        out = trunk(image)
    assert out.shape == (1, channels, 6, 2)
    assert torch.allclose(out[0, 5, 2, 1], fine[0, 5, 8:12, 4:8].mean(), atol=1e-5)
    assert torch.allclose(out[0, 32 + 7, 2, 1], middle[0, 7, 4:6, 2:4].mean(), atol=1e-5)
    assert torch.equal(out[0, 96 : 96 + 128], level[0])


def test_hrnet_without_timm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"pip install crosscam\[hrnet\]"):
        build_backbone("hrnet_w32")
