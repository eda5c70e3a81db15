"""The floor: a bare loop over tensors in memory, the points dealt out perfectly, nothing recorded.

The images are loaded and normalised once, and the processes that train are forked: they share them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contenders.fashion import POINTS, TEST_BATCH, Settings, evaluate, made, train_epoch

Part = tuple[Tensor, Tensor]  # images (N, 1, 28, 28), normalised, and labels (N,)


def load(settings: Settings, name: str, limit: int) -> Part:
    """The first images of one part of the data set, and their labels."""
    folder = Path(settings.root, "FashionMNIST/raw")
    pixels = np.fromfile(folder / f"{name}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 1, 28, 28)[:limit]
    labels = np.fromfile(folder / f"{name}-labels-idx1-ubyte", np.uint8, offset=8)[:limit]
    images = (
        torch.from_numpy(pixels).float().div_(255).sub_(torch.tensor(settings.mean)).div_(torch.tensor(settings.std))
    )
    return images, torch.from_numpy(labels).long()


def batches(part: Part, size: int, shuffle: bool) -> Iterator[Part]:
    """The batches of one epoch, the very ones that a DataLoader makes."""
    images, labels = part
    torch.empty((), dtype=torch.int64).random_()  # a DataLoader draws a seed for its workers
    if not shuffle:
        yield from zip(torch.split(images, size), torch.split(labels, size), strict=True)
        return
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    for chosen in torch.split(order, size):
        yield images[chosen], labels[chosen]


def train(config: dict[str, Any], epochs: int, train_part: Part, test_part: Part) -> dict[str, Any]:
    """Train one point, and test it after each epoch."""
    network, optimizer = made(config)
    for _ in range(epochs):
        metrics = train_epoch(network, optimizer, batches(train_part, config["batch_size"], config["shuffle"]))
        tested = evaluate(network, zip(*(torch.split(values, TEST_BATCH) for values in test_part), strict=True))
    return {**config, **metrics, **tested}


def main(path: str) -> None:
    """Train all points."""
    torch.set_num_threads(1)
    settings = Settings.read(path)
    parts = load(settings, "train", settings.limit), load(settings, "t10k", max(1, settings.limit // 5))
    # small batches take longer: dealt out in the order of their size, they are as many in each process
    points = sorted(settings.points(), key=lambda config: int(config["batch_size"]))

    def work(number: int) -> None:
        found = [train(config, settings.epochs, *parts) for config in points[number :: settings.slots]]
        Path(f"{number}.json").write_text(json.dumps(found))

    processes = [multiprocessing.Process(target=work, args=(number,)) for number in range(settings.slots)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [point for number in range(settings.slots) for point in json.loads(Path(f"{number}.json").read_text())]
    Path(POINTS).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
