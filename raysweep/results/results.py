"""All results of one run directory, as records and DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError, StoreError
from raysweep.plan.names import varying
from raysweep.results.board import Board, of_configurations, of_trials
from raysweep.results.columns import TIMES, Columns, columns
from raysweep.results.comparison import Comparison, Side, compare
from raysweep.results.curves import curves
from raysweep.results.effects import effects
from raysweep.results.frames import chosen, table_of, write
from raysweep.results.judging import judged, place, value, weighed
from raysweep.results.pivot import pivot
from raysweep.results.rows import board_row, board_table, measures, report_rows, trial_row
from raysweep.results.seeds import check_axes, chosen_trials, configurations, seed_axes
from raysweep.results.statistics import Statistics
from raysweep.results.trial import TrialResult
from raysweep.store.records import Report
from raysweep.sweepfile.parameters import nearest
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

NOTEBOOK = 20  # rows that a notebook shows


class Results:
    """All results of one run directory.

    Attributes:
        directory: the run directory.
        spec: the sweep file, as it was last run.
        trials: one result per planned trial, in the order of the plan.
        dropped: folders of trials that are no longer planned.
        problems: what cannot be trusted in the run directory, one line each.
    """

    def __init__(
        self,
        directory: Path,
        spec: SweepSpec,
        trials: Sequence[TrialResult],
        dropped: Sequence[Path] = (),
        problems: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.spec = spec
        self.trials = tuple(trials)
        self.dropped = tuple(dropped)
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        return f"<Results {self.directory}: {len(self)} trials>"

    @property
    def failed(self) -> list[TrialResult]:
        """The trials that failed."""
        return [trial for trial in self.trials if trial.state.is_failure]

    @property
    def best(self) -> TrialResult:
        """The trial with the best metric; where there is a seed axis, of the configuration with the best mean.

        Raises:
            StoreError: no trial has reported it yet.
        """
        self._check_ranked()
        if (winner := self.winner) is None:
            raise StoreError(f"{self.directory}: no trial has reported {self.spec.metric.name!r} yet")
        return winner

    @property
    def winner(self) -> TrialResult | None:
        """As `best`; None where no trial has reported the metric yet."""
        best = self.statistics().winner if self.seed_axes and self.spec.metric.is_named else None
        members = {trial.id for trial in (best.trials if best else self.trials)}
        return next((trial for trial in self.ranked() if trial.id in members), None)

    @property
    def has_reached_target(self) -> bool:
        """Whether a trial has reached the `target` of the metric, so that the sweep is over."""
        metric = self.spec.metric
        return any(metric.reaches(trial.best.metrics.get(metric.name)) for trial in self.trials if trial.best)

    def _check_ranked(self) -> None:
        if not self.spec.metric.is_named:
            raise SpecError(
                f'{self.spec.name}: the sweep file has no "metric", so that its trials have no order; add one, and run '
                "it again: nothing is trained anew"
            )

    def ranked(self) -> list[TrialResult]:
        """The trials that reported the metric, best first."""
        metric = self.spec.metric
        return sorted(
            (trial for trial in self.trials if trial.best), key=lambda trial: place(metric, value(metric, trial))
        )

    def judged(self, trial: TrialResult) -> Report | None:
        """The report that a trial is judged by, as `at` of the sweep file's metric says."""
        return judged(self.spec.metric, trial)

    def weighed(self, trial: TrialResult) -> Report | None:
        """The report whose checkpoint is a trial's result: the best one, or the last, as `at` says."""
        return weighed(self.spec.metric, trial)

    @cached_property
    def varying(self) -> list[str]:
        """The dotted names of the parameters that differ between trials."""
        return varying(trial.parameters for trial in self.trials)

    @property
    def seed_axes(self) -> tuple[str, ...]:
        """The axes that results average over, where nothing else is said."""
        return seed_axes(self.spec)

    def statistics(
        self, over: Sequence[str] | None = None, *, margin: float = 0.0, where: Iterable[str] = ()
    ) -> Statistics:
        """Each configuration over its seeds, and which of them are tied with the best.

        Args:
            over: the parameters that are averaged over; None for the seed axes.
            margin: a difference of the metric that does not matter.
            where: conditions such as "seed<5"; of those on what is averaged over all must hold, others do not count.

        Raises:
            SpecError: there is no metric or no such parameter, or a condition is malformed.
        """
        self._check_ranked()
        if over is None and not margin and not where:
            return self._over_seeds
        return self._statistics(self.seed_axes if over is None else tuple(over), margin, where)

    @cached_property
    def _over_seeds(self) -> Statistics:
        return self._statistics(self.seed_axes, 0.0, ())

    def _statistics(self, over: tuple[str, ...], margin: float, where: Iterable[str]) -> Statistics:
        check_axes(over, self.columns.parameters)
        trials = chosen_trials(self.trials, over, where)
        found = configurations(trials, self.spec.metric, self.varying, over)
        folds = sum(
            len(axis.values) for name, axis in self.spec.axes.items() if name == self.spec.folds and name in over
        )
        metrics = dict.fromkeys(name for trial in trials for name in measures(trial.last))
        return Statistics(self.spec.metric, found, over, tuple(metrics), margin, folds)

    def summary(
        self,
        over: Sequence[str] | None = None,
        *,
        margin: float = 0.0,
        sort_by: str | None = None,
        top: int | None = None,
        where: Iterable[str] = (),
    ) -> pd.DataFrame:
        """The configurations, best first, over their seeds: one row each.

        Columns: the parameters that vary, the mean of the metric, `std`, `low` and `high` (the 95 % interval of the
        mean), `n`, `tied` (whether it cannot be told apart from the best; None where it was not compared), `epoch` and
        `seconds`, the means of the other metrics, and `diff`, `diff.low` and `diff.high`: the difference from the best
        of the others.

        Args:
            over: the parameters that are averaged over; None for the seed axes.
            margin: a difference of the metric that does not matter.
            sort_by: a column to sort by instead, ascending; "-NAME" for descending.
            top: only so many.
            where: conditions such as "lr=0.1"; one on what is averaged over, such as "seed<5", chooses trials.

        Raises:
            SpecError: a parameter or column is not there, or a condition is malformed.
        """
        conditions = tuple(where)
        statistics = self.statistics(over, margin=margin, where=conditions)
        return statistics.table(where=conditions, sort_by=sort_by, top=top)

    def effects(self) -> pd.DataFrame:
        """What mattered, one row per effect.

        Columns, where the grid is complete: `effect`, its `share` of all variation, `F`, `p`, `df`, `ss`, and
        `better_half`, what only this axis explains among the better half of the configurations. Else, of a model:
        `effect`, `importance`, `std`, `better_half`; all None where nothing can be said.
        """
        return effects(self.statistics(), self.spec.zip).table

    def means(self) -> pd.DataFrame:
        """The mean over all else of each value of each axis.

        Columns: `axis`, `value`, `mean` with its 95 % interval `low`, `high`, the `best` over the other axes, and `n`
        values.
        """
        return effects(self.statistics(), self.spec.zip).means

    def comparison(self, other: Results) -> Comparison:
        """This run held against another one, or against itself as it was before.

        Raises:
            SpecError: they are judged by different metrics.
        """
        sides = (Side(results.directory, results.spec, results.statistics()) for results in (self, other))
        return compare(*sides)

    def compare(self, other: Results) -> pd.DataFrame:
        """The configurations that this run and another one both have, paired by seed.

        Columns: the parameters that vary, the means `before` (here) and `after` (there), `diff` with its 95 % interval
        `diff.low`, `diff.high`, `n` seeds, `p` of the paired t-test, and `change`: "better" or "worse" where that is
        shown, allowing for the number of rows, "~" where nothing is shown, None where nothing can be, of one seed.

        Raises:
            SpecError: they are judged by different metrics.
        """
        return self.comparison(other).table()

    def pivot(self, index: str, columns: str, *, values: str | None = None, of: str = "mean") -> pd.DataFrame:
        """A value for each pair of values of two parameters, over all else: what a heat map shows.

        Args:
            index: the parameter of the rows, as it is called in the summary.
            columns: that of the columns.
            values: a column of the summary; the metric by default.
            of: "mean" over the configurations of each cell, or the "best" of them.

        Raises:
            SpecError: there is no such parameter or column.
        """
        return pivot(self.statistics(), index, columns, values, of)

    def curves(self, metric: str | None = None) -> pd.DataFrame:
        """One row per configuration and epoch, over the seeds.

        Columns: the parameters that vary, `epoch`, the mean of the metric, `std`, `low` and `high` (its 95 % interval),
        and `n`: how many seeds have reported that epoch.

        Args:
            metric: another one than that of the sweep file.

        Raises:
            SpecError: no trial has reported it.
        """
        name = self.spec.metric.name if metric is None else metric
        if name not in self.columns.metrics:
            raise SpecError(f"no trial has reported {name!r}; {nearest(name, self.columns.metrics)}")
        statistics = self.statistics()
        return curves(statistics.ranked, name, statistics.overlap)

    def board(self, over: Sequence[str] | None = None, *, margin: float = 0.0, **asked: Any) -> Board:
        """The leaderboard as it is shown.

        Args:
            over: the parameters that are averaged over; None for the seed axes, and nothing for one row per trial.
            margin: a difference of the metric that does not matter.
            asked: `sort_by`, `top` and `where`, as of `summary`.

        Raises:
            SpecError: what is asked for is not there.
        """
        over = self.seed_axes if over is None else over
        if not over or not self.spec.metric.is_named:
            return of_trials(self.leaderboard(**asked), self.spec.metric, self.columns.metrics, self.trials)
        return of_configurations(self.statistics(over, margin=margin, where=asked.get("where", ())), **asked)

    def _repr_html_(self) -> str:
        """The first rows of the leaderboard, as notebooks show them."""
        return self.board(top=NOTEBOOK).page()

    @cached_property
    def columns(self) -> Columns:
        """What the columns of the parameters and of the metrics are called."""
        metrics = (name for trial in self.trials for report in trial.reports for name in report.metrics)
        parameters = (name for trial in self.trials for name in trial.parameters)
        first = (self.spec.metric.name,) if self.spec.metric.is_named else ()
        return columns(parameters, (*first, *metrics))

    def frame(self) -> pd.DataFrame:
        """One row per planned trial.

        Columns: `trial` (id), `run` (number in the plan), `state`, the parameters, the metrics of the last
        epoch, the metrics of the best one as `best.NAME` with `best.epoch`, `best.epoch_duration` and
        `best.run_duration`, `epoch` (the last one) with `epoch_duration` and `run_duration` (seconds), `error`,
        `path`, `checkpoint`. What is called as one of these is in `metric.NAME` or `param.NAME`: see `columns`.
        """
        return table_of([trial_row(trial, self.columns) for trial in self.trials])

    def history(self) -> pd.DataFrame:
        """One row per trial and epoch.

        Columns: `trial` (id), `run` (number in the plan), the parameters, `epoch` (from 1), `epoch_duration` and
        `run_duration` (seconds), the metrics. What is called as one of these is in `metric.NAME` or `param.NAME`.
        """
        names = ["trial", "run", *self.columns.parameters.values(), "epoch", *TIMES]
        return table_of(list(report_rows(self.trials, self.columns)), names)

    def leaderboard(
        self, *, sort_by: str | None = None, top: int | None = None, where: Iterable[str] = ()
    ) -> pd.DataFrame:
        """The trials, best first: what varies, the metrics of the epoch that counts, that epoch, time and state.

        Args:
            sort_by: a column to sort by instead, ascending; "-NAME" for descending.
            top: only so many.
            where: conditions such as "lr=0.1" or "accuracy>0.9", of which all must hold.

        Raises:
            SpecError: a column is not there, or a condition is malformed.
        """
        first = self.ranked()
        ranked = {trial.id for trial in first}
        trials = [*first, *(trial for trial in self.trials if trial.id not in ranked)]
        rows = [board_row(trial, self.judged(trial), self.columns) for trial in trials]
        return chosen(board_table(rows, self.columns, self.varying, self.spec.metric.name), where, sort_by, top)

    def write(self) -> None:
        """Write results.* and history.* (csv, json, parquet) into the run directory.

        Raises:
            StoreError: they cannot be written.
        """
        try:
            for name, table in (("results", self.frame()), ("history", self.history())):
                write(table, self.directory / name)
        except OSError as error:
            raise StoreError(f"{self.directory}: the tables cannot be written: {error.strerror or error}") from None
