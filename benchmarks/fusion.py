"""What `fuse` gains: a sweep over learning rates and seeds as a whole command, everything recorded, on two slots.

    python -m benchmarks.fusion --epochs 20 --rounds 5

The digits, linear networks, Adam, batches of 32, validated after each epoch; fused and not, in alternating rounds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import ROOT, Contender, alternate
from benchmarks.table import Findings, Row

GOALS = {"64-32-10": ([32], 5.0), "64-128-64-10": ([128, 64], 3.0)}  # hidden layers, and how many times faster


def measure(options: Namespace) -> Findings:
    """Each network in turn."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="fusion-") as name:
        for network, (hidden, goal) in GOALS.items():
            contenders = [
                Contender(way, [sys.executable, "-m", "raysweep", "run", str(sweep(Path(name), hidden, fuse, options))])
                for way, fuse in (("fused", "auto"), ("one by one", False))
            ]
            seconds = {way: [m.seconds for m in taken] for way, taken in alternate(contenders, options.rounds).items()}
            ours, theirs = seconds.values()
            what = f"{options.rates * options.seeds} trials of {network}, fused"
            rows.append(Row(what, ours, "one by one", theirs, at_most=1 / goal, goal=f"{goal:g} x faster"))
    return Findings(rows, [f"fused: {options.rates} learning rates, {options.seeds} seeds, {options.epochs} epochs"])


def sweep(folder: Path, hidden: list[int], fuse: Any, options: Namespace) -> Path:
    """Its file."""
    content = {
        "name": "digits",
        "trainable": f"{ROOT / 'benchmarks/contenders/digits.py'}:train",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": {
            "lr": [0.0005 * 2**step for step in range(options.rates)],
            "seed": list(range(options.seeds)),
            "hidden": {"value": hidden},
            "epochs": options.epochs,
        },
        "fuse": fuse,
    }
    path = folder / f"{'-'.join(map(str, hidden))}-{fuse}.json"
    path.write_text(json.dumps(content))
    return path


BENCHMARK = Benchmark(
    __doc__,
    {
        "rates": Option(8, 2, "learning rates"),
        "seeds": Option(8, 2, "seeds of each"),
        "epochs": Option(20, 2, "of each trial"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
