"""Configurations over their seeds: mean, deviation, interval, and which of them are tied with the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from raysweep.results.columns import OVER_SEEDS, Columns, columns
from raysweep.results.frames import cell, chosen, is_about, table_of
from raysweep.results.judging import can_win, judged, place
from raysweep.results.rows import measures
from raysweep.results.seeds import FINISHED, Block, Configuration, comparable
from raysweep.results.ties import LEVEL, Ties, compare_with_best, overlap_of
from raysweep.results.trial import TrialResult
from raysweep.results.winner import corrected
from raysweep.sweepfile.members import Metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Spread:
    """What so many values of a configuration say of its mean.

    Attributes:
        n: how many values.
        mean: of them; NaN where one of them is.
        std: the standard deviation, with n - 1; NaN where there is but one.
        low, high: the 95 % interval of the mean, mean ± t std sqrt(1/n) with the 97.5 % point t of Student's
            distribution with n - 1 degrees of freedom (Student, The probable error of a mean, 1908).
    """

    n: int
    mean: float
    std: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], overlap: float = 0.0) -> Spread:
        """That of values, whose trials may share data: see `ties.overlap_of`."""
        n = len(values)
        mean = sum(values) / n if n else math.nan
        std = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else math.nan
        half = _student(n - 1) * std * math.sqrt(1 / n + overlap) if n > 1 else math.nan
        return cls(n, mean, std, mean - half, mean + half)


@lru_cache
def _student(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


@dataclass(frozen=True)
class Statistics:
    """All configurations of a sweep, and what can be said of their differences.

    Attributes:
        metric: what they are judged by.
        found: the configurations, in the order of the plan.
        over: the axes that are averaged over.
        metrics: the names of all metrics.
        margin: a difference that does not matter.
        folds: how many values the axis of `folds` has, where it is averaged over; else 0.
    """

    metric: Metric
    found: tuple[Configuration, ...]
    over: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    margin: float = 0.0
    folds: int = 0

    @property
    def trials(self) -> list[TrialResult]:
        """All trials, by configuration."""
        return [trial for one in self.found for trial in one.trials]

    @property
    def seeds(self) -> int:
        """How many trials a configuration has in the plan, at most."""
        return max((len(one.trials) for one in self.found), default=0)

    @property
    def maximize(self) -> bool:
        """Whether larger is better."""
        return self.metric.goal == "maximize"

    @property
    def overlap(self) -> float:
        """What the data that folds share adds to 1 / n in the variance of a mean."""
        return overlap_of(self.folds)

    @cached_property
    def block(self) -> Block:
        """The configurations that can be compared."""
        return comparable(self.found)

    @cached_property
    def ties(self) -> Ties | None:
        """Which of these are tied with the best; None where they are fewer than 2, or have 1 seed."""
        block = self.block
        if min(block.values.shape) < 2:
            return None
        return compare_with_best(
            block.values, maximize=self.maximize, shared=block.shared, margin=self.margin, overlap=self.overlap
        )

    @cached_property
    def corrected(self) -> float | None:
        """The mean that is to be expected of the winner with a new seed; None where nothing was chosen."""
        return None if self.ties is None else corrected(self.block.values, maximize=self.maximize)

    @cached_property
    def ranked(self) -> list[Configuration]:
        """The configurations, best first: those that are compared, and then the others."""
        compared = {*self.block.configurations}
        return sorted(self.found, key=lambda one: (one not in compared, *place(self.metric, self.spreads[one].mean)))

    @property
    def winner(self) -> Configuration | None:
        """The one with the best mean of those that are compared."""
        best = self.ranked[0] if self.block.configurations else None
        return best if best is not None and can_win(self.metric, self.spreads[best].mean) else None

    @property
    def tied(self) -> list[Configuration]:
        """The configurations that cannot be told apart from the best, and itself, in the order of the plan."""
        if self.ties is None:
            return []
        return [one for one, tied in zip(self.block.configurations, self.ties.tied, strict=True) if tied]

    @cached_property
    def spreads(self) -> dict[Configuration, Spread]:
        """For each configuration, what its finished trials say."""
        return {one: Spread.of(one.finished, self.overlap) for one in self.found}

    @cached_property
    def columns(self) -> Columns:
        """What the columns of the parameters and of the metrics are called in the table."""
        parameters = (name for one in self.found for name in one.parameters)
        return columns(parameters, [self.metric.name, *self.metrics], OVER_SEEDS)

    @property
    def other_columns(self) -> list[str]:
        """The columns of the metrics that configurations are not judged by."""
        return [column for name, column in self.columns.metrics.items() if name != self.metric.name]

    def table(self, *, where: Iterable[str] = (), sort_by: str | None = None, top: int | None = None) -> pd.DataFrame:
        """One row per configuration, best first: see `Results.summary`.

        Args:
            where: conditions; those on what is averaged over have chosen the trials already.
            sort_by: a column to sort by instead, ascending; "-NAME" for descending.
            top: only so many.

        Raises:
            SpecError: a condition is malformed, or there is no such column.
        """
        own = self._compared()
        rows = [self._row(one, own.get(one, {})) for one in self.ranked]
        order = [*self.columns.parameters.values(), self.columns.metrics[self.metric.name], "std", "low", "high", "n"]
        order += ["tied", "epoch", "seconds", *self.other_columns, "diff", "diff.low", "diff.high"]
        table = table_of([{name: row.get(name) for name in order} for row in rows], order)
        return chosen(table, [text for text in where if not is_about(self.over, text)], sort_by, top)

    def _compared(self) -> dict[Configuration, dict[str, Any]]:
        """What only those that are compared have."""
        if self.ties is None:
            return {}
        ties = self.ties
        figures = zip(ties.tied, ties.difference, ties.low, ties.high, strict=True)
        return {
            one: {"tied": bool(tied), "diff": float(diff), "diff.low": float(low), "diff.high": float(high)}
            for one, (tied, diff, low, high) in zip(self.block.configurations, figures, strict=True)
        }

    def _row(self, one: Configuration, compared: Mapping[str, Any]) -> dict[str, Any]:
        spread = self.spreads[one]
        row = {self.columns.parameters[name]: cell(value) for name, value in one.parameters.items()}
        finished = [trial for trial in one.trials if trial.state in FINISHED]
        reports = [report for trial in finished if (report := judged(self.metric, trial))]
        measured = list(map(measures, reports))
        row |= {
            column: _mean([values.get(name) for values in measured]) for name, column in self.columns.metrics.items()
        }
        row |= {self.columns.metrics[self.metric.name]: spread.mean, "n": spread.n, **compared}
        row |= {"std": spread.std, "low": spread.low, "high": spread.high}
        row["epoch"] = _mean([report.epoch for report in reports])
        return row | {"seconds": _mean([trial.last.run_duration for trial in finished if trial.last])}


def _mean(values: Sequence[Any]) -> float | None:
    """The mean of what is a number; None where nothing is."""
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    return sum(numbers) / len(numbers) if numbers else None
