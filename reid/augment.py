"""Augmentation of whole batches on the device: flip, pad and crop, jitter, erasing, paste."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.train_config import TrainConfig

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in 0..1 -> ImageNet-normalised."""
    mean = images.new_tensor(MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(STD).view(1, 3, 1, 1)
    return (images - mean) / std


def to_input(images: Tensor, height: int, width: int) -> Tensor:
    """(N, H0, W0, 3) uint8 RGB -> (N, 3, height, width) float32 in 0..1."""
    x = images.permute(0, 3, 1, 2).float().div_(255)
    return F.interpolate(x, (height, width), mode="bilinear", antialias=False)


def augment(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Apply every augmentation of `config` to (N, 3, H, W) in 0..1."""
    images = random_flip(images, config.flip, generator)
    images = pad_and_crop(images, config.crop_padding, generator)
    images = colour_jitter(images, config.jitter, generator)
    images = cover(images, config.paste, generator, from_batch=True)
    return cover(images, config.erase, generator, from_batch=False)


def random_flip(images: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Mirror each image with the given chance."""
    chosen = _uniform(len(images), generator) < chance
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def pad_and_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `padding` pixels, black where nothing was."""
    if padding == 0:
        return images
    n, _, h, w = images.shape
    padded = F.pad(images, (padding,) * 4)
    shifts = torch.randint(0, 2 * padding + 1, (n, 2), generator=generator).tolist()
    return torch.stack(
        [p[:, y : y + h, x : x + w] for p, (y, x) in zip(padded, shifts, strict=True)]
    )


def colour_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and the balance of the channels."""
    if strength == 0:
        return images
    n = len(images)
    gains = 1 + strength * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1) * 0.5
    contrast = 1 + strength * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    brightness = 1 + strength * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (((images - mean) * contrast + mean) * brightness * gains).clamp(0, 1)


def cover(images: Tensor, chance: float, generator: torch.Generator, *, from_batch: bool) -> Tensor:
    """Cover a rectangle of each chosen image.

    Without `from_batch`: random erasing (Zhong et al. 2020), area 2-40 %,
    aspect 0.3-3.3, filled with the ImageNet mean. With `from_batch`: another
    image of the batch lies over a border region (lower part, side, or upper
    part), as another person or an object would.
    """
    if chance == 0:
        return images
    out = images.clone()
    n, _, h, w = images.shape
    hit = (_uniform(n, generator) < chance).nonzero().flatten().tolist()
    fill = images.new_tensor(MEAN).view(3, 1, 1)
    for i in hit:
        top, left, height, width = (
            _border_patch(h, w, generator) if from_batch else _free_patch(h, w, generator)
        )
        if from_batch:
            other = int(torch.randint(0, n, (1,), generator=generator))
            # Take the occluder's pixels from elsewhere in the donor, so that parts do not match.
            dy = int(torch.randint(0, h - height + 1, (1,), generator=generator))
            dx = int(torch.randint(0, w - width + 1, (1,), generator=generator))
            patch = images[other, :, dy : dy + height, dx : dx + width]
        else:
            patch = fill
        out[i, :, top : top + height, left : left + width] = patch
    return out


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator)


def _border_patch(h: int, w: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    kind, size = torch.rand(2, generator=generator).tolist()
    if kind < 0.5:  # legs hidden, the commonest case behind cars, desks and hedges
        height = max(1, int(h * (0.15 + 0.45 * size)))
        return h - height, 0, height, w
    if kind < 0.85:  # somebody beside
        width = max(1, int(w * (0.2 + 0.4 * size)))
        left = 0 if kind < 0.675 else w - width
        height = max(1, int(h * (0.6 + 0.4 * size)))
        return h - height, left, height, width
    height = max(1, int(h * (0.1 + 0.3 * size)))
    return 0, 0, height, w


def _free_patch(h: int, w: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    for _ in range(20):
        area, aspect, y, x = torch.rand(4, generator=generator).tolist()
        target = h * w * (0.02 + 0.38 * area)
        ratio = 0.3 * (3.3 / 0.3) ** aspect
        height, width = round((target * ratio) ** 0.5), round((target / ratio) ** 0.5)
        if 0 < height < h and 0 < width < w:
            return int(y * (h - height)), int(x * (w - width)), height, width
    return 0, 0, 1, 1
