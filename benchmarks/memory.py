"""What trials side by side hold of memory: eight on Fashion-MNIST, against one and seven processes without data.

    python -m benchmarks.memory --trials 8 --rounds 5

The sum of the proportional set sizes of all trials' processes, looked at from outside while all of them train; a page
that several processes share counts once, and so this wants a machine on which nothing else uses the same Python. What
seven more processes take without data is what eight actors take more than one that have imported what a trial does.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks import processes
from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import started
from benchmarks.table import Findings, Row

LOOKS = 5  # at the memory, a second apart
TITLE = "ray::"  # begins the title of each of Ray's workers
OTHERS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")  # that hold no trial and no data


def measure(options: Namespace) -> Findings:
    """Many trials, one trial, and what more processes take without data."""
    many, one, more = [], [], []
    for _ in range(options.rounds):
        many.append(_trials(options.trials, options.limit))
        one.append(_trials(1, options.limit))
        more.append(_bare(options.trials) - _bare(1))
    allowed = [trial + others for trial, others in zip(one, more, strict=True)]
    name = f"one, and {options.trials - 1} processes without data"
    told = f"memory: one trial alone takes {median(one):.0f} MiB, {options.trials - 1} processes {median(more):.0f} MiB"
    return Findings([Row(f"memory of {options.trials} trials", many, name, allowed, "MiB", at_most=1.3)], [told])


def _trials(count: int, limit: int) -> float:
    """MiB of so many trials that train side by side."""
    parameters = {"dataset": "fashion_mnist", "limit": limit, "epochs": 1_000_000, "seed": list(range(count))}
    content = {
        "name": "memory",
        "trainable": "raysweep.vision:train",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": {name: value for name, value in parameters.items() if value},
        "resources": {"cpu": (os.cpu_count() or 1) / count if count > 1 else 1},
    }

    def all_train(text: str) -> bool:
        return len(set(re.findall(r"^(.*): epoch 1:", text, re.MULTILINE))) == count

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "memory.json").write_text(json.dumps(content))
        return _weigh([sys.executable, "-m", "raysweep", "run", "memory.json"], Path(folder), all_train, count)


def _bare(count: int) -> float:
    """MiB of so many actors without data."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.contenders.bare", str(count)]
        return _weigh(command, Path(folder), lambda text: "ready" in text, count)


def _weigh(command: Sequence[str], folder: Path, ready: Callable[[str], bool], count: int) -> float:
    """MiB of all workers together, the median of some looks once they are `ready`."""
    found = []
    with started(command, folder) as live:
        live.wait_for(ready)
        for _ in range(LOOKS):
            time.sleep(1)
            workers = _workers(live.mark)
            if len(workers) < count:  # there may be more, to hold data for the trials
                raise RuntimeError(f"{len(workers)} workers are at work, not {count}")
            found.append(sum(map(processes.proportional, workers)) / 2**20)
    return median(found)


def _workers(mark: str) -> list[int]:
    """Ray's workers that have something to do, children of the raylet that was started."""
    alive = processes.marked(mark)
    workers = [pid for pid, title in alive.items() if title.startswith(TITLE) and not title.startswith(OTHERS)]
    return [pid for pid in workers if "raylet" in alive.get(processes.parent(pid), "")]


BENCHMARK = Benchmark(
    __doc__,
    {
        "trials": Option(8, 2, "side by side"),
        "limit": Option(60_000, 1000, "train on so many images"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
