"""How long it takes to read results: 10,000 trials of 10 epochs, as a sweep leaves them.

python benchmarks/reading.py --trials 10000 --epochs 10 --rounds 5
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import raysweep
from raysweep.records import Report, State, TrialRecord
from raysweep.spec import check
from raysweep.store import RunDirectory
from raysweep.trials import plan


def make(runs: Path, trials: int, epochs: int) -> None:
    """A run directory as a sweep would leave it, without the event files."""
    content = {
        "name": "many",
        "trainable": "train.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": list(range(trials // 10)), "seed": list(range(10)), "epochs": epochs},
    }
    spec = check(content, "many")
    store = RunDirectory(runs / "many")
    store.create()
    store.write_sweep(content, [])
    for trial in plan(spec, limit=None):
        folder = store.trial(trial.name)
        folder.write(TrialRecord(trial.id, trial.name, spec.trainable, trial.config, State.DONE))
        metrics = [{"loss": trial.config["x"] / e, "accuracy": 1 / e} for e in range(1, epochs + 1)]
        folder.keep_reports(Report(e, 0.0, 1.0, e, told) for e, told in enumerate(metrics, start=1))


def main() -> None:
    """Make the run directory, read it several times, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.trials, options.epochs)
        times: dict[str, list[float]] = {"load": [], "leaderboard": [], "history": []}
        for _ in range(options.rounds):
            started = time.perf_counter()
            results = raysweep.load("many", folder)
            times["load"].append(time.perf_counter() - started)
            for name in ("leaderboard", "history"):
                started = time.perf_counter()
                getattr(results, name)()
                times[name].append(time.perf_counter() - started)
    for name, taken in times.items():
        print(f"{name:12} {median(taken):6.2f} s  (of {options.rounds}, from {min(taken):.2f} to {max(taken):.2f})")


if __name__ == "__main__":
    main()
