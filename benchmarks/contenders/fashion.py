"""The training that the contenders of the reference sweep have in common: the tutorials' own way with Fashion-MNIST.

torchvision's data set with ToTensor and Normalize, a DataLoader, the lenet, Adam, and a test after each epoch. Every
contender trains the same networks from the same seeds with the same batches in the same order, on one thread.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

TEST_BATCH = 250
POINTS = "points.json"  # what each contender leaves: one or more points of the grid with the last epoch's metrics


@dataclass(frozen=True)
class Settings:
    """What all contenders are told, in a JSON file.

    Attributes:
        root: torchvision's folder of data sets.
        limit: train on so many images, and test on a fifth as many, or all.
        mean, std: to normalise by.
        epochs: of each training.
        grid: the axes, by name.
        slots: how many trainings at once.
    """

    root: str
    limit: int
    mean: float
    std: float
    epochs: int
    grid: dict[str, list[Any]]
    slots: int

    @classmethod
    def read(cls, path: str) -> Settings:
        """The settings that a file holds."""
        return cls(**json.loads(Path(path).read_text()))

    def points(self) -> list[dict[str, Any]]:
        """All points of the grid."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


class Network(nn.Module):
    """The lenet of the tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 12, kernel_size=5)
        self.fc1 = nn.Linear(12 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 60)
        self.out = nn.Linear(60, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) to scores (N, 10)."""
        values = F.max_pool2d(F.relu(self.conv1(images)), 2)
        values = F.max_pool2d(F.relu(self.conv2(values)), 2)
        values = F.relu(self.fc1(values.flatten(1)))
        scores: Tensor = self.out(F.relu(self.fc2(values)))
        return scores


def data(settings: Settings) -> tuple[Dataset[Any], Dataset[Any]]:
    """What to train on and what to test on."""
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((settings.mean,), (settings.std,))])
    train, test = (datasets.FashionMNIST(settings.root, train=part, transform=prepare) for part in (True, False))
    test_limit = max(1, settings.limit // 5)
    return _first(train, settings.limit), _first(test, test_limit)


def _first(whole: Any, limit: int) -> Dataset[Any]:
    return whole if limit >= len(whole) else Subset(whole, range(limit))


def made(config: dict[str, Any]) -> tuple[nn.Module, Optimizer]:
    """A new network and its optimizer."""
    torch.manual_seed(0)
    network = Network()
    return network, torch.optim.Adam(network.parameters(), lr=config["lr"])


def fit(
    config: dict[str, Any], settings: Settings, network: nn.Module, optimizer: Optimizer
) -> Iterator[tuple[int, dict[str, float]]]:
    """Train, and yield each epoch with its metrics."""
    train, test = data(settings)
    loader = DataLoader(train, batch_size=config["batch_size"], shuffle=config["shuffle"])
    # a generator of its own, so that a test takes no random number from the next epoch's shuffle
    test_loader = DataLoader(test, batch_size=TEST_BATCH, generator=torch.Generator())
    for epoch in range(1, settings.epochs + 1):
        yield epoch, {**train_epoch(network, optimizer, loader), **evaluate(network, test_loader)}


def train_epoch(network: nn.Module, optimizer: Optimizer, batches: Iterable[Any]) -> dict[str, float]:
    """Train on batches; loss and accuracy of their images."""
    total_loss, correct, count = 0.0, 0, 0
    for images, labels in batches:
        scores = network(images)
        loss = F.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += int((scores.argmax(dim=1) == labels).sum())
        count += len(labels)
    return {"loss": total_loss / count, "accuracy": correct / count}


def evaluate(network: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """Loss and accuracy of the test images."""
    total_loss, correct, count = 0.0, 0, 0
    network.eval()
    with torch.no_grad():
        for images, labels in batches:
            scores = network(images)
            total_loss += F.cross_entropy(scores, labels, reduction="sum").item()
            correct += int((scores.argmax(dim=1) == labels).sum())
            count += len(labels)
    network.train()
    return {"val_loss": total_loss / count, "val_accuracy": correct / count}
