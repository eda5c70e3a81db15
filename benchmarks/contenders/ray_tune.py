"""Ray Tune as its PyTorch tutorial has it: a report and a checkpoint per epoch; with `reuse`, actors are reused."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from benchmarks.contenders.fashion import POINTS, Settings, fit, made


def train(config: dict[str, Any], settings: Settings) -> None:
    """Train one point."""
    torch.set_num_threads(1)
    network, optimizer = made(config)
    for _, metrics in fit(config, settings, network, optimizer):
        with tempfile.TemporaryDirectory() as folder:
            states = (network.state_dict(), optimizer.state_dict())
            torch.save(states, Path(folder) / "checkpoint.pt")
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def main(path: str, reuse: str = "") -> None:
    """Train all points."""
    settings = Settings.read(path)
    ray.init(num_cpus=settings.slots)
    results = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, settings=settings), {"cpu": 1}),
        param_space={name: tune.grid_search(values) for name, values in settings.grid.items()},
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", reuse_actors=reuse == "reuse"),
        run_config=tune.RunConfig(storage_path=str(Path.cwd())),
    ).fit()
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    found = [{**result.config, **{name: result.metrics[name] for name in names}} for result in results]
    Path(POINTS).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
