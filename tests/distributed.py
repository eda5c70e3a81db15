"""Training functions that several processes of a trial run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

import raysweep


def load() -> torch.Tensor:
    return torch.arange(8.0)


def train(config: Mapping[str, Any]) -> None:
    """The mean of 0 to 7, learnt by two processes that have four each; `do` says what rank 1 does in epoch 2."""
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    data = raysweep.shared(load)[rank::size]
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    distributed = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.25)
    recorder = raysweep.Recorder(network, optimizer=optimizer)
    for epoch in recorder.epochs(config["epochs"]):
        if epoch == 2 and rank:
            misbehave(config["do"])
        loss = mse_loss(distributed(torch.ones(4, 1)), data[:, None])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        recorder.count(loss, size=4)
        recorder.metrics(mean=network.weight.sum(), threads=torch.get_num_threads())
    if rank == 0 and config["do"] == "raise last":
        raise ValueError("rank 0 fails by itself")


def misbehave(what: str) -> None:
    if what == "raise":
        raise ValueError("rank 1 has no luck")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "print":
        print("rank 1 was here")


def stuck(config: Mapping[str, Any]) -> None:
    """Rank 1 fails, and rank 0 waits for it in vain."""
    if os.environ["RANK"] == "1":
        raise ValueError(f"rank 1 of {os.environ['WORLD_SIZE']} has no luck")
    raysweep.report({"mean": 0.0})
    time.sleep(300)
