"""Training functions for tests of sweeps on several nodes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

import raysweep
from raysweep.training.reporting import current_trial


def moving(config: dict[str, Any]) -> None:
    """Reports `epochs` times with a checkpoint, and which node each epoch was trained on."""
    folder = raysweep.checkpoint()
    done = json.loads((folder / "epoch.json").read_text()) if folder else 0
    trial = current_trial()
    assert trial is not None
    for epoch in range(done + 1, config["epochs"] + 1):
        time.sleep(config.get("pause", 0))
        print("epoch", epoch)
        with Path(config["log"]).open("a") as log:
            log.write(f"{config['x']} {epoch}\n")
        with tempfile.TemporaryDirectory() as checkpoint:
            Path(checkpoint, "epoch.json").write_text(json.dumps(epoch))
            Path(checkpoint, "empty").touch()
            Path(checkpoint, "more").mkdir()
            Path(checkpoint, "more", "large.bin").write_bytes(os.urandom(1000) * config.get("kilobytes", 1))
            node = ray.get_runtime_context().get_node_id()
            raysweep.report(
                {"loss": config["x"] / epoch, "node": node, "folder": str(trial.directory), "pid": os.getpid()},
                checkpoint=checkpoint,
            )


def gpus(config: dict[str, Any]) -> None:
    """Reports which GPUs the trial sees, and from when to when it ran: until so many have begun, or for a minute."""
    started, log = time.time(), Path(config["log"])
    with log.open("a") as file:
        file.write("begun\n")
    while len(log.read_text().splitlines()) < config["together"] and time.time() < started + 60:
        time.sleep(0.05)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
    raysweep.report({"loss": 0.0, "visible": f"<{visible}>", "started": started, "ended": time.time()})
