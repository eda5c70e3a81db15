"""Random changes to a batch of images, all at once, on the device that it is on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MARGIN = 8  # a crop moves an image by up to this part of its height and width: by 4 pixels of CIFAR-10's 32


def augmented(images: Tensor, how: str, seed: int, step: int) -> Tensor:
    """The images, each flipped with probability 1/2, and moved about as well where `how` says so.

    What is drawn is a function of the seed and the step: it takes nothing from other random generators, a trial that
    goes on draws what it would have drawn, and so does one on another device.

    Args:
        images: (N, C, H, W), on any device.
        how: none, flip or crop-flip. Cropping pads with zeros, by an eighth of the size (He et al. 2015,
            arXiv:1512.03385, section 4.2).
        seed: of the trial.
        step: which of the training's, from 0.
    """
    if how == "none":
        return images
    draws = _draws(len(images), seed, step).to(images.device, non_blocking=True)
    flipped = torch.where(draws[0, :, None, None, None] < 0.5, images.flip(3), images)
    return _moved(flipped, draws[1:]) if how == "crop-flip" else flipped


def _draws(count: int, seed: int, step: int) -> Tensor:
    """(3, N) float32 in [0, 1), made on the CPU."""
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1)[0])
    return torch.rand(3, count, generator=torch.Generator().manual_seed(mixed))


def _moved(images: Tensor, draws: Tensor) -> Tensor:
    """Each image moved by its own whole number of pixels; `draws` is (2, N), in [0, 1)."""
    count, channels, height, width = images.shape
    down, right = (max(1, size // MARGIN) for size in (height, width))
    padded = functional.pad(images, (right, right, down, down))
    rows = _window(draws[0], down, height)[:, None, :, None]
    columns = _window(draws[1], right, width)[:, None, None, :]
    index = (rows * padded.shape[3] + columns).expand(count, channels, height, width)
    picked = padded.contiguous().flatten(2).gather(2, index.reshape(count, channels, -1))
    return picked.reshape(images.shape).contiguous(memory_format=_layout(images))


def _window(draws: Tensor, margin: int, size: int) -> Tensor:
    """(N, size): the pixels that stay, of `size + 2 * margin`."""
    starts = (draws * (2 * margin + 1)).long()
    return starts[:, None] + torch.arange(size, device=draws.device)


def _layout(images: Tensor) -> torch.memory_format:
    channels_last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format
