"""What more hosts bring: one sweep on Fashion-MNIST from a laptop, on one host and on several, each of one CPU.

    python -m benchmarks.hosts --hosts 1 3        # as root, in the checkout

The hosts are those of the tests, made of namespaces, and `ray up` starts their cluster. They share the cores of this
machine, and no more than these can be gained. A wall time is that of `raysweep run --cluster`, from shipping the sweep
to the results in ./runs; `training` is from the first trial's start to the last one's end.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.machines import Hosts, Laptop, cluster_file, nodes, wait_for

SWEEP: dict[str, Any] = {
    "name": "fashion",
    "trainable": "raysweep.vision:train",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {
        "dataset": "fashion_mnist",
        "network": "lenet",
        "lr": [0.01, 0.003, 0.001],
        "batch_size": [64, 128, 256],
    },
    "resources": {"cpu": 1},
}


@contextmanager
def cluster(count: int) -> Iterator[Laptop]:
    """A cluster of so many hosts that all train, seen from a laptop."""
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        hosts = Hosts(Path(folder))
        try:
            hosts.up(count)
            hosts.write("cli", "~/cluster.yaml", yaml.safe_dump(cluster_file(workers=count - 1)))
            laptop = Laptop(hosts)
            laptop.start_cluster()
            wait_for(lambda: nodes(hosts) == count, 300)
            yield laptop
        finally:
            hosts.down()


def measure(laptop: Laptop, sweep: dict[str, Any]) -> tuple[float, float, Counter[str]]:
    """The wall time of a sweep, the seconds of training, and how many trials each host trained."""
    laptop.hosts.write("cli", "~/project/fashion.json", json.dumps(sweep))
    started = time.monotonic()
    laptop.start("run fashion.json")
    code, told = laptop.wait(3600)
    wall = time.monotonic() - started
    assert code == 0, told
    records = laptop.records("fashion")
    training = max(record["ended"] for record in records) - min(record["started"] for record in records)
    return wall, training, Counter(record["host"] for record in records)


def main() -> None:
    """Measure on each number of hosts, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--limit", type=int, default=30_000, help="of the images that are trained on")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    parameters = {**SWEEP["parameters"], "limit": options.limit, "epochs": options.epochs}
    walls: dict[int, float] = {}
    for count in options.hosts:
        load = os.getloadavg()[0]
        with cluster(count) as laptop:
            walls[count], training, trials = measure(laptop, {**SWEEP, "parameters": parameters})
        each = ", ".join(f"{host} {number}" for host, number in sorted(trials.items()))
        told = f"{count} hosts: {walls[count]:6.1f} s, training {training:6.1f} s; trials: {each}"
        print(f"{told} (load before: {load:.1f})", flush=True)
    first, last = options.hosts[0], options.hosts[-1]
    print(f"{last} hosts are {walls[first] / walls[last]:.2f} times as fast as {first}; ", end="")
    print(f"this machine has {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
