"""Two runs held against each other: the configurations that both have, paired by seed, and what else is different.

Of each configuration the differences of the same seeds are taken, OTHER less RUN, with their mean and its 95 % interval
by Student's t (the paired t-test: Student, 1908). Among many configurations some differences are large by chance, so
the verdicts allow for how many were looked at (Holm, A simple sequentially rejective multiple test procedure, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical
from raysweep.results.columns import columns
from raysweep.results.frames import cell, table_of
from raysweep.results.provenance import changed, made_with
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Spread, Statistics
from raysweep.results.text import number
from raysweep.results.ties import LEVEL
from raysweep.results.trial import TrialResult
from raysweep.sweepfile.parameters import SEED
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 5  # seeds, with fewer of which only large differences show
OWN = ("before", "after", "diff", "diff.low", "diff.high", "n", "p", "change")
SAME = "~"  # as benchstat has it: no difference is shown
ALL = "all"  # what the row over all configurations is called


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes:
        directory: the run directory.
        spec: the sweep file, as it was last run.
        statistics: of it, over its seeds.
    """

    directory: Path
    spec: SweepSpec
    statistics: Statistics

    @cached_property
    def values(self) -> list[tuple[Configuration, TrialResult, str, float | None]]:
        """Each trial, with its configuration, its seed, and its value where it has finished."""
        return [
            (one, trial, seed, value)
            for one in self.statistics.found
            for trial, seed, value in zip(one.trials, one.seeds, one.values, strict=True)
        ]

    @property
    def trials(self) -> list[TrialResult]:
        """The planned trials."""
        return [trial for _, trial, _, _ in self.values]


@dataclass(frozen=True)
class Pair:
    """A configuration that both runs have.

    Attributes:
        parameters: what varies of it: dotted name to value.
        seeds: those that both have finished.
        before, after: the values of these, in the same order.
    """

    parameters: Mapping[str, Any]
    seeds: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def differences(self) -> list[float]:
        """After less before, of each seed."""
        return [after - before for before, after in zip(self.before, self.after, strict=True)]


@dataclass(frozen=True)
class Comparison:
    """Two runs held against each other.

    Attributes:
        run, other: the two.
        different: the parameters that are constant in each and not the same: name to both values.
        pairs: the configurations that both have, in the order of the first.
        only_run, only_other: the names of trials that only one has.
    """

    run: Side
    other: Side
    different: Mapping[str, tuple[Any, Any]]
    pairs: tuple[Pair, ...]
    only_run: tuple[str, ...]
    only_other: tuple[str, ...]

    @property
    def overlap(self) -> float:
        """What the data that folds share adds to 1 / n in the variance of a mean."""
        return self.run.statistics.overlap

    @cached_property
    def spreads(self) -> list[Spread]:
        """Of each pair, its differences."""
        return [Spread.of(pair.differences, self.overlap) for pair in self.pairs]

    @cached_property
    def overall(self) -> Spread:
        """The mean difference over all configurations, over the seeds that all have; where it is one, over these."""
        shared = set.intersection(*(set(pair.seeds) for pair in self.pairs)) if self.pairs else set()
        if len(shared) < 2:
            return Spread.of([spread.mean for spread in self.spreads], self.overlap)
        by_seed: dict[str, list[float]] = {seed: [] for seed in shared}
        for pair in self.pairs:
            for seed, difference in zip(pair.seeds, pair.differences, strict=True):
                by_seed.get(seed, []).append(difference)
        return Spread.of([_mean(by_seed[seed]) for seed in sorted(shared)], self.overlap)

    def table(self) -> pd.DataFrame:
        """One row per configuration that both have.

        Columns: its parameters, the means `before` and `after`, `diff` (after less before) with its 95 % interval
        `diff.low`, `diff.high`, `n` seeds, `p` of the paired t-test, and `change`: "better" or "worse" where that is
        shown, allowing for the number of rows, "~" where nothing is shown, and None where nothing can be, of one seed.
        """
        ps = [_p(spread) for spread in self.spreads]
        named = columns((name for pair in self.pairs for name in pair.parameters), [], OWN)
        rows = []
        for pair, spread, p, adjusted in zip(self.pairs, self.spreads, ps, holm(ps), strict=True):
            row = {named.parameters[name]: cell(value) for name, value in pair.parameters.items()}
            means = {"before": _mean(pair.before), "after": _mean(pair.after)}
            rows.append(row | means | {**_difference(spread), "p": p, "change": self._verdict(spread, adjusted)})
        return table_of(rows, [*named.parameters.values(), *OWN])

    def _verdict(self, spread: Spread, p: float) -> str | None:
        if p != p:
            return None
        if p >= 1 - LEVEL:
            return SAME
        return "better" if (spread.mean > 0) == (self.run.spec.metric.goal == "maximize") else "worse"

    def notes(self) -> Iterator[str]:
        """What is to be said of it, a line each."""
        name, at = self.run.spec.metric.name, self.run.spec.metric.at
        yield f"{name} ({at}): diff is after less before, paired by seed, with its 95 % interval; {SAME}: none is shown"
        yield from self._notes_of_all()
        for parameter, (before, after) in self.different.items():
            yield f"{parameter} was {number(cell(before)) or 'not set'} and is {number(cell(after)) or 'not set'}"
        for one, whose in ((self.only_run, "RUN"), (self.only_other, "OTHER")):
            if one:
                more = f", and {len(one) - 3} more" if len(one) > 3 else ""
                yield f"only {whose} has {', '.join(one[:3])}{more}"
        before, after = (made_with(side.directory, side.spec.trainable, side.trials) for side in (self.run, self.other))
        yield from changed(before, after)

    def _notes_of_all(self) -> Iterator[str]:
        if not self.pairs:
            yield "no trial has finished with the same configuration and seed in both, so nothing is compared"
            return
        overall, seeds = self.overall, min(spread.n for spread in self.spreads)
        if len(self.pairs) > 1 and overall.n > 1:
            whose = "seeds" if seeds > 1 else "configurations"
            yield (
                f"over all {len(self.pairs)} configurations: {overall.mean:+.3g} ({overall.low:+.3g} to "
                f"{overall.high:+.3g}, over {overall.n} {whose}): {self._verdict(overall, _p(overall))}"
            )
        if seeds < 2:
            yield '1 seed: nothing can be said about a single configuration; add "seed": [0, 1, 2, 3, 4] to both'
        elif seeds < ENOUGH:
            yield f"{seeds} seeds are few: only large differences show; {ENOUGH} or more show smaller ones"


