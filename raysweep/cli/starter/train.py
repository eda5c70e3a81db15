"""A training function: called once per trial with that trial's parameters."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import raysweep


def train(config):
    """Train a small network on handwritten digits."""
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    loader = DataLoader(data, batch_size=config["batch_size"], shuffle=True)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, config["hidden"]), torch.nn.ReLU(), torch.nn.Linear(config["hidden"], 10)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"])

    recorder = raysweep.Recorder(network, optimizer=optimizer)
    for _epoch in recorder.epochs(config["epochs"]):
        for inputs, targets in recorder.batches(loader):
            predictions = network(inputs)
            loss = torch.nn.functional.cross_entropy(predictions, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.count(loss, predictions, targets)


if __name__ == "__main__":
    train({"lr": 0.01, "batch_size": 64, "hidden": 32, "epochs": 3})
