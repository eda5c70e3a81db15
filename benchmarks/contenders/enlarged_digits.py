"""Convolutional networks on the handwritten digits, enlarged, which lie on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

import raysweep
from benchmarks.contenders.digits import Pair, fit, load


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


def enlarge(pair: Pair, channels: int, size: int) -> Pair:
    """The digits as N x channels x size x size, on the GPU."""
    images = functional.interpolate(pair[0].view(-1, 1, 8, 8), size=(size, size), mode="bilinear")
    return images.expand(-1, channels, -1, -1).contiguous().cuda(), pair[1].cuda()


def train(config: Mapping[str, Any]) -> None:
    """The training function."""
    networks: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
        "lenet": (lenet, 1, 28),
        "resnet18 / 4": (Quarter, 3, 32),
    }
    build, channels, size = networks[config["network"]]
    training, validation = (enlarge(pair, channels, size) for pair in raysweep.shared(load))
    fit(build().cuda(), training, validation, config)