def compare(run: Side, other: Side) -> Comparison:
    """Hold two runs against each other.

    Raises:
        SpecError: they are judged by different metrics.
    """
    ours, theirs = run.spec.metric, other.spec.metric
    if ours != theirs:
        raise SpecError(
            f"{run.directory} is judged by {ours.name} ({ours.goal}, {ours.at}) and {other.directory} by {theirs.name} "
            f"({theirs.goal}, {theirs.at}); only runs of the same metric can be compared"
        )
    different = dict(_different(run, other))
    key_of = _Key(frozenset({*different, *run.spec.untracked, *other.spec.untracked}))
    here, there = ({key_of(trial) for trial in side.trials} for side in (run, other))
    return Comparison(
        run,
        other,
        different,
        tuple(_pairs(run, other, key_of)),
        tuple(trial.name for trial in run.trials if key_of(trial) not in there),
        tuple(trial.name for trial in other.trials if key_of(trial) not in here),
    )


@dataclass(frozen=True)
class _Key:
    """What makes trials of two runs the same: their parameters, less some."""

    left_out: frozenset[str]

    def __call__(self, trial: TrialResult) -> str:
        return canonical({name: value for name, value in trial.parameters.items() if name not in self.left_out})


def _different(run: Side, other: Side) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The parameters that have one value in each run, and not the same; None where a run has no such parameter.

    Seeds are none of these: trials of different seeds are no pair.
    """
    both = run.trials, other.trials
    for name in dict.fromkeys(name for trials in both for trial in trials for name in trial.parameters):
        here, there = ({canonical(trial.parameters.get(name)): trial for trial in trials} for trials in both)
        is_seed = name.rpartition(".")[2] == SEED or name in (run.spec.folds, other.spec.folds)
        if len(here) == len(there) == 1 and here.keys() != there.keys() and not is_seed:
            (one,), (another,) = here.values(), there.values()
            yield name, (one.parameters.get(name), another.parameters.get(name))


def _pairs(run: Side, other: Side, key_of: _Key) -> Iterator[Pair]:
    there = {key_of(trial): value for _, trial, _, value in other.values}
    found: dict[Configuration, list[tuple[str, float, float]]] = {}
    for one, trial, seed, before in run.values:
        after = there.get(key_of(trial))
        if before is not None and after is not None and math.isfinite(before) and math.isfinite(after):
            found.setdefault(one, []).append((seed, before, after))
    for one, values in found.items():
        seeds, befores, afters = zip(*values, strict=True)
        yield Pair(one.parameters, seeds, befores, afters)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _difference(spread: Spread) -> dict[str, Any]:
    return {"diff": spread.mean, "diff.low": spread.low, "diff.high": spread.high, "n": spread.n}


def _p(spread: Spread) -> float:
    """Of the two-sided t-test of a mean of 0; NaN of one value, and where all are the same 0 or 1."""
    from scipy.special import stdtr, stdtrit

    if spread.n < 2:
        return math.nan
    half = spread.high - spread.mean
    if half == 0:
        return 0.0 if spread.mean else 1.0
    t = spread.mean / half * float(stdtrit(spread.n - 1, (1 + LEVEL) / 2))
    return float(2 * stdtr(spread.n - 1, -abs(t)))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values that allow for how many there are, by Holm's procedure; NaN stays, and does not count."""
    order = sorted((index for index, p in enumerate(ps) if p == p), key=lambda index: ps[index])
    adjusted, largest = list(ps), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * ps[index]))
        adjusted[index] = largest
    return adjusted
