"""What a report costs: the training function that makes it, and the driver that takes it in.

    python -m benchmarks.reports --reports 300 --trials 8 --flood 500 --rounds 5

First two trials report every 20 ms and measure each call, of one scalar and of five. Then several trials on two slots
report as fast as they can; the rate is that of all reports in the time from the plan, or from the first report, to
the results. Compared with Ray Tune with reused actors and its default loggers.
"""

from __future__ import annotations

import itertools
import json
from argparse import Namespace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call, last_line
from benchmarks.table import Findings, Row
from benchmarks.trials import NOOP

WAYS = {"raysweep": "run_raysweep", "Ray Tune": "run_tune"}
PAUSE = 0.02  # seconds: a short step of a training
SCALARS = (1, 5)  # in one report
TRIALS = 2  # that report side by side


def figures(folder: Path, output: str) -> dict[str, Any]:
    """What the calls of all trials took, and the time from the first trial's first report to the results."""
    trials = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    taken = [seconds for trial in trials for seconds in trial["taken"]]
    told = last_line(folder, output)
    return {
        "median": median(taken),
        "99th percentile": quantiles(taken, n=100)[-1],
        "plan": told["seconds"],
        "first report": told["ended"] - min(trial["begun"] for trial in trials),
    }


def contender(name: str, function: str, **arguments: object) -> Contender:
    """Trials that report."""
    return Contender(name, call(f"{NOOP}:{function}", log=True, **arguments), figures)


def measure(options: Namespace) -> Findings:
    """The calls, then the flood."""
    return Findings([*_calls(options), *_flood(options)])


def _calls(options: Namespace) -> list[Row]:
    contenders = [
        contender(f"{way}, {scalars}", function, trials=TRIALS, reports=options.reports, scalars=scalars, pause=PAUSE)
        for scalars in SCALARS
        for way, function in WAYS.items()
    ]
    measures = alternate(contenders, options.rounds)

    def taken(way: str, scalars: int, what: str) -> list[float]:
        return [measure.figures[what] * 1000 for measure in measures[f"{way}, {scalars}"]]

    rows, most = [], SCALARS[-1]
    for scalars, what in itertools.product(SCALARS, ("median", "99th percentile")):
        ours, theirs = (taken(way, scalars, what) for way in WAYS)
        rows.append(Row(f"report() of {scalars}, {what}", ours, "Ray Tune", theirs, "ms"))
    return [*rows, Row(f"report() of {most}, median", taken("raysweep", most, "median"), unit="ms", at_most=1.0)]


def _flood(options: Namespace) -> list[Row]:
    contenders = [
        contender(way, function, trials=options.trials, reports=options.flood) for way, function in WAYS.items()
    ]
    measures = alternate(contenders, options.rounds)
    total, rows = options.trials * options.flood, []
    for since in ("plan", "first report"):
        ours, theirs = ([total / m.figures[since] for m in measures[way]] for way in WAYS)
        rows.append(Row(f"{total:,} reports taken in, from the {since} to the results", ours, "Ray Tune", theirs, "/s"))
    return [*rows, Row(rows[-1].what, rows[-1].ours, unit="/s", at_least=1000)]


BENCHMARK = Benchmark(
    __doc__,
    {
        "reports": Option(300, 20, "of each trial that is slow"),
        "trials": Option(8, 2, "that report as fast as they can"),
        "flood": Option(500, 20, "reports of each of those"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
