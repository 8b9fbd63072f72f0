"""Augmentation against loops over single images, and the geometry of what covers a person."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reid.network.config import MEAN
from reid.training.augment import (
    COARSE,
    augment,
    border_patches,
    coarsen,
    colour_jitter,
    free_patches,
    inside,
    pad_and_crop,
    paste_occluder,
    random_erasing,
    random_flip,
)
from tests.reid.people import tiny

N, H, W = 16, 24, 12


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def images(generator):
    return torch.rand(N, 3, H, W, generator=generator)


def test_flip_mirrors_the_chosen(images):
    chosen = torch.arange(N) % 3 == 0
    flipped = random_flip(images, chosen)
    for i in range(N):
        expected = images[i, :, :, range(W - 1, -1, -1)] if i % 3 == 0 else images[i]
        assert torch.equal(flipped[i], expected)


def test_pad_and_crop_shifts(images, generator):
    u = torch.rand(N, 2, generator=generator)
    u[0], u[1] = 0.0, 1 - 2**-24
    shifted = pad_and_crop(images, u, padding=3)
    for i in range(N):
        top, left = (int(value * 7) for value in u[i].tolist())
        padded = torch.zeros(3, H + 6, W + 6)
        padded[:, 3 : 3 + H, 3 : 3 + W] = images[i]
        assert torch.equal(shifted[i], padded[:, top : top + H, left : left + W])


def test_few_pixels_stay_of_the_chosen(images):
    """Each image by itself, by the share that its own number says."""
    images = images.mean((2, 3), keepdim=True) + 0.5 * (images - 0.5)
    u, chosen = torch.linspace(0, 0.999, N), torch.arange(N) % 3 != 1
    coarse = coarsen(images, u, chosen)
    for i in range(N):
        if not chosen[i]:
            assert torch.equal(coarse[i], images[i])
            continue
        share = COARSE[int(u[i] * len(COARSE))]
        small = (max(1, round(H * share)), max(1, round(W * share)))
        few = torch.nn.functional.interpolate(
            images[i][None], small, mode="bilinear", antialias=True
        )
        again = torch.nn.functional.interpolate(few, (H, W), mode="bilinear")[0]
        torch.testing.assert_close(coarse[i], again)
        # What is gone is detail: the mean stays, the spread between neighbours does not.
        torch.testing.assert_close(coarse[i].mean(), images[i].mean(), atol=0.03, rtol=0)
        assert coarse[i].diff(dim=-1).abs().mean() < 0.7 * images[i].diff(dim=-1).abs().mean()


def test_jitter_stays_a_picture_and_0_5_changes_nothing(images, generator):
    same = colour_jitter(images, torch.full((N, 5), 0.5), 0.4)
    torch.testing.assert_close(same, images)
    wild = colour_jitter(images, torch.rand(N, 5, generator=generator), 1.0)
    assert wild.min() >= 0
    assert wild.max() <= 1
    brighter = colour_jitter(images * 0.5, torch.tensor([[0.5, 0.75, 0.5, 0.5, 0.5]] * N), 0.4)
    torch.testing.assert_close(brighter, images * 0.5 * 1.2)


def test_pasted_pieces_come_from_another_image(images, generator):
    u = torch.rand(N, 6, generator=generator)
    pasted, covered = paste_occluder(images, u, chance=0.5)
    for i in range(N):
        hit, kind, size, other, y, x = u[i].tolist()
        expected = images[i].clone()
        if hit < 0.5:
            top, left, h, w = border_rectangle(kind, size)
            donor = (i + 1 + int(other * (N - 1))) % N
            assert donor != i
            dy, dx = int(y * (H - h + 1)), int(x * (W - w + 1))
            piece = images[donor, :, dy : dy + h, dx : dx + w]
            expected[:, top : top + h, left : left + w] = piece
            assert int(covered[i].sum()) == h * w
        assert torch.equal(pasted[i], expected), i
        assert bool(covered[i].any()) == (hit < 0.5)


def border_rectangle(kind: float, size: float) -> tuple[int, int, int, int]:
    """Legs, a side, or the head, one image at a time."""
    if kind < 0.5:
        h = max(1, int(H * (0.15 + 0.45 * size)))
        return H - h, 0, h, W
    if kind < 0.85:
        w, h = max(1, int(W * (0.2 + 0.4 * size))), max(1, int(H * (0.6 + 0.4 * size)))
        return H - h, 0 if kind < 0.675 else W - w, h, w
    return 0, 0, max(1, int(H * (0.1 + 0.3 * size))), W


def test_every_kind_of_border_rectangle(generator):
    u = torch.rand(2000, 2, generator=generator)
    found = border_patches(u, H, W).tolist()
    expected = [list(border_rectangle(*row)) for row in u.tolist()]
    # float32 and float64 may round to two sides of a whole number of pixels
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 2


def test_erasing_fills_one_rectangle_with_the_mean(images, generator):
    u = torch.rand(N, 80, generator=generator)
    chosen = torch.arange(N) % 2 == 0
    erased, covered = random_erasing(images, u, chosen)
    for i in range(N):
        expected = images[i].clone()
        if i % 2 == 0:
            top, left, h, w = free_rectangle(u[i].view(-1, 4).tolist())
            expected[:, top : top + h, left : left + w] = torch.tensor(MEAN).view(3, 1, 1)
            assert int(covered[i].sum()) == h * w
        assert torch.equal(erased[i], expected), i


def free_rectangle(tries: list[list[float]]) -> tuple[int, int, int, int]:
    for area, aspect, y, x in tries:
        target, ratio = H * W * (0.02 + 0.38 * area), 0.3 * 11**aspect
        h, w = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < h < H and 0 < w < W:
            return int(y * (H - h)), int(x * (W - w)), h, w
    return 0, 0, 0, 0


def test_erasing_where_no_try_fits_erases_nothing():
    large = torch.tensor([[1.0, 0.0, 0.5, 0.5]] * 20)[None]  # 40 %, far wider than a person
    assert not inside(free_patches(large, 64, 8), 64, 8).any()


def test_one_seed_gives_one_batch(images):
    config = tiny(flip=0.5, crop_padding=2, jitter=0.3, paste=0.5, erase=0.5)
    first, again, other = (
        augment(images, config, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    nothing = tiny(flip=0.0, crop_padding=0, jitter=0.0, paste=0.0, erase=0.0)
    unchanged, visible = augment(images, nothing, torch.Generator())
    assert torch.equal(unchanged, images)
    assert bool((visible == 1).all())


def test_visible_share_of_each_stripe_is_what_was_left(images):
    """Against the pictures: with pasting alone, a pixel that changed was covered."""
    config = tiny(flip=0.0, crop_padding=0, jitter=0.0, paste=0.7, erase=0.0)
    changed, visible = augment(images, config, torch.Generator().manual_seed(4))
    parts = config.model.num_parts
    same = (changed == images).all(1).float()
    assert visible.shape == (N, parts)
    rows = H // parts
    for i in range(N):
        for k in range(parts):
            share = float(same[i, k * rows : (k + 1) * rows].mean())
            assert float(visible[i, k]) == pytest.approx(share, abs=1e-6)


class Looks(TorchDispatchMode):
    """Counts what makes a GPU wait: reading a value, or a shape that depends on values."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        self.count += name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero")
        return function(*args, **(kwargs or {}))


def test_no_value_is_looked_at(images):
    config = tiny(flip=0.5, crop_padding=2, jitter=0.3, paste=0.5, erase=0.5)
    with Looks() as looks:
        augment(images, config, torch.Generator())
    assert looks.count == 0
    with looks:
        images.sum().item()
    assert looks.count == 1, "the counter counts"
