"""A training that uses every random generator there is, and logs each epoch that it begins; see faults.py."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import raysweep


def train(config: dict[str, Any]) -> None:
    """Dropout, shuffling, noise from numpy, flips by Python's generator, a learning rate that decays."""
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    loader = DataLoader(data, batch_size=config["batch_size"], shuffle=True)
    network = nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"])
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    recorder = raysweep.Recorder(network, optimizer=optimizer, scheduler=scheduler)
    for epoch in recorder.epochs(config["epochs"]):
        with Path(config["log"]).open("a") as log:
            log.write(f"{config['lr']} {config['seed']} {epoch}\n")
        for inputs, targets in recorder.batches(loader):
            noisy = inputs + torch.from_numpy(np.random.normal(0, 0.05, inputs.shape)).float()
            predictions = network(noisy.flip(0) if random.random() < 0.5 else noisy)
            loss = functional.cross_entropy(predictions, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
            recorder.count(loss, predictions, targets)
        scheduler.step()
