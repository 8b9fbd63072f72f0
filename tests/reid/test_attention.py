from __future__ import annotations

import numpy as np
import pytest
import torch

from reid.network.attention import IdentityAwareAttention, attend, build_attention, coarse_feature
from tests.reid import naive

N, D, H, W, K = 2, 16, 6, 3, 3


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(N, D, H, W, generator=generator, dtype=torch.float64),
        torch.rand(N, K, generator=generator, dtype=torch.float64),
    )


def module(name: str):
    """In evaluation, float64, its norms away from their start values."""
    torch.manual_seed(3)
    built = build_attention(name, D, H, W).double()
    for part in built.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 2)
            part.bias.data.normal_()
    return built.eval()


def weights(layer) -> tuple[np.ndarray, np.ndarray]:
    """A linear map or a 1x1 conv as a matrix and an offset."""
    matrix = layer.weight.detach().numpy().reshape(layer.weight.shape[0], -1)
    bias = layer.bias
    return matrix, np.zeros(len(matrix)) if bias is None else bias.detach().numpy()


def normed(values: np.ndarray, norm) -> np.ndarray:
    mean, variance, gain, shift = (
        t.detach().numpy() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (values - mean) / np.sqrt(variance + norm.eps) * gain + shift


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_coarse_feature_is_equations_4_and_5():
    g_map, quality = inputs()
    stripes = g_map.reshape(N, D, K, H // K, W).mean((3, 4)).transpose(1, 2)
    got = coarse_feature(stripes, quality)
    for n in range(N):
        expected = naive.coarse_feature(g_map[n].numpy(), quality[n].numpy())
        np.testing.assert_allclose(got[n], expected, atol=1e-12)


def test_isa_is_equations_4_to_8():
    isa, (g_map, quality) = module("isa"), inputs()
    with torch.no_grad():
        out, reduced, attention = isa(g_map, quality)
    for n in range(N):
        h_hat, m, expected = naive.isa(
            g_map[n].numpy(), quality[n].numpy(), weights(isa.reduce), weights(isa.expand)
        )
        np.testing.assert_allclose(reduced[n], h_hat, atol=1e-12)
        np.testing.assert_allclose(attention[n, 0], m, atol=1e-12)
        np.testing.assert_allclose(out[n], expected, atol=1e-12)


def test_isa_keeps_equation_7_in_float32_under_autocast():
    isa = build_attention("isa", D, H, W)
    g_map, quality = (t.float() for t in inputs())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, _, attention = isa(g_map.bfloat16(), quality)
    assert attention.dtype == torch.float32
    exact = isa(g_map, quality)[2]
    # bfloat16 keeps 8 bits; the sum of 16 products of about 1 moves the sigmoid by 1/4 of that.
    assert torch.allclose(attention, exact, atol=16 * 2**-8 / 4)


@pytest.mark.parametrize("name", ["isa", "fc", "rga", "ra", "cbam"])
def test_every_attention_feeds_equation_8(name):
    g_map, quality = inputs(1)
    attention_module = module(name)
    with torch.no_grad():
        out, reduced, attention = attention_module(g_map, quality)
    assert attention.shape == (N, 1, H, W)
    assert ((attention > 0) & (attention < 1)).all()
    assert torch.equal(out, attend(g_map, attention))
    assert torch.allclose(out, g_map * (1 + attention))
    assert (reduced is None) == (name != "isa"), "Eq. 6 belongs to ISA"
    assert attention.std() > 1e-4, "it tells pixels apart"


def test_fc_is_a_full_matrix_over_the_pixels():
    fc, (g_map, quality) = module("fc"), inputs(2)
    with torch.no_grad():
        attention, _ = fc.look(g_map, quality)
    matrix, bias = weights(fc.connect)
    for n in range(N):
        mean = [g_map[n, :, y, x].mean() for y in range(H) for x in range(W)]
        for i in range(H * W):
            score = sum(matrix[i, j] * float(mean[j]) for j in range(H * W)) + bias[i]
            assert float(attention[n, 0, i // W, i % W]) == pytest.approx(sigmoid(score), abs=1e-12)


def test_cbam_is_a_7x7_conv_over_mean_and_max():
    cbam, (g_map, quality) = module("cbam"), inputs(3)
    with torch.no_grad():
        attention, _ = cbam.look(g_map, quality)
    kernel, bias = cbam.conv.weight.detach().numpy()[0], cbam.conv.bias.item()
    for n in range(N):
        for y in range(H):
            for x in range(W):
                score = bias
                for j in range(H):
                    for i in range(W):
                        a, b = j - y + 3, i - x + 3
                        if 0 <= a < 7 and 0 <= b < 7:
                            pixel = g_map[n, :, j, i].numpy()
                            score += kernel[0, a, b] * pixel.mean() + kernel[1, a, b] * pixel.max()
                assert float(attention[n, 0, y, x]) == pytest.approx(sigmoid(score), abs=1e-12)


def test_rga_stacks_relations_both_ways():
    rga, (g_map, quality) = module("rga"), inputs(4)
    with torch.no_grad():
        attention, _ = rga.look(g_map, quality)

    def layer(sequence, vector, first=0):
        matrix, bias = weights(sequence[first])
        return normed(matrix @ vector + bias, sequence[first + 1])

    for n in range(N):
        pixels = g_map[n].flatten(1).numpy().T
        theta = [layer(rga.theta, x).clip(0) for x in pixels]
        phi = [layer(rga.phi, x).clip(0) for x in pixels]
        relation = [[float(t @ p) for p in phi] for t in theta]
        for i, x in enumerate(pixels):
            row = relation[i]
            column = [relation[j][i] for j in range(H * W)]
            related = layer(rga.rho, np.array(row + column)).clip(0)
            y = np.concatenate([[layer(rga.psi, x).clip(0).mean()], related])
            score = layer(rga.score, layer(rga.score, y).clip(0), first=3)
            got = float(attention[n, 0, i // W, i % W])
            assert got == pytest.approx(float(sigmoid(score[0])), abs=1e-10)


def test_ra_looks_at_neighbours_and_not_across_the_map():
    """Bottom-up top-down: a pixel's weight depends on what is around it."""
    torch.manual_seed(5)
    ra = build_attention("ra", D, 48, 3).double().eval()
    g_map = torch.randn(1, D, 48, 3, dtype=torch.float64)
    changed = g_map.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        moved = (ra.look(g_map, None)[0] - ra.look(changed, None)[0]).abs()[0, 0].amax(1)
    assert moved[2] > 0, "beyond its own row"
    assert moved[-1] == 0, "two residual units reach a dozen rows, not 47"


def test_scaled_isa_divides_the_inner_product_by_sqrt_d():
    torch.manual_seed(2)
    plain, scaled = IdentityAwareAttention(16), IdentityAwareAttention(16, scaled=True)
    scaled.load_state_dict(plain.state_dict())
    g_map, quality = torch.randn(2, 16, 6, 2), torch.rand(2, 3)
    inner = torch.logit(plain.look(g_map, quality)[0].double())
    expected = torch.sigmoid(inner / 4)
    torch.testing.assert_close(
        scaled.look(g_map, quality)[0].double(), expected, rtol=1e-4, atol=1e-6
    )


def test_equation_4_stays_in_the_precision_of_q_under_autocast():
    """Its weighted sum ran in bfloat16, whatever the docstring said."""
    g_map, quality = (x.float() for x in inputs())
    stripes = g_map.reshape(N, D, K, H // K, W).mean((3, 4)).transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        got = coarse_feature(stripes, quality)
    assert got.dtype == torch.float32
    assert torch.equal(got, coarse_feature(stripes, quality))
