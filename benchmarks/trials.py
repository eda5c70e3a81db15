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
REUSED, FRESH = "Ray Tune, actors reused", "Ray Tune"
WAYS: dict[str, tuple[str, dict[str, bool]]] = {
    "raysweep": ("run_raysweep", {}),
    REUSED: ("run_tune", {}),
    FRESH: ("run_tune", {"reuse": False}),
    "Optuna, SQLite": ("run_optuna", {}),
    "Hydra, joblib": ("run_hydra", {}),
}


def contender(name: str, function: str, trials: int, **arguments: object) -> Contender:
    """A sweep of so many trials."""
    return Contender(name, call(f"{NOOP}:{function}", trials=trials, **arguments), last_line)


def measure(options: Namespace) -> Findings:
    """All ways in turn, then few trials and many."""
    counts = {name: options.slow_trials if name == FRESH else options.trials for name in WAYS}
    contenders = [contender(name, function, counts[name], **told) for name, (function, told) in WAYS.items()]
    measures = alternate(contenders, options.rounds)
    costs = {name: _each(taken, counts[name]) for name, taken in measures.items()}
    rows = [
        Row("a no-op trial", costs["raysweep"], name, costs[name], "ms", at_most=1.0 if name == REUSED else None)
        for name in WAYS
        if name != "raysweep"
    ]
    note = f"no-op trials: {options.trials} of each way, {options.slow_trials} of Ray Tune without reused actors"
    return Findings([*rows, *growth(options)], [note])


def growth(options: Namespace) -> list[Row]:
    """What a trial costs in a sweep of many, against one of few."""
    few, many = options.growth
    contenders = [contender(f"{count} trials", "run_raysweep", count) for count in (few, many)]
    small, large = alternate(contenders, options.rounds).values()

    def row(what: str, unit: str, left: Sequence[float], right: Sequence[float]) -> Row:
        return Row(f"{what}, {many:,} trials against {few:,}", left, f"of {few:,}", right, unit, at_most=1.3)

    memory = ([m.figures["memory"] / 2**20 for m in taken] for taken in (large, small))
    disk = ([m.disk / count / 1024 for m in taken] for taken, count in ((large, many), (small, few)))
    return [
        row("a trial", "ms", _each(large, many), _each(small, few)),
        row("driver's memory", "MiB", *memory),
        row("disk per trial", "KiB", *disk),
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
