"""Training functions that call raysweep.fit, as sweep files name them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import raysweep
from raysweep.fusion.stack import Stack


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 6, generator=made, dtype=torch.float64)
    return inputs, (inputs[:, :3] @ torch.randn(3, 4, generator=made, dtype=torch.float64)).argmax(1)


def loss(scores: Any, labels: Any) -> Any:
    return functional.cross_entropy(scores, labels)


def fitted(config: Mapping[str, Any], of: Any = loss, hidden: int = 8) -> None:
    network = nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 4)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    raysweep.fit(
        network, optimizer=optimizer, schedule=schedule, loss=of, train=rows(64, 1), validation=rows(32, 2),
        epochs=config["epochs"], batch_size=16,
    )  # fmt: skip
    print("trained", config["seed"])


def killed(config: Mapping[str, Any]) -> None:
    """Kills its process once, in the third epoch of four batches."""
    marker = Path(config["marker"])
    batches = 0

    def killing(scores: Any, labels: Any) -> Any:
        nonlocal batches
        batches += torch.is_grad_enabled()
        if batches == 10 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(scores, labels)

    fitted(config, loss if marker.exists() else killing)


def deadly(config: Mapping[str, Any]) -> None:
    """With seed 1 it kills its process whenever it has trained."""
    fitted(config)
    if config["seed"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def greedy(config: Mapping[str, Any]) -> None:
    """Needs more memory than there is where more than two trials are one program."""

    def needing(scores: Any, labels: Any) -> Any:
        if isinstance(scores, Stack) and scores.size_of_group > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss(scores, labels)

    fitted(config, needing)


def mixed(config: Mapping[str, Any]) -> None:
    """By seed: alike, failing before or after, of another shape, with a loop of its own."""
    match config["seed"]:
        case 2:
            raise ValueError("not this one")
        case 4:
            fitted(config, hidden=5)
        case 5:
            raysweep.report({"loss": float(torch.rand(1))})
        case _:
            fitted(config)
    if config["seed"] == 3:
        raise ValueError("not after all")


def slow(config: Mapping[str, Any]) -> None:
    """Waits in each batch for as long as the parameter says."""
    import time

    def waiting(scores: Any, labels: Any) -> Any:
        time.sleep(config["wait"])
        return loss(scores, labels)

    fitted(config, waiting)
