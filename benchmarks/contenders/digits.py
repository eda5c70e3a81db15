"""Networks on the handwritten digits, as a training function that calls raysweep.fit, and as parts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import raysweep

Pair = tuple[Tensor, Tensor]


def load() -> tuple[Pair, Pair]:
    """1,500 images to train on and 297 to validate on, 64 values each."""
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images, targets = torch.tensor(values, dtype=torch.float32) / 16, torch.tensor(labels)
    return (images[:1500], targets[:1500]), (images[1500:], targets[1500:])


def linear(hidden: Sequence[int]) -> nn.Module:
    """Linear layers of these sizes, 64 values to 10 classes."""
    sizes = [64, *hidden, 10]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def fit(network: nn.Module, training: Pair, validation: Pair, config: Mapping[str, Any]) -> None:
    """Train it as all of these are trained."""
    raysweep.fit(
        network,
        optimizer=torch.optim.Adam(network.parameters(), lr=config["lr"]),
        train=training,
        validation=validation,
        epochs=config["epochs"],
        batch_size=32,
    )


def train(config: Mapping[str, Any]) -> None:
    """The training function."""
    training, validation = raysweep.shared(load)
    fit(linear(config["hidden"]), training, validation, config)
