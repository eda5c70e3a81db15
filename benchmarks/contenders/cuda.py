"""Sweeps of a training that only touches its GPU: what a CUDA context for each trial costs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

SLOTS = 2  # trials at a time, on halves of one GPU


def touch(config: dict[str, Any]) -> dict[str, float]:
    """Make a context, or find one, and multiply two matrices."""
    import torch

    started = time.perf_counter()
    matrix = torch.full((1024, 1024), config["x"] / 1e6, device="cuda")
    loss = float((matrix @ matrix).sum())
    return {"loss": loss, "ready": time.perf_counter() - started}


def train_tune(config: dict[str, Any]) -> None:
    """The training, under Ray Tune."""
    from ray import tune

    tune.report(touch(config))


def run_raysweep(trials: int) -> dict[str, Any]:
    """A raysweep sweep, each trial in a process of its own."""
    import ray

    import raysweep
    from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT
    from raysweep.sweepfile.spec import check

    os.environ.update(DRIVER_ENVIRONMENT | WORKER_ENVIRONMENT)
    ray.init(num_cpus=SLOTS, num_gpus=1, include_dashboard=False, log_to_driver=False)
    content = {
        "name": "touch",
        "trainable": f"{__name__}:touch",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": list(range(1, trials + 1))},
        "resources": {"cpu": 1, "gpu": 1 / SLOTS},
    }
    started = time.perf_counter()
    results = raysweep.run(check(content, "touch"), runs=Path("runs"))
    seconds = time.perf_counter() - started
    history = results.history()
    assert len(history) == trials
    return {"seconds": seconds, "ready": float(history["ready"].median())}


def run_tune(trials: int) -> dict[str, Any]:
    """The same with Ray Tune, its actors reused."""
    import ray
    from ray import tune

    ray.init(num_cpus=SLOTS, num_gpus=1, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter()
    tuner = tune.Tuner(
        tune.with_resources(train_tune, {"cpu": 1, "gpu": 1 / SLOTS}),
        param_space={"x": tune.grid_search(list(range(1, trials + 1)))},
        tune_config=tune.TuneConfig(metric="loss", mode="min", reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(Path("runs").resolve()), verbose=0),
    )
    frame = tuner.fit().get_dataframe()
    seconds = time.perf_counter() - started
    assert len(frame) == trials
    return {"seconds": seconds, "ready": float(frame["ready"].median())}
