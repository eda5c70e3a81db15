"""What the driver spends on a trial and on a report, by how many trials run at once on how many nodes.

    python -m benchmarks.scaling --slots 2 8 32 96

The nodes are raylets on this machine, and the trials sleep, so that what grows is the driver's work alone: its
processor time from when the first quarter of the trials has ended to the end, divided by the trials in between. Two
numbers of reports tell what of it is a report's.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

import raysweep
from raysweep.driver.progress import Progress
from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT
from raysweep.plan.trials import Trial
from raysweep.store.records import State, TrialError
from raysweep.sweepfile.spec import check

ROOT = Path(__file__).parent.parent
PER_NODE = 16  # trials at once on one node, such as four on each of four GPUs
ROUNDS = 4  # trials that each slot runs, one after the other
PAUSE = 0.5  # seconds between reports, longer than the driver gathers them for
FEW, MANY = 2, 6  # reports of a trial


class Spent(Progress):
    """The driver's processor time whenever a trial has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def ended(self, trial: Trial, state: State, error: TrialError | None) -> None:
        """A trial has ended."""
        super().ended(trial, state, error)
        self.times.append(time.process_time())

    def per_trial(self) -> float:
        """Seconds for one trial, once processes and imports are there."""
        first = len(self.times) // 4
        return (self.times[-1] - self.times[first]) / (len(self.times) - 1 - first)


def measure(slots: int, reports: int) -> float:
    """Seconds of the driver's processor time for one trial."""
    os.environ.update(DRIVER_ENVIRONMENT | WORKER_ENVIRONMENT | {"RAY_AUTH_MODE": "disabled"})
    options = {"include_dashboard": False, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    for start in range(0, slots, PER_NODE):
        cluster.add_node(num_cpus=min(PER_NODE, slots - start), object_store_memory=100_000_000)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    content = {
        "name": "sleep",
        "trainable": "benchmarks.contenders.noop:train_raysweep",
        "metric": {"name": "loss0", "goal": "minimize"},
        "parameters": {
            "x": list(range(1, slots * ROUNDS + 1)),
            "reports": reports,
            "scalars": 1,
            "pause": PAUSE,
            "log": "",
        },
    }
    spent = Spent()
    with tempfile.TemporaryDirectory() as folder:
        results = raysweep.run(check(content, "sleep"), runs=Path(folder), directory=ROOT, progress=spent)
        assert len(results.history()) == slots * ROUNDS * reports
    ray.shutdown()
    cluster.shutdown()
    return spent.per_trial()


def main() -> None:
    """Measure each number of slots in a process of its own, and print what a trial and a report cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8, 32, 96])
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one))
        return
    for slots in options.slots:
        few, many = (_apart(slots, reports) for reports in (FEW, MANY))
        report = (many - few) / (MANY - FEW)
        print(
            f"{slots:4} trials at once on {-(-slots // PER_NODE):2} nodes: {few * 1000:.1f} ms of the driver for a "
            f"trial with {FEW} reports, {report * 1000:.1f} ms for each further one",
            flush=True,
        )


def _apart(slots: int, reports: int) -> float:
    command = [sys.executable, "-m", "benchmarks.scaling", "--one", str(slots), str(reports)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(told.splitlines()[-1])


if __name__ == "__main__":
    main()
