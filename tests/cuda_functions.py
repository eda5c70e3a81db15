"""Training functions for tests on a GPU."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import raysweep


def seen(config: dict[str, Any]) -> dict[str, Any]:
    """What a trial sees of GPUs, and what it finds set; it then sets all of it for those after it to find."""
    found = {
        "loss": 0.0,
        "process": os.getpid(),
        "gpus": torch.cuda.device_count(),
        "initialized": str(torch.cuda.is_initialized()),  # type: ignore[no-untyped-call]  # torch leaves it so
        "benchmark": str(torch.backends.cudnn.benchmark),
        "deterministic": str(torch.backends.cudnn.deterministic),
        "tf32": str(torch.backends.cuda.matmul.allow_tf32),
        "precision": torch.get_float32_matmul_precision(),
        "default": str(torch.get_default_device()),
    }
    if torch.cuda.is_available():
        found["allocated"] = torch.cuda.memory_allocated()
        found["drawn"] = str(torch.rand(3, device="cuda").tolist())
        global kept  # noqa: PLW0603  # left behind on purpose: the memory that a next trial must not find taken
        kept = torch.zeros(config.get("megabytes", 1) * 2**20, dtype=torch.uint8, device="cuda")
        torch.set_default_device("cuda")
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True
    torch.set_float32_matmul_precision("medium")
    return found


kept: torch.Tensor | None = None


def greedy(config: dict[str, Any]) -> float:
    """Holds a share of the GPU's memory for a second."""
    total = torch.cuda.mem_get_info()[1]
    held = torch.empty(int(total * config["share"]), dtype=torch.uint8, device="cuda")
    time.sleep(1)
    return float(len(held)) / total


def asserting(config: dict[str, Any]) -> float:
    """Breaks the CUDA context of its process with an index that is out of range, or works as it should."""
    table, index = torch.zeros(4, device="cuda"), torch.tensor([config["index"]], device="cuda")
    return float(table[index].sum())


def learning(config: dict[str, Any]) -> None:
    """A network with dropout, its state on the GPU; dies once where `dies` names a file that is not there yet."""
    torch.use_deterministic_algorithms(True)
    data = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 20, generator=data).cuda()
    targets = inputs[:, :4].argmax(1)
    layers = [torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(32, 4)]
    network = torch.nn.Sequential(*layers).cuda()
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"])
    recorder = raysweep.Recorder(network, optimizer=optimizer)
    for epoch in recorder.epochs(config["epochs"]):
        if epoch == 3 and config.get("dies") and not Path(config["dies"]).exists():
            Path(config["dies"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        predictions = network(inputs)
        loss = cross_entropy(predictions, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimizer.step()
        recorder.count(loss, predictions, targets)
        recorder.metrics(device=str(predictions.device))
