"""A loop with Hugging Face accelerate, swept: raysweep run examples/trainers/with_accelerate.json"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from raysweep.integrations.accelerate import Loop


def train(config):
    values, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16, dtype=torch.float32), torch.tensor(labels)
    loader = DataLoader(TensorDataset(inputs[:1500], targets[:1500]), batch_size=100, shuffle=True)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, config["hidden"]),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(config["hidden"], 10),
    )
    accelerator = Accelerator()
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"])
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    loop = Loop(accelerator)
    for _ in loop.epochs(config["epochs"]):
        network.train()
        for batch, expected in loader:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(network(batch), expected))
            optimizer.step()
        network.eval()
        with torch.no_grad():
            scores = network(inputs[1500:].to(accelerator.device)).cpu()
        loop.metrics(val_loss=F.cross_entropy(scores, targets[1500:]))
