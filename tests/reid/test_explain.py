"""The evidence against plain loops, the pictures by their pixels, and bad files by name."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import run_pipeline
from reid.embedding import Embedder
from reid.errors import FingerprintMismatch
from reid.explain.explanation import (
    MIN_SHARED,
    Explainer,
    ImageEvidence,
    Verdict,
    in_common,
    pair_evidence,
)
from reid.explain.page import DPI
from reid.explain.picture import Shown, draw_images, draw_pair, shortened
from reid.network.checkpoint import save_model
from reid.network.config import ModelConfig
from reid.network.qpm import QPM
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings
from tests.reid import naive
from trackers.settings import MatchingSettings

SMALL = ModelConfig(backbone="mobilenetv2", height=96, width=32, dim=16, part_norm=True)


def embedding(seed: int, quality: list[float] | None = None, model: str = "m") -> PartEmbeddings:
    rng = np.random.default_rng(seed)
    parts, overall = rng.normal(size=(2, 1, 6, 8)).astype(np.float32)
    chosen = rng.uniform(0.1, 1, 6) if quality is None else quality
    return PartEmbeddings(parts, overall, np.array([chosen], np.float32), model)


def evidence(quality: list[float]) -> ImageEvidence:
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2)
    made = embedding(1, quality)
    return ImageEvidence(made, tuple(quality), tuple(quality), 50 * ramp + 1, 80 * ramp, ramp)


def photo(seed: int = 0, size: tuple[int, int] = (120, 50)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    save_model(QPM(SMALL).eval(), path, {}, half=False)
    return path


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_is_taken_apart_as_the_loops_do(seed):
    p, g = embedding(seed), embedding(seed + 100)
    found = pair_evidence(p, g, 0.6)
    fp, gp, qp = (a[0].astype(float) for a in (p.parts, p.global_parts, p.quality))
    fg, gg, qg = (a[0].astype(float) for a in (g.parts, g.global_parts, g.quality))
    part, overall = naive.part_distance(fp, qp, fg, qg), naive.global_distance(gp, qp, gg, qg)
    support = sum(qp[k] * qg[k] for k in range(6))
    assert found.part_distance == pytest.approx(part, abs=1e-12)
    assert found.global_distance == pytest.approx(overall, abs=1e-12)
    assert found.distance == pytest.approx(0.6 * part + 0.4 * overall, abs=1e-12)
    assert found.support == pytest.approx(support, abs=1e-12)
    for k, row in enumerate(found.parts):
        apart = naive.cosine_distance(fp[k], fg[k])
        assert (row.quality_p, row.quality_g) == (qp[k], qg[k])
        assert row.distance == pytest.approx(apart, abs=1e-12)
        assert row.weight == pytest.approx(qp[k] * qg[k] / support, abs=1e-12)
        assert row.share == pytest.approx(qp[k] * qg[k] * apart / support / part, abs=1e-12)
    assert sum(row.share for row in found.parts) == pytest.approx(1)
    assert sum(row.weight for row in found.parts) == pytest.approx(1)


def test_an_image_and_itself():
    found = pair_evidence(embedding(3), embedding(3), 0.6, (0.2, 0.4))
    assert 0 <= found.distance < 1e-12
    assert [row.share for row in found.parts] == [0] * 6
    assert found.verdict == Verdict.ALIKE


def test_without_a_global_share_there_is_no_global_distance():
    found = pair_evidence(embedding(1), embedding(2), 1.0)
    assert found.global_distance is None
    assert found.distance == found.part_distance


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ((1.9, 2.0), Verdict.ALIKE),
        ((0.0, 2.0), Verdict.POSSIBLY),
        ((0.0, 0.01), Verdict.DIFFERENT),
        (None, None),  # not calibrated
    ],
)
def test_verdicts(thresholds, expected):
    assert pair_evidence(embedding(1), embedding(2), 0.6, thresholds).verdict == expected


def test_different_parts_seen_is_not_enough_to_tell():
    """A tiny distance from no shared evidence is no evidence."""
    top, feet = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    found = pair_evidence(embedding(1, top), embedding(1, feet), 0.6, (1.9, 2.0))
    assert found.verdict == Verdict.THIN
    assert found.support == 0
    assert [row.share for row in found.parts] == [0] * 6


def test_no_verdict_claims_an_identity():
    assert not [v for v in Verdict if "same" in v or " is " in v]


def test_thin_means_what_the_matcher_means():
    assert MatchingSettings().min_support == MIN_SHARED


def test_two_models_are_not_compared():
    with pytest.raises(FingerprintMismatch):
        pair_evidence(embedding(1), embedding(1, model="other"), 0.6)
    with pytest.raises(ValueError, match="one and one"):
        pair_evidence(embedding(1), PartEmbeddings.concatenate([embedding(1)] * 2), 0.6)


def test_the_explainer_sees_what_the_embedder_sees(weights):
    crop = photo(size=(200, 70))
    seen = Explainer.from_weights(str(weights), "cpu").image(crop)
    settings = EmbeddingSettings(
        weights=str(weights), backend="torch", device="cpu", precision="float32"
    )
    expected = Embedder.from_settings(settings).embed([crop])
    np.testing.assert_allclose(seen.embedding.parts, expected.parts, atol=1e-4)
    np.testing.assert_allclose(seen.embedding.quality, expected.quality, atol=1e-5)
    np.testing.assert_allclose(seen.embedding.global_parts, expected.global_parts, atol=1e-4)
    assert seen.quality == pytest.approx(expected.quality[0], abs=1e-5)
    assert sum(seen.weights) == pytest.approx(1)
    assert seen.attention.shape == seen.response_before.shape == (6, 2)
    # Eq. 8 scales each place's vector by 1 + M, so its norm too.
    np.testing.assert_allclose(
        seen.response_after, (1 + seen.attention) * seen.response_before, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("switches", "response", "attention"),
    [
        ({"attention": "none"}, True, False),
        ({"attention": "cbam", "quality": False}, True, True),
        ({"global_feature": "gap"}, True, True),
        ({"global_feature": "none", "gamma": 1.0}, False, False),
    ],
)
def test_every_arm_is_explained(switches, response, attention):
    torch.manual_seed(0)
    config = ModelConfig.model_validate({**SMALL.model_dump(), **switches})
    explainer = Explainer(QPM(config).eval(), "f", device="cpu")
    first, second = explainer.image(photo(1)), explainer.image(photo(2))
    assert (first.response_before is not None) == response
    assert (first.response_after is not None) == (first.attention is not None) == attention
    pair = explainer.pair(first, second)
    assert pixels(draw_images([Shown("a", photo(1), first)])).any()
    assert pixels(draw_pair(Shown("a", photo(1), first), Shown("b", photo(2), second), pair)).any()


# --- pictures --------------------------------------------------------------------------------


def test_only_the_bar_of_the_changed_quality_moves():
    image = photo()
    low, high = [0.5] * 6, [0.5, 0.5, 0.9, 0.5, 0.5, 0.5]
    before, after = (pixels(draw_images([Shown("a", image, evidence(q))])) for q in (low, high))
    rows, columns = np.nonzero((before != after).any(-1))
    top, stripe = 1.62 * DPI, 2.75 / 6 * DPI
    assert rows.min() > top + 2 * stripe
    assert rows.max() < top + 3 * stripe
    assert columns.min() > 0.45 * DPI + 2.75 * 0.41 * DPI  # right of the image


def test_each_map_has_its_panel():
    """Only the attention changes: only the third panel may."""
    image, plain = photo(), evidence([0.5] * 6)
    turned = ImageEvidence(
        plain.embedding, plain.quality, plain.weights, plain.response_before,
        plain.response_after, plain.attention[::-1].copy(),
    )  # fmt: skip
    before, after = (pixels(draw_images([Shown("a", image, e)])) for e in (plain, turned))
    _, columns = np.nonzero((before != after).any(-1))
    wide = 2.75 * 50 / 120
    first = 0.45 + wide + 0.12 + 1.45 + 0.45
    assert columns.min() >= (first + 2 * (wide + 0.3)) * DPI - 1
    assert columns.max() <= (first + 2 * (wide + 0.3) + wide) * DPI + 1


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_and_shapes_of_any_kind_are_drawn():
    name = "$\\frac{x}$ _^ 写真 " + "long" * 30 + ".jpg"
    for size in ((1, 1), (3, 900), (900, 3)):
        assert pixels(draw_images([Shown(name, photo(size=size), evidence([0.0] * 6))])).any()
    assert len(shortened(name)) <= 44


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def crops(tmp_path) -> list[str]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), photo(seed))
    return [str(p) for p in paths]


def test_picture_and_numbers(weights, crops, tmp_path, capsys):
    out = tmp_path / "pair.png"
    arguments = ["explain", *crops, "--pair", "--json", "--out", str(out)]
    assert run_pipeline.main([*arguments, "--weights", str(weights), "--device", "cpu"]) == 0
    said = json.loads(capsys.readouterr().out)
    explainer = Explainer.from_weights(str(weights), "cpu")
    pair = explainer.pair(*(explainer.image(cv2.imread(c)) for c in crops))
    assert said["pair"]["distance"] == pytest.approx(pair.distance, abs=1e-6)
    assert said["pair"]["verdict"] is None
    assert sum(part["share"] for part in said["pair"]["parts"]) == pytest.approx(1)
    assert [len(image["quality"]) for image in said["images"]] == [6, 6]
    assert cv2.imread(str(out)).shape[1] == round(9.6 * DPI)
    assert not list(tmp_path.glob(".*"))


def test_a_scene_instead_of_a_crop_is_remarked_on(weights, tmp_path, capsys):
    wide = tmp_path / "scene.png"
    cv2.imwrite(str(wide), photo(size=(50, 120)))
    assert run_pipeline.main(["explain", str(wide), "--json", "--weights", str(weights)]) == 0
    assert f"{wide} is wider (120) than tall (50)" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"no picture, but words"])
def test_files_that_are_no_image_are_named(content, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    out = tmp_path / "out.png"
    assert run_pipeline.main(["explain", str(bad), "--out", str(out)]) == 2
    assert str(bad) in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to make"),
        (["--json", "--pair"], "--pair compares 2 images, not 1"),
        (["--out", "x.gif"], "x.gif: its name must end on one of .png"),
        (["--out", "no/such/folder/x.png"], "its folder does not exist"),
        (["--json", "--weights", "missing.safetensors"], "missing.safetensors"),
    ],
)
def test_wrong_arguments_are_explained(arguments, said, crops, capsys):
    assert run_pipeline.main(["explain", crops[0], *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_in_common_under_a_mask() -> None:
    """By loops: the cosine over the trusted parts, times how alike they stand to the best part."""
    random = np.random.default_rng(3)
    for _ in range(20):
        p, g, w = random.uniform(0.01, 1, (3, 6)) * (random.uniform(size=(3, 6)) > 0.3)
        w[2] = 1
        p[2], g[2] = 0.4, 0.3
        a, b = (
            [x * y for x, y in zip(w, p, strict=True)],
            [x * y for x, y in zip(w, g, strict=True)],
        )
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        cosine = dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
        shown = max(a) / max(p), max(b) / max(g)
        mine = in_common(*(torch.tensor(x) for x in (p, g[None], w)))
        assert float(mine[0]) == pytest.approx(cosine * min(shown) / max(shown))
        scaled = in_common(*(torch.tensor(x) for x in (p * 0.1, g[None] * 0.2, w)))
        assert float(scaled[0]) == pytest.approx(float(mine[0])), "the scale of q says nothing"


def test_a_hidden_part_is_not_in_common_because_it_alone_is_trusted() -> None:
    whole, only = torch.full((6,), 0.8), torch.tensor([1.0, 0, 0, 0, 0, 0])
    hides = whole.clone()
    hides[0] = 0.01
    alone = torch.tensor([0.8, 0, 0, 0, 0, 0])
    others = torch.stack([whole, hides, alone, torch.zeros(6)])
    assert in_common(whole, others, only).tolist() == pytest.approx([1, 0.0125, 1, 0])
    assert in_common(whole, others, torch.ones(6)).tolist() == pytest.approx(
        in_common(whole, others).tolist()
    )
