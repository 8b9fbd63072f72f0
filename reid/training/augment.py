"""Augmentation of whole batches on their device: flip, pad and crop, jitter, erasing, paste.

Every random number is drawn at once by a CPU generator, so that one seed gives one batch on every
device; all that follows is tensor arithmetic over the whole batch, without a look at its values.

Shapes: N images (N, 3, H, W) RGB in 0..1; `u` (N, n) uniform draws in 0..1; a rectangle is a row
(top, left, height, width) of an (N, 4) int64 tensor, pixels, and one of height 0 covers nothing.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.network.config import MEAN, STD
from reid.training.config import TrainConfig

ERASE_TRIES = 20
COARSE = (0.5, 0.4, 0.3, 0.25)


def normalise(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in 0..1 -> ImageNet-normalised."""
    return (images - _per_channel(MEAN, images.device)) / _per_channel(STD, images.device)


def to_input(images: Tensor, height: int, width: int) -> Tensor:
    """(N, H0, W0, 3) uint8 RGB -> (N, 3, height, width) float32 in 0..1."""
    x = images.permute(0, 3, 1, 2).float().div_(255)
    return F.interpolate(x, (height, width), mode="bilinear", antialias=False)


def augment(
    images: Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Apply every augmentation of `config`; `generator` is a CPU generator.

    Returns:
        The images, and the share of each stripe that nothing was laid over, (N, K) float32 in 0..1.
    """
    n, columns = len(images), (1, 2, 5, 6, 1, 4 * ERASE_TRIES)
    draws = torch.rand(n, sum(columns), generator=generator)
    flip, shift, colour, paste, erase, patch = draws.to(images.device, non_blocking=True).split(
        columns, dim=1
    )
    images = random_flip(images, flip[:, 0] < config.flip)
    if config.crop_padding:
        images = pad_and_crop(images, shift, config.crop_padding)
    if config.jitter:
        images = colour_jitter(images, colour, config.jitter)
    if config.coarse:
        u = torch.rand(n, 2, generator=generator).to(images.device, non_blocking=True)
        images = coarsen(images, u[:, 1], u[:, 0] < config.coarse)
    covered = images.new_zeros(n, 1, *images.shape[2:], dtype=torch.bool)
    if config.paste:
        images, where = paste_occluder(images, paste, config.paste)
        covered |= where
    if config.erase:
        images, where = random_erasing(images, patch, erase[:, 0] < config.erase)
        covered |= where
    stripes = covered.view(n, config.model.num_parts, -1)
    return images, 1 - stripes.float().mean(2)


def random_flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images that are `chosen`, (N,) bool."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def pad_and_crop(images: Tensor, u: Tensor, padding: int) -> Tensor:
    """Shift each image by up to `padding` pixels both ways, black where nothing was. `u` (N, 2)."""
    _, _, h, w = images.shape
    top, left = _whole(u * (2 * padding + 1)).unbind(1)
    rows = torch.arange(h, device=images.device) + top[:, None]
    columns = torch.arange(w, device=images.device) + left[:, None]
    return _take(F.pad(images, (padding,) * 4), _own(images), rows, columns)


def colour_jitter(images: Tensor, u: Tensor, strength: float) -> Tensor:
    """Change contrast, brightness and the balance of the channels. `u` (N, 5)."""
    change = (strength * (2 * u - 1))[:, :, None, None]
    contrast, brightness, gains = 1 + change[:, :1], 1 + change[:, 1:2], 1 + change[:, 2:] / 2
    mean = images.mean((1, 2, 3), keepdim=True)
    return (((images - mean) * contrast + mean) * brightness * gains).clamp(0, 1)


def coarsen(images: Tensor, u: Tensor, chosen: Tensor) -> Tensor:
    """Leave the `chosen` only a half to a quarter of their pixels a side. `u` (N,): which share."""
    size = images.shape[2:]
    which = torch.where(chosen, _whole(u * len(COARSE)), -1).view(-1, 1, 1, 1)
    for number, share in enumerate(COARSE):
        small = [max(1, round(length * share)) for length in size]
        few = F.interpolate(images, small, mode="bilinear", antialias=True, align_corners=False)
        again = F.interpolate(few, size, mode="bilinear", align_corners=False)
        images = torch.where(which == number, again, images)
    return images


def paste_occluder(images: Tensor, u: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Lay a piece of another image of the batch over a border region, as a passer-by would lie.

    The piece comes from elsewhere in the other image, so that its parts do not match. `u` (N, 6).
    Returns the images and where something was laid over them, (N, 1, H, W) bool.
    """
    n, _, h, w = images.shape
    patches = border_patches(u[:, 1:3], h, w)
    patches[:, 2] *= u[:, 0] < chance
    top, left, height, width = patches.unbind(1)
    donor = (_own(images) + 1 + _whole(u[:, 3] * (n - 1))) % n
    down = _whole(u[:, 4] * (h - height + 1)) - top
    right = _whole(u[:, 5] * (w - width + 1)) - left
    rows = (torch.arange(h, device=images.device) + down[:, None]).clamp(0, h - 1)
    columns = (torch.arange(w, device=images.device) + right[:, None]).clamp(0, w - 1)
    covered = inside(patches, h, w)
    return torch.where(covered, _take(images, donor, rows, columns), images), covered


def random_erasing(images: Tensor, u: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Random erasing (Zhong et al. 2020): fill a rectangle with the ImageNet mean.

    Returns the images and where they were filled, (N, 1, H, W) bool.
    """
    _, _, h, w = images.shape
    patches = free_patches(u.view(len(u), -1, 4), h, w)
    patches[:, 2] *= chosen
    covered = inside(patches, h, w)
    return torch.where(covered, _per_channel(MEAN, images.device), images), covered


def border_patches(u: Tensor, h: int, w: int) -> Tensor:
    """Rectangles (N, 4) at the border of an image, from `u` (N, 2): which kind, and how large.

    Half of them hide the legs, the commonest case behind cars, desks and hedges; of the others
    most hide a side, as somebody beside does, and a few the head.
    """
    kind, size = u.unbind(1)
    legs, side, right = kind < 0.5, kind < 0.85, kind >= 0.675
    part = torch.where(side, 0.6 + 0.4 * size, 0.1 + 0.3 * size)  # of the height
    height = _whole(h * torch.where(legs, 0.15 + 0.45 * size, part)).clamp_min(1)
    beside = side & ~legs
    width = torch.where(beside, _whole(w * (0.2 + 0.4 * size)).clamp_min(1), w)
    top = torch.where(side, h - height, 0)
    left = torch.where(beside & right, w - width, 0)
    return torch.stack([top, left, height, width], 1)


def free_patches(u: Tensor, h: int, w: int) -> Tensor:
    """Rectangles (N, 4) anywhere: area 2-40 %, aspect 0.3-3.3, from `u` (N, tries, 4).

    The first try that fits into the image counts; if none does, the rectangle is empty.
    """
    area, aspect, y, x = u.unbind(2)
    target = h * w * (0.02 + 0.38 * area)
    ratio = 0.3 * (3.3 / 0.3) ** aspect
    height, width = (target * ratio).sqrt().round(), (target / ratio).sqrt().round()
    fits = (height > 0) & (height < h) & (width > 0) & (width < w)
    tries = torch.stack([y * (h - height), x * (w - width), height * fits, width], 2)
    first = fits.int().argmax(1)  # the first of the largest; 0 where none fits
    return _whole(tries[torch.arange(len(u), device=u.device), first])


def inside(patches: Tensor, h: int, w: int) -> Tensor:
    """Where the rectangles lie: (N, 4) -> (N, 1, h, w) bool."""
    top, left, height, width = (p.view(-1, 1, 1, 1) for p in patches.unbind(1))
    y = torch.arange(h, device=patches.device).view(1, 1, h, 1)
    x = torch.arange(w, device=patches.device).view(1, 1, 1, w)
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)


def _take(images: Tensor, which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of image which[i] at rows (N, h) and columns (N, w): (N, 3, h, w)."""
    picked = images.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None]]
    return picked.permute(0, 3, 1, 2)


@functools.cache
def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), made once a device: handing numbers to a GPU waits for it."""
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


def _own(images: Tensor) -> Tensor:
    return torch.arange(len(images), device=images.device)


def _whole(values: Tensor) -> Tensor:
    return values.floor().long()
