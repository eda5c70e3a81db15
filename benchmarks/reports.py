"""What a report costs: the training function that makes it, and the driver that takes it in.

    python -m benchmarks.reports --reports 300 --trials 8 --flood 500 --rounds 5

First two trials report every 20 ms and measure each call, of one scalar and of five. Then several trials on two slots
report as fast as they can; the rate is that of all reports in the time from the plan to the results. Compared with
Ray Tune with reused actors and its default loggers.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call
from benchmarks.table import Findings, Row
from benchmarks.trials import NOOP, contender

WAYS = {"raysweep": "run_raysweep", "Ray Tune": "run_tune"}
PAUSE = 0.02  # seconds: a short step of a training
SCALARS = (1, 5)  # in one report
TRIALS = 2  # that report side by side


def calls(folder: Path, output: str) -> dict[str, Any]:
    """What the calls of all trials took."""
    taken = [seconds for file in folder.glob("*.json") for seconds in json.loads(file.read_text())]
    return {"median": median(taken), "99th percentile": quantiles(taken, n=100)[-1]}


def measure(options: Namespace) -> Findings:
    """The calls, then the flood."""
    return Findings([*_calls(options), *_flood(options)])


def _calls(options: Namespace) -> list[Row]:
    contenders = [
        Contender(f"{way}, {scalars}", _slow(function, options.reports, scalars), calls)
        for scalars in SCALARS
        for way, function in WAYS.items()
    ]
    measures = alternate(contenders, options.rounds)

    def taken(way: str, scalars: int, what: str) -> list[float]:
        return [measure.figures[what] * 1000 for measure in measures[f"{way}, {scalars}"]]

    rows = [
        Row(
            f"report() of {scalars}, {what}",
            taken("raysweep", scalars, what),
            "Ray Tune",
            taken("Ray Tune", scalars, what),
            "ms",
        )
        for scalars in SCALARS
        for what in ("median", "99th percentile")
    ]
    most = SCALARS[-1]
    return [*rows, Row(f"report() of {most}, median", taken("raysweep", most, "median"), unit="ms", at_most=1.0)]


def _slow(function: str, reports: int, scalars: int) -> list[str]:
    return call(f"{NOOP}:{function}", trials=TRIALS, reports=reports, scalars=scalars, pause=PAUSE, log=True)


def _flood(options: Namespace) -> list[Row]:
    contenders = [contender(way, function, options.trials, reports=options.flood) for way, function in WAYS.items()]
    measures = alternate(contenders, options.rounds)
    total = options.trials * options.flood
    ours, theirs = ([total / m.figures["seconds"] for m in measures[way]] for way in WAYS)
    return [
        Row(f"{total:,} reports taken in", ours, "Ray Tune", theirs, "/s"),
        Row(f"{total:,} reports taken in", ours, unit="/s", at_least=1000),
    ]


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
