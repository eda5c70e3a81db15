"""Training functions for tests of sweeps; `log` in a configuration is a file that gets one line per epoch."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

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


def sparse(config: dict[str, Any]) -> None:
    """Reports the loss after every second epoch only, and a text in its place after the first."""
    for epoch in range(1, config["epochs"] + 1):
        raysweep.report({"time": 1.0} | ({"loss": config["x"] / epoch} if epoch % 2 == 0 else {}))


def named(config: dict[str, Any]) -> None:
    """Reports a metric whose name is Ray Tune's own for something else."""
    for epoch in range(1, config["epochs"] + 1):
        raysweep.report({"done": config["x"] / epoch})


def silent(config: dict[str, Any]) -> None:
    """Never reports and never ends."""
    while True:
        time.sleep(0.1)


def bowl(config: dict[str, Any]) -> dict[str, float]:
    """A loss with its least at x = 0.3, y = 2; a seed shifts it, and it fails at small x where it is told to."""
    if config["x"] < config.get("fails_below", -2):
        raise ValueError("x is too small")
    return {"loss": (config["x"] - 0.3) ** 2 + abs(config["y"] - 2) + config.get("seed", 0)}
