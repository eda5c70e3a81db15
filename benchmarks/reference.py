"""The reference sweep, as raysweep's users would run it and as it is done by hand and with other tools.

    python -m benchmarks.reference --epochs 5 --rounds 5 --contenders floor "Ray Tune"

Fashion-MNIST, the lenet, Adam, lr x batch_size x shuffle: 8 trainings, tested after each epoch. raysweep records all
that it can: scalars, histograms, images, graphs, hparams, checkpoints, tables. The time is that of the whole command.
Each process trains on one thread; as many train at once as there are cores. All contenders train the same networks
from the same seeds with the same batches, and it is checked that they come to the same numbers.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, Measure, alternate
from benchmarks.table import Findings, Row, number

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # its package dataset-fashion-mnist
IMAGES = 60_000
GRID: dict[str, list[Any]] = {"lr": [0.01, 0.001], "batch_size": [100, 1000], "shuffle": [True, False]}
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
FAST = "raysweep, fast"
FASTER = {"channels_last": True, "optimizer": {"name": "adam", "fused": True}}
# who raysweep is compared with, and raysweep's time as a multiple of theirs that it is to reach
GOALS = {
    "floor": (1.1, "within 10 %"),
    "tutorial, 1 thread": (1 / 4, "4 x faster"),
    "tutorial, 2 threads": (1 / 4, "4 x faster"),
    "Ray Tune": (1 / 2.5, "2.5 x faster"),
    "Ray Tune, actors reused": (1 / 2.2, "2.2 x faster"),
    "Hydra, joblib": (None, ""),
    "Optuna, SQLite": (None, ""),
}
TOLD = "tutorial, 1 thread"  # whose numbers the others' are held against


def measure(options: Namespace) -> Findings:
    """All contenders in turn."""
    with tempfile.TemporaryDirectory(prefix="reference-") as name:
        folder = Path(name)
        root = torchvision_folder(folder / "data")
        settings = write_settings(folder, root, options)
        sweeps = (write_sweep(folder / "plain.json", options, {}), write_sweep(folder / "fast.json", options, FASTER))
        chosen = [c for c in contenders(settings, *sweeps) if c.name in ("raysweep", *options.contenders)]
        measures = alternate(chosen, options.rounds)
    seconds = {name: [measure.seconds for measure in taken] for name, taken in measures.items()}
    rows = [
        Row(what, seconds[ours], name, seconds[name], at_most=bound, goal=words)
        for what, ours in (("reference sweep", "raysweep"), ("reference sweep, fast", FAST))
        for name, (bound, words) in GOALS.items()
        if name in seconds and ours in seconds
    ]
    peaks = ", ".join(f"{name} {median(m.peak for m in taken) / 2**20:,.0f}" for name, taken in measures.items())
    size = f"{options.limit:,} images, {len(_points(measures['raysweep'][0]))} trainings of {options.epochs} epochs"
    return Findings(rows, [f"reference sweep: {size}", agreement(measures), f"most memory, MiB: {peaks}"])


def torchvision_folder(root: Path) -> Path:
    """Debian's files as torchvision wants them."""
    raw = root / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    for path in DEBIAN.glob("*.gz"):
        with gzip.open(path) as packed, (raw / path.stem).open("wb") as file:
            shutil.copyfileobj(packed, file)
    return root


def write_settings(folder: Path, root: Path, options: Namespace) -> Path:
    """What all contenders but raysweep are told; the mean and the deviation are figures that a tutorial just has."""
    content = np.fromfile(root / "FashionMNIST/raw/train-images-idx3-ubyte", np.uint8, offset=16)
    counts = np.bincount(content[: options.limit * 28 * 28], minlength=256).astype(np.float64)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum()
    std = (counts @ (values - mean) ** 2 / (counts.sum() - 1)) ** 0.5
    settings = {"root": str(root), "limit": options.limit, "mean": mean, "std": std, "epochs": options.epochs}
    path = folder / "settings.json"
    path.write_text(json.dumps({**settings, "grid": GRID, "slots": os.cpu_count()}))
    return path


