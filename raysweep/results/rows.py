"""Trials and their reports -> the rows of tables: column to value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.results.columns import BEST, TIMES, Columns
from raysweep.results.frames import cell, table_of
from raysweep.results.trial import TrialResult
from raysweep.store.records import Report

if TYPE_CHECKING:
    import pandas as pd


def trial_row(trial: TrialResult, columns: Columns) -> dict[str, Any]:
    """The row of a trial in the frame."""
    best = times_of(trial.best) | metrics_of(trial.best, columns)
    return {
        "trial": trial.id,
        "run": trial.number,
        "state": str(trial.state),
        **parameters_of(trial, columns),
        **metrics_of(trial.last, columns),
        **({f"{BEST}{name}": value for name, value in best.items()}),
        **(times_of(trial.last) | {"epoch": trial.last.epoch if trial.last else 0}),
        "error": str(trial.error) if trial.error else None,
        "path": str(trial.path),
        "checkpoint": str(trial.checkpoint) if trial.checkpoint else None,
    }


def report_rows(trials: Iterable[TrialResult], columns: Columns) -> Iterator[dict[str, Any]]:
    """The rows of the history, one for each report."""
    for trial in trials:
        common = {"trial": trial.id, "run": trial.number, **parameters_of(trial, columns)}
        yield from (common | times_of(report) | metrics_of(report, columns) for report in trial.reports)


def board_row(trial: TrialResult, judged: Report | None, columns: Columns) -> dict[str, Any]:
    """The row of a trial in the leaderboard, with the report that it is judged by."""
    own = {
        "epoch": judged.epoch if judged else None,
        "seconds": times_of(trial.last)["run_duration"],
        "state": str(trial.state),
        "trial": trial.id,
    }
    return parameters_of(trial, columns) | metrics_of(judged, columns) | own


def board_table(
    rows: Sequence[Mapping[str, Any]], columns: Columns, varying: Sequence[str], metric: str
) -> pd.DataFrame:
    """The leaderboard: what varies, the metric first of all that were reported, and our own columns.

    Args:
        rows: of the trials, in order.
        columns: what parameters and metrics are called.
        varying: the parameters that are shown.
        metric: the one that trials are judged by.
    """
    there = {name for row in rows for name in row}
    names = [columns.parameters[name] for name in varying]
    metrics = [metric, *(name for name in columns.metrics if name != metric)]
    names += [column for name in metrics if (column := columns.metrics.get(name)) in there]
    names += ["epoch", "seconds", "state", "trial"]
    return table_of([{name: row.get(name) for name in names} for row in rows], names)


def parameters_of(trial: TrialResult, columns: Columns) -> dict[str, Any]:
    """A trial's parameters by column."""
    return {columns.parameters[name]: cell(value) for name, value in trial.parameters.items()}


def metrics_of(report: Report | None, columns: Columns) -> dict[str, Any]:
    """A report's metrics by column."""
    return {columns.metrics[name]: value for name, value in measures(report).items()}


def measures(report: Report | None) -> dict[str, float | str]:
    """A report's metrics by name; a recorder's times are in columns of their own."""
    if report is None:
        return {}
    own = _measured(report)
    return {name: value for name, value in report.metrics.items() if name not in own}


def times_of(report: Report | None) -> dict[str, Any]:
    """A report's epoch and times; of no report they are None."""
    if report is None:
        return dict.fromkeys(("epoch", *TIMES))
    return {"epoch": report.epoch, **{name: getattr(report, name) for name in TIMES}, **_measured(report)}


def _measured(report: Report) -> dict[str, float]:
    """The times that a recorder measured, which knows better than we what is training and what is not."""
    reported = {name: report.metrics.get(name) for name in TIMES} if report.counted else {}
    return {name: value for name, value in reported.items() if isinstance(value, (int, float))}
