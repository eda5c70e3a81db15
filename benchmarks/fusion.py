"""What `fuse` gains: a sweep over learning rates and seeds as a whole command, everything recorded, on two slots.

    python -m benchmarks.fusion --epochs 20 --rounds 5

    python -m benchmarks.fusion --device cuda --epochs 60 --rounds 1

The digits, linear networks, Adam, batches of 32, validated after each epoch; fused and not, in alternating rounds. On a
GPU lenet and a narrow ResNet-18 instead, 2 learning rates and 8 seeds of each, against a GPU to itself and a quarter.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import ROOT, Contender, Figures, alternate
from benchmarks.table import Findings, Row

GOALS = {"64-32-10": ([32], 5.0), "64-128-64-10": ([128, 64], 3.0)}  # hidden layers, and how many times faster
ON_GPU = {"lenet": 5.0, "resnet18 / 4": 2.0}


def measure(options: Namespace) -> Findings:
    """Each network in turn."""
    if options.device == "cuda":
        return on_gpu(options)
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


def on_gpu(options: Namespace) -> Findings:
    """Networks of convolutions: a group with the GPU against trials that have all or a quarter of it."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="fusion-") as name:
        for network in options.networks:
            goal = ON_GPU[network]
            shape = {"network": network, "lr": [0.001, 0.002], "seed": list(range(8)), "epochs": options.epochs}
            ways = {"fused": ("auto", 1), "a GPU for each": (False, 1), "a quarter for each": (False, 0.25)}
            contenders = [
                Contender(
                    way,
                    [
                        sys.executable,
                        "-m",
                        "raysweep",
                        "run",
                        str(gpu_sweep(Path(name) / f"{index}.json", shape, *keys)),
                    ],
                    told,
                )
                for index, (way, keys) in enumerate(ways.items())
            ]
            measures = alternate(contenders, options.rounds)
            seconds = {way: [m.seconds for m in taken] for way, taken in measures.items()}
            ours = seconds.pop("fused")
            rows += [
                Row(f"16 trials of {network}, fused", ours, way, theirs, at_most=1 / goal, goal=f"{goal:g} x faster")
                for way, theirs in seconds.items()
            ]
    import torch

    return Findings(rows, [f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.epochs} epochs"])


def told(folder: Path, output: str) -> Figures:
    """Show how the run ended: on a GPU that is lent, one look must do."""
    print("\n".join(output.splitlines()[-12:]), file=sys.stderr)
    return {}


def gpu_sweep(path: Path, parameters: dict[str, Any], fuse: Any, share: float) -> Path:
    """Its file."""
    content = {
        "name": "digits",
        "trainable": f"{ROOT / 'benchmarks/contenders/digits.py'}:train_on_gpu",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": parameters,
        "resources": {"cpu": 1, "gpu": share},
        "fuse": fuse,
    }
    path.write_text(json.dumps(content))
    return path


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
        "device": Option("cpu", "cpu", "cpu or cuda"),
        "networks": Option(list(ON_GPU), ["lenet"], "on a GPU, of these"),
        "rates": Option(8, 2, "learning rates"),
        "seeds": Option(8, 2, "seeds of each"),
        "epochs": Option(20, 2, "of each trial"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
