"""One's own training: own network, own data, own loop. Recorder keeps the books.

raysweep run examples/own/grid.yaml    the sweep
python examples/own/train.py           one training, as an ordinary script
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import raysweep

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Classifier(nn.Sequential):
    """Linear layers of the given sizes, with ReLU and dropout between them."""

    def __init__(self, inputs: int, hidden: list[int], classes: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for before, after in zip([inputs, *hidden], hidden, strict=False):  # the last of the first has no next
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(hidden[-1], classes))


def load_data() -> tuple[TensorDataset, TensorDataset]:
    """569 samples of 30 measurements each, standardised, in 2 classes; a fifth is for validation."""
    measured, labels = load_breast_cancer(return_X_y=True)
    features, targets = torch.tensor(measured, dtype=torch.float32), torch.tensor(labels)
    train, validation = (
        torch.tensor(part) for part in train_test_split(range(len(labels)), test_size=0.2, random_state=0)
    )
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], targets[train]), TensorDataset(features[validation], targets[validation])


def train(config: Mapping[str, Any]) -> None:
    """Train one network; raysweep calls this with the parameters of one trial."""
    torch.manual_seed(config["seed"])
    training, validation = raysweep.shared(load_data)  # once for all trials on a machine
    loader = DataLoader(training, batch_size=config["batch_size"], shuffle=True)
    network = Classifier(30, config["hidden"], 2, config["dropout"])
    optimizer = OPTIMIZERS[config["optimizer"]["name"]](network.parameters(), lr=config["optimizer"]["lr"])

    recorder = raysweep.Recorder(network, optimizer=optimizer)
    for _ in recorder.epochs(config["epochs"]):
        network.train()
        for features, targets in recorder.batches(loader):
            predictions = network(features)
            loss = F.cross_entropy(predictions, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimizer.step()
            recorder.count(loss, predictions, targets)

        network.eval()
        with torch.no_grad():
            features, targets = validation.tensors
            predictions = network(features)
            accuracy = (predictions.argmax(1) == targets).float().mean()
            recorder.metrics(val_loss=F.cross_entropy(predictions, targets), val_accuracy=accuracy)


if __name__ == "__main__":
    train(
        {
            "hidden": [16],
            "dropout": 0.2,
            "optimizer": {"name": "adam", "lr": 0.01},
            "batch_size": 32,
            "epochs": 5,
            "seed": 0,
        }
    )
