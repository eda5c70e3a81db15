"""What a trial costs: no-op trainings with five reports, everything recorded, on two slots.

    python benchmarks/trials.py --trials 200 --rounds 5

Compares raysweep with Ray Tune (actors reused, its default loggers) in alternating rounds, each in a process of
its own, and prints seconds per trial, medians and their ratio. Starting Ray is left out of both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
REPORTS = 5


def run_raysweep(trials: int, folder: Path) -> float:
    """Seconds of a raysweep sweep, from the plan to the tables."""
    import ray

    import raysweep
    from raysweep.cluster import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT
    from raysweep.spec import check

    os.environ.update(DRIVER_ENVIRONMENT | WORKER_ENVIRONMENT)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    content = {
        "name": "noop",
        "trainable": "noop.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": list(range(1, trials + 1)), "reports": REPORTS},
    }
    started = time.perf_counter()
    results = raysweep.run(check(content, "noop"), runs=folder, directory=HERE)
    seconds = time.perf_counter() - started
    assert len(results.history()) == trials * REPORTS
    return seconds


def run_tune(trials: int, folder: Path) -> float:
    """Seconds of Ray Tune's own grid search, with actors reused and its default loggers."""
    import ray
    from ray import tune

    sys.path.insert(0, str(HERE))
    from noop import train

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter()
    results = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"x": tune.grid_search(list(range(1, trials + 1))), "reports": REPORTS},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(name="noop", storage_path=str(folder), verbose=0),
    ).fit()
    results.get_dataframe()
    return time.perf_counter() - started


WAYS = {"raysweep": run_raysweep, "ray tune, reused": run_tune}


def measure(way: str, trials: int) -> dict[str, Any]:
    """One round of one way, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", way, "--trials", str(trials), "--folder", folder]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {**json.loads(told.stdout.splitlines()[-1]), "bytes": size}


def main() -> None:
    """Measure all ways in turn and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        seconds = WAYS[options.one](options.trials, options.folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "driver": memory}))
        return
    rounds = [{way: measure(way, options.trials) for way in WAYS} for _ in range(options.rounds)]
    for way in WAYS:
        per_trial = median(r[way]["seconds"] for r in rounds) / options.trials * 1000
        memory = median(r[way]["driver"] for r in rounds) / 2**20
        disk = median(r[way]["bytes"] for r in rounds) / options.trials / 1024
        print(f"{way:18} {per_trial:7.1f} ms a trial   driver {memory:6.0f} MiB   {disk:6.1f} KiB a trial")
    ratios = [r["raysweep"]["seconds"] / r["ray tune, reused"]["seconds"] for r in rounds]
    print(f"raysweep / ray tune: median {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
