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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import ROOT, Contender, alternate
from benchmarks.table import Findings, Row

GOALS = {"64-32-10": ([32], 5.0), "64-128-64-10": ([128, 64], 3.0)}  # hidden layers, and how many times faster
GPU_GOALS = {"lenet": 5.0, "resnet18 / 4": 2.0}
WAYS = {"fused": {"fuse": "auto"}, "one by one": {}}
GPU_WAYS: dict[str, dict[str, Any]] = {
    "fused": {"fuse": "auto", "resources": {"gpu": 1}},
    "a GPU for each": {"resources": {"gpu": 1}},
    "a quarter for each": {"resources": {"gpu": 0.25}},
}


def measure(options: Namespace) -> Findings:
    """Each network in turn."""
    if options.device == "cuda":
        return on_gpu(options)
    rows = []
    for network, (hidden, goal) in GOALS.items():
        parameters = {
            "lr": [0.0005 * 2**step for step in range(options.rates)],
            "seed": list(range(options.seeds)),
            "hidden": {"value": hidden},
            "epochs": options.epochs,
        }
        what = f"{options.rates * options.seeds} trials of {network}, fused"
        rows += race(what, goal, {"trainable": "digits.py:train", "parameters": parameters}, WAYS, options.rounds)
    return Findings(rows, [f"fused: {options.rates} learning rates, {options.seeds} seeds, {options.epochs} epochs"])


def on_gpu(options: Namespace) -> Findings:
    """Networks of convolutions: a group with the GPU against trials that have all or a quarter of it."""
    rows = []
    for network in options.networks:
        parameters = {"network": network, "lr": [0.001, 0.002], "seed": list(range(8)), "epochs": options.epochs}
        content = {"trainable": "enlarged_digits.py:train", "parameters": parameters}
        rows += race(f"16 trials of {network}, fused", GPU_GOALS[network], content, GPU_WAYS, options.rounds)
    return Findings(rows, [f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.epochs} epochs"])


def race(
    what: str, goal: float, content: Mapping[str, Any], ways: Mapping[str, Mapping[str, Any]], rounds: int
) -> list[Row]:
    """One sweep in several ways, the first of them fused; returns a row for each other."""
    with tempfile.TemporaryDirectory(prefix="fusion-") as folder:
        contenders = []
        for number, (way, keys) in enumerate(ways.items()):
            path = Path(folder, f"{number}.json")
            path.write_text(json.dumps({**sweep(content), **keys}))
            contenders.append(Contender(way, [sys.executable, "-m", "raysweep", "run", str(path)]))
        seconds = {way: [m.seconds for m in taken] for way, taken in alternate(contenders, rounds).items()}
    ours, *_ = seconds.values()
    others = list(seconds.items())[1:]
    return [Row(what, ours, way, theirs, at_most=1 / goal, goal=f"{goal:g} x faster") for way, theirs in others]


def sweep(content: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep file's content, of a trainable among the contenders."""
    return {
        **content,
        "name": "digits",
        "trainable": str(ROOT / "benchmarks/contenders" / content["trainable"]),
        "metric": {"name": "val_accuracy", "goal": "maximize"},
    }


BENCHMARK = Benchmark(
    __doc__,
    {
        "device": Option("cpu", "cpu", "cpu or cuda"),
        "networks": Option(list(GPU_GOALS), ["lenet"], "on a GPU, of these"),
        "rates": Option(8, 2, "learning rates"),
        "seeds": Option(8, 2, "seeds of each"),
        "epochs": Option(20, 2, "of each trial"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
