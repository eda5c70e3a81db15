"""How long it takes to read results: 10,000 trials of 10 epochs, as a sweep leaves them.

The summary is the statistics of 1,000 configurations over 10 seeds, with their ties.

    python -m benchmarks.reading --trials 10000 --epochs 10 --rounds 5

Each round is a process of its own, which reads the same run directory; imports are left out.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path

import raysweep
from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call, last_line
from benchmarks.table import Findings, Row
from raysweep.plan.trials import plan
from raysweep.store.directory import RunDirectory
from raysweep.store.records import Report, State, TrialRecord
from raysweep.sweepfile.spec import check

MODULE = "benchmarks.reading"  # also where it runs as __main__
TABLES = ("leaderboard", "summary", "history")
GOALS = {"load": 2.0, "leaderboard": 2.0, "summary": None, "load and summary": 2.0, "history": None}  # seconds


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
        noise = hash((trial.config["x"], trial.config["seed"])) % 1000 / 1000  # the same each time: of whole numbers
        metrics = [{"loss": trial.config["x"] / e + noise, "accuracy": 1 / e} for e in range(1, epochs + 1)]
        folder.keep_reports(Report(e, 0.0, 1.0, e, told) for e, told in enumerate(metrics, start=1))


def read(runs: str) -> dict[str, float]:
    """Seconds to load the results, and to make each table of them."""
    import pandas  # noqa: F401 - so that the first table does not pay for it
    import scipy.special  # noqa: F401 - and for this one

    started = time.perf_counter()
    results = raysweep.load("many", runs)
    taken = {"load": time.perf_counter() - started}
    for name in TABLES:
        started = time.perf_counter()
        getattr(results, name)()
        taken[name] = time.perf_counter() - started
    return taken | {"load and summary": taken["load"] + taken["summary"]}


def measure(options: Namespace) -> Findings:
    """Make the run directory, and read it once a round."""
    with tempfile.TemporaryDirectory(prefix="reading-") as folder:
        make(Path(folder), options.trials, options.epochs)
        reader = Contender("reading", call(f"{MODULE}:read", runs=folder), last_line)
        taken = alternate([reader], options.rounds)["reading"]
    what = f"{options.trials:,} trials x {options.epochs} epochs"
    return Findings(
        [
            Row(f"{name} of {what}", [measure.figures[name] for measure in taken], at_most=bound)
            for name, bound in GOALS.items()
        ]
    )


BENCHMARK = Benchmark(
    __doc__,
    {
        "trials": Option(10_000, 100, "in the run directory"),
        "epochs": Option(10, 3, "of each"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