def write_sweep(path: Path, options: Namespace, more: Mapping[str, Any]) -> Path:
    """raysweep's sweep file, with `more` constants."""
    constants = {"dataset": "fashion_mnist", "network": "lenet", "normalize": True, "epochs": options.epochs, **more}
    if options.limit < IMAGES:
        constants["limit"] = options.limit
    content = {
        "name": "reference",
        "trainable": "raysweep.vision:train",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": {**constants, **GRID},
    }
    path.write_text(json.dumps(content))
    return path


def contenders(settings: Path, sweep: Path, fast: Path) -> list[Contender]:
    """raysweep, in two ways, and all others."""

    def module(name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", f"benchmarks.contenders.{name}", *arguments]

    path = str(settings)
    axes = [f"{name}={','.join(map(str, values))}" for name, values in GRID.items()]
    launcher = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={os.cpu_count()}")
    commands = {
        "floor": module("floor", path),
        "tutorial, 1 thread": module("serial", path, "1"),
        "tutorial, 2 threads": module("serial", path, "2"),
        "Ray Tune": module("ray_tune", path),
        "Ray Tune, actors reused": module("ray_tune", path, "reuse"),
        "Hydra, joblib": module("hydra_joblib", "--multirun", *launcher, f"settings={path}", *axes),
        "Optuna, SQLite": module("optuna_grid", path),
    }
    ours = [sys.executable, "-m", "raysweep", "run", "--runs", "runs"]
    return [
        Contender("raysweep", [*ours, str(sweep)], raysweep_results, weighed=True),
        Contender(FAST, [*ours, str(fast)], raysweep_results, weighed=True),
        *(Contender(name, command, left_results, weighed=True) for name, command in commands.items()),
    ]


def raysweep_results(folder: Path, output: str) -> dict[str, Any]:
    """The last epoch of each of raysweep's trials."""
    import raysweep

    trials = raysweep.load("reference", folder / "runs").trials
    return {"points": [{**trial.config, **trial.last.metrics} for trial in trials if trial.last]}


def left_results(folder: Path, output: str) -> dict[str, Any]:
    """The last epochs that another contender left in files."""
    return {"points": [point for path in folder.rglob("points.json") for point in json.loads(path.read_text())]}


def _points(measure: Measure) -> dict[tuple[Any, ...], dict[str, float]]:
    """Metrics by the point of the grid."""
    points = measure.figures["points"]
    return {tuple(point[name] for name in GRID): {name: point[name] for name in METRICS} for point in points}


def agreement(measures: dict[str, list[Measure]]) -> str:
    """A sentence that says whose numbers are the same, and how far the others' are away."""
    told = TOLD if TOLD in measures else "raysweep"
    expected = _points(measures[told][0])
    sentences = []
    for name in (name for name in measures if name != told):
        found = [_points(measure) for measure in measures[name]]
        missing = max(len(expected) - len(points.keys() & expected.keys()) for points in found)
        away = {
            metric: max(abs(points[key][metric] - expected[key][metric]) for points in found for key in points)
            for metric in METRICS
        }
        same = "exactly" if not any(away.values()) else ", ".join(f"{m} within {number(v)}" for m, v in away.items())
        sentences.append(f"{name}: {same}{f' ({missing} points were not trained)' if missing else ''}")
    return f"numbers of the last epoch as {told} has them: {'; '.join(sentences)}"


BENCHMARK = Benchmark(
    __doc__,
    {
        "limit": Option(IMAGES, 1000, "train on so many images, and test on a fifth as many, or all"),
        "epochs": Option(5, 1, "of each training"),
        "contenders": Option([FAST, *GOALS], [FAST, *GOALS], "besides raysweep"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
