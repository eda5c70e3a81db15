"""From the command to the first metric of the repository's grid.json, and the commands that train nothing.

    python -m benchmarks.first_metric --rounds 5

The time from the start of `raysweep run grid.json` to the line of the first epoch, against that of a script which
starts Ray and trains one epoch in a worker; then that of `plan`, `--help`, and `run` with nothing left to do.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from benchmarks.benchmark import Benchmark
from benchmarks.contest import ROOT, Contender, alternate, run
from benchmarks.table import Findings, Row

RAYSWEEP = (sys.executable, "-m", "raysweep")
GRID = str(ROOT / "grid.json")
EPOCH = "epoch 1:"
# the commands that are to be quick, and in how many seconds
QUICK = {"plan grid.json": 0.3, "--help": 0.3, "run, nothing left to do": 1.0}


def measure(options: Namespace) -> Findings:
    """The first metric, then the quick commands."""
    contenders = [
        Contender("raysweep", [*RAYSWEEP, "run", GRID, "--runs", "runs"], until=EPOCH),
        Contender("floor", [sys.executable, "-m", "benchmarks.contenders.first_epoch"], until=EPOCH),
    ]
    ours, theirs = ([m.seconds for m in taken] for taken in alternate(contenders, options.rounds).values())
    first = Row("first metric of grid.json", ours, "ray.init, a worker, one epoch", theirs, at_most=1.3)
    return Findings([first, *_quick(options.rounds)])


def _quick(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="first-metric-") as folder:
        done = [*RAYSWEEP, "run", GRID, "--runs", str(Path(folder, "runs")), "--set", "epochs=1"]
        run(Contender("run", done))
        commands = [[*RAYSWEEP, "plan", GRID], [*RAYSWEEP, "--help"], done]
        contenders = [Contender(name, command) for name, command in zip(QUICK, commands, strict=True)]
        measures = alternate(contenders, rounds)
    return [Row(name, [m.seconds for m in measures[name]], at_most=bound) for name, bound in QUICK.items()]


BENCHMARK = Benchmark(__doc__, {}, measure)

if __name__ == "__main__":
    BENCHMARK.main()
