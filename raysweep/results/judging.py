"""What a trial is judged by: its best report, its last one, or the mean of its last ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from raysweep.results.trial import TrialResult
from raysweep.store.records import Report
from raysweep.sweepfile.members import Metric


def judged(metric: Metric, trial: TrialResult) -> Report | None:
    """The report that counts, by `at` of the metric; None where the metric was never reported as a number.

    Of several reports that count, each metric is their mean, and all else is as in the last of them. Without a metric
    the last report counts.
    """
    if not metric.is_named:
        return trial.last
    if not metric.last:
        return trial.best
    measured = [report for report in trial.reports if _is_number(report.metrics.get(metric.name))]
    return _mean(measured[-metric.last :]) if measured else None


def weighed(metric: Metric, trial: TrialResult) -> Report | None:
    """The report whose checkpoint is the trial's result: the best one, or the last one that came with a checkpoint."""
    if not metric.last:
        return trial.best
    return next((report for report in reversed(trial.reports) if report.checkpoint), None)


def value(metric: Metric, trial: TrialResult) -> float:
    """The value of the metric that a trial is judged by; NaN where there is none."""
    report = judged(metric, trial)
    return float(report.metrics[metric.name]) if metric.is_named and report is not None else math.nan


def can_win(metric: Metric, value: float) -> bool:
    """Whether a value can be the best one: NaN never is, and infinity only at the end that is sought."""
    return math.isfinite(value) or value == (math.inf if metric.goal == "maximize" else -math.inf)


def place(metric: Metric, value: float) -> tuple[bool, bool, float]:
    """What to sort values by, best first: numbers, then infinities, then NaN."""
    return value != value, not math.isfinite(value), -value if metric.goal == "maximize" else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _mean(reports: Sequence[Report]) -> Report:
    if len(reports) == 1:
        return reports[0]
    names = reports[-1].metrics
    columns = {name: [report.metrics[name] for report in reports if name in report.metrics] for name in names}
    means = {name: _average(values) if all(map(_is_number, values)) else values[-1] for name, values in columns.items()}
    return replace(reports[-1], metrics=means)


def _average(values: Iterable[float | str]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers)
