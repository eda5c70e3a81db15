"""Networks on the handwritten digits, as a training function that calls raysweep.fit, and as parts of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

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


def lenet() -> nn.Module:
    """LeNet-5 as of 1998, with ReLU and largest values."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Quarter(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """A ResNet-18 whose four layers have 16 to 128 channels."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=10)
        self.fc = nn.Linear(128, 10)

    def _make_layer(self, block: Any, planes: int, *rest: Any, **options: Any) -> nn.Sequential:
        layers: nn.Sequential = super()._make_layer(block, planes // 4, *rest, **options)
        return layers


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


def enlarge(pair: Pair, channels: int, size: int) -> Pair:
    """The digits as N x channels x size x size, on the GPU."""
    images = functional.interpolate(pair[0].view(-1, 1, 8, 8), size=(size, size), mode="bilinear")
    return images.expand(-1, channels, -1, -1).contiguous().cuda(), pair[1].cuda()


def train_on_gpu(config: Mapping[str, Any]) -> None:
    """The training function of convolutional networks; the enlarged digits lie on the GPU."""
    networks: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
        "lenet": (lenet, 1, 28),
        "resnet18 / 4": (Quarter, 3, 32),
    }
    build, channels, size = networks[config["network"]]
    training, validation = (enlarge(pair, channels, size) for pair in raysweep.shared(load))
    fit(build().cuda(), training, validation, config)


def train(config: Mapping[str, Any]) -> None:
    """The training function."""
    training, validation = raysweep.shared(load)
    fit(linear(config["hidden"]), training, validation, config)
