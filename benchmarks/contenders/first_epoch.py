"""The least that comes before a first metric on Ray: ray.init, a worker, `import torch`, one epoch on the digits."""

from __future__ import annotations

from typing import Any

import ray


def train() -> dict[str, float]:
    """One epoch of the first trial of the repository's grid.json, as examples/plain_loop.py trains it."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    small = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    large, targets = F.interpolate(small, (28, 28), mode="bilinear"), torch.tensor(labels)
    parts = train_test_split(np.arange(len(labels)), test_size=297, stratify=labels, random_state=0)
    data, test = (torch.utils.data.TensorDataset(large[part], targets[part]) for part in parts)

    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(192, 120), nn.ReLU(), nn.Linear(120, 60), nn.ReLU(), nn.Linear(60, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for batch, expected in torch.utils.data.DataLoader(data, batch_size=32, shuffle=True):
        loss = F.cross_entropy(network(batch), expected)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    with torch.no_grad():
        seen, wanted = test[:]
        return {"val_accuracy": float((network(seen).argmax(dim=1) == wanted).float().mean())}


def main() -> None:
    """Start Ray, train in a worker, print."""
    ray.init(include_dashboard=False, log_to_driver=False)
    worker: Any = ray.remote(num_cpus=1)(train)
    print("epoch 1:", ray.get(worker.remote()), flush=True)


if __name__ == "__main__":
    main()
