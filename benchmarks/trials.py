"""What a trial costs: no-op trainings with five reports, everything recorded, on two slots.

    python -m benchmarks.trials --trials 200 --rounds 5 --growth 200 10000

Compares raysweep with Ray Tune (with actors reused and as it is documented, its default loggers), with Optuna's grid
in SQLite, worked on by two processes, and with Hydra's joblib launcher; then a raysweep sweep of many trials with one
of few. Starting Ray is left out of all. A fresh actor for each trial takes so long that there are fewer of those.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, Measure, alternate, call, last_line
from benchmarks.table import Findings, Row

NOOP = "benchmarks.contenders.noop"


def contender(name: str, function: str, trials: int, **arguments: object) -> Contender:
    """A sweep of so many trials."""
    return Contender(name, call(f"{NOOP}:{function}", trials=trials, **arguments), last_line)


def measure(options: Namespace) -> Findings:
    """All ways in turn, then few trials and many."""
    trials = {
        "raysweep": options.trials,
        "Ray Tune, actors reused": options.trials,
        "Ray Tune": options.slow_trials,
        "Optuna, SQLite": options.trials,
        "Hydra, joblib": options.trials,
    }
    ways = {"Optuna, SQLite": "run_optuna", "Hydra, joblib": "run_hydra"}
    contenders = [
        contender("raysweep", "run_raysweep", options.trials),
        contender("Ray Tune, actors reused", "run_tune", options.trials),
        contender("Ray Tune", "run_tune", options.slow_trials, reuse=False),
        *(contender(name, function, options.trials) for name, function in ways.items()),
    ]
    measures = alternate(contenders, options.rounds)
    costs = {name: [m.figures["seconds"] / trials[name] * 1000 for m in taken] for name, taken in measures.items()}
    ours = costs.pop("raysweep")
    rows = [
        Row(f"a trial, of {trials[name]}", ours, name, theirs, "ms", at_most=1.0 if "reused" in name else None)
        for name, theirs in costs.items()
    ]
    return Findings([*rows, *growth(options)])


def growth(options: Namespace) -> list[Row]:
    """What a trial costs in a sweep of many, against one of few."""
    few, many = options.growth
    contenders = [contender(f"{count} trials", "run_raysweep", count) for count in (few, many)]
    small, large = alternate(contenders, options.rounds).values()

    def row(what: str, unit: str, left: Sequence[float], right: Sequence[float]) -> Row:
        return Row(f"{what}, {many:,} trials against {few:,}", left, f"of {few:,}", right, unit, at_most=1.3)

    return [
        row("a trial", "ms", _each(large, many), _each(small, few)),
        row("driver's memory", "MiB", *([m.figures["memory"] / 2**20 for m in taken] for taken in (large, small))),
        row(
            "disk per trial", "KiB", *([m.disk / n / 1024 for m in taken] for taken, n in ((large, many), (small, few)))
        ),
    ]


def _each(taken: Sequence[Measure], trials: int) -> list[float]:
    return [measure.figures["seconds"] / trials * 1000 for measure in taken]


BENCHMARK = Benchmark(
    __doc__,
    {
        "trials": Option(200, 6, "of each way"),
        "slow_trials": Option(30, 2, "of Ray Tune without reused actors"),
        "growth": Option([200, 10_000], [4, 12], "few trials and many"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
