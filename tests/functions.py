"""Training functions for tests of sweeps; `log` in a configuration is a file that gets one line per epoch."""

from __future__ import annotations

import importlib
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import tune

import raysweep


def counted(config: dict[str, Any]) -> None:
    """Reports `epochs` times with a checkpoint, and goes on from the last one."""
    folder = raysweep.checkpoint()
    done = json.loads((folder / "epoch.json").read_text()) if folder else 0
    for epoch in range(done + 1, config["epochs"] + 1):
        time.sleep(config.get("pause", 0))
        _misbehave(config, epoch)
        with Path(config["log"]).open("a") as log:
            log.write(f"{config['x']} {epoch}\n")
        with tempfile.TemporaryDirectory() as checkpoint:
            Path(checkpoint, "epoch.json").write_text(json.dumps(epoch))
            raysweep.report({"loss": config["x"] / epoch}, checkpoint=checkpoint)


def _misbehave(config: dict[str, Any], epoch: int) -> None:
    """At epoch 2, what `bad` says; once only where `once` names a file that is not there yet."""
    kind = config.get("bad")
    if kind is None or epoch != 2 or config["x"] != config.get("bad_x", config["x"]):
        return
    if "once" in config:
        if Path(config["once"]).exists():
            return
        Path(config["once"]).touch()
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "hang":
        while True:
            time.sleep(0.1)
    elif kind == "memory":
        raise MemoryError
    else:
        raise ValueError(f"no luck with {config['x']}")


def silent(config: dict[str, Any]) -> None:
    """Never reports and never ends."""
    while True:
        time.sleep(0.1)


def surroundings(config: dict[str, Any]) -> None:
    """Reports what a trial finds in its process, and leaves a mess."""
    # the name is put together so that nothing tells before it runs that it will import torch
    torch = importlib.import_module("tor" + "ch")
    print("hello from", config["x"])
    raysweep.report(
        {
            "loss": float(torch.rand(1)),
            "threads": torch.get_num_threads(),
            "grad": torch.is_grad_enabled(),
            "double": torch.get_default_dtype() == torch.float64,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "cwd": str(Path.cwd()),
            "process": os.getpid(),
        }
    )
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(123)
    torch.set_num_threads(3)


class Stepper(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """A class trainable that counts its steps, and keeps the count in its checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        self.count = 0
        self.log = Path(config["log"])

    def step(self) -> dict[str, Any]:
        self.count += 1
        with self.log.open("a") as log:
            log.write(f"{self.config['x']} {self.count}\n")
        return {"loss": 1 / self.count, "nested": {"count": self.count}}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "count.json").write_text(json.dumps(self.count))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.count = json.loads(Path(checkpoint, "count.json").read_text())
