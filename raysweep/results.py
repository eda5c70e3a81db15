"""The run directory -> every planned trial with its state, metrics and error, as records and DataFrames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError, StoreError
from raysweep.frames import cell, condition, known, typed, write
from raysweep.limits import limit_reached
from raysweep.parameters import nearest
from raysweep.reconciliation import Standing, reconcile
from raysweep.records import Report, State, TrialError
from raysweep.spec import SweepSpec, check, flat
from raysweep.store import SWEEP, RunDirectory
from raysweep.sweepfile import SUFFIXES
from raysweep.sweepfile import load as load_spec
from raysweep.trials import plan, varying

if TYPE_CHECKING:
    import pandas as pd

# Columns that are not a parameter's or a metric's; a parameter of that name becomes param.NAME.
OWN_COLUMNS = (
    "trial",
    "run",
    "state",
    "epoch",
    "epoch_duration",
    "run_duration",
    "error",
    "path",
    "checkpoint",
)


@dataclass(frozen=True)
class TrialResult:
    """What is known of one planned trial.

    Attributes:
        number: its place in the plan, from 1.
        id, name, config: as planned.
        state: NEW where it never ran.
        error: why it failed.
        reports: one per epoch.
        best: the report with the best metric, of those with a checkpoint where there are any.
        path: its folder.
    """

    number: int
    id: str
    name: str
    config: Mapping[str, Any]
    state: State
    error: TrialError | None
    reports: tuple[Report, ...]
    best: Report | None
    path: Path

    @property
    def last(self) -> Report | None:
        """The last report."""
        return self.reports[-1] if self.reports else None

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the best epoch's checkpoint, where it is there."""
        path = self.path / self.best.checkpoint if self.best and self.best.checkpoint else None
        return path if path is not None and path.is_dir() else None


class Results:
    """All results of one run directory.

    Attributes:
        directory: the run directory.
        spec: the sweep file, as it was last run.
        trials: one result per planned trial, in the order of the plan.
        dropped: folders of trials that are no longer planned.
    """

    def __init__(
        self, directory: Path, spec: SweepSpec, trials: Sequence[TrialResult], dropped: Sequence[Path] = ()
    ) -> None:
        self.directory = directory
        self.spec = spec
        self.trials = tuple(trials)
        self.dropped = tuple(dropped)

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
        """The trial with the best metric.

        Raises:
            StoreError: no trial has reported it yet.
        """
        ranked = self.ranked()
        if not ranked:
            raise StoreError(f"{self.directory}: no trial has reported {self.spec.metric.name!r} yet")
        return ranked[0]

    def ranked(self) -> list[TrialResult]:
        """The trials that reported the metric, best first."""
        name, sign = self.spec.metric.name, -1 if self.spec.metric.goal == "maximize" else 1

        def place(trial: TrialResult) -> tuple[bool, float, int]:
            value = float(trial.best.metrics[name]) if trial.best else float("nan")
            return value != value, sign * value, trial.number

        return sorted((trial for trial in self.trials if trial.best), key=place)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The columns of the parameters: the dotted name to the column's."""
        metrics = {name for trial in self.trials for report in trial.reports for name in report.metrics}
        taken = {*metrics, *OWN_COLUMNS}
        names = dict.fromkeys(name for trial in self.trials for name in flat(trial.config))
        return {name: f"param.{name}" if name in taken else name for name in names}

    def frame(self) -> pd.DataFrame:
        """One row per planned trial.

        Columns: `trial` (id), `run` (number in the plan), `state`, the parameters, the metrics of the last
        epoch, the metrics of the best one as `best.NAME` with `best.epoch`, `epoch` (the last one),
        `run_duration` (seconds), `error`, `path`, `checkpoint`.
        """
        import pandas as pd

        return typed(pd.DataFrame([self._row(trial) for trial in self.trials]))

    def _row(self, trial: TrialResult) -> dict[str, Any]:
        last, best = trial.last, trial.best
        return {
            "trial": trial.id,
            "run": trial.number,
            "state": str(trial.state),
            **self._parameters_of(trial),
            **(_metrics(last) if last else {}),
            **({f"best.{name}": value for name, value in _metrics(best).items()} if best else {}),
            "best.epoch": best.epoch if best else None,
            "epoch": last.epoch if last else 0,
            "run_duration": last.run_duration if last else None,
            "error": str(trial.error) if trial.error else None,
            "path": str(trial.path),
            "checkpoint": str(trial.checkpoint) if trial.checkpoint else None,
        }

    def _parameters_of(self, trial: TrialResult) -> dict[str, Any]:
        return {self.parameters[name]: cell(value) for name, value in flat(trial.config).items()}

    def history(self) -> pd.DataFrame:
        """One row per trial and epoch.

        Columns: `trial` (id), `run` (number in the plan), `epoch` (from 1), the parameters, the metrics,
        `epoch_duration` and `run_duration` (seconds).
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for trial in self.trials:
            common = {"trial": trial.id, "run": trial.number, **self._parameters_of(trial)}
            rows += [
                {
                    **common,
                    "epoch": report.epoch,
                    "epoch_duration": report.epoch_duration,
                    "run_duration": report.run_duration,
                    **_metrics(report),
                }
                for report in trial.reports
            ]
        columns = ["trial", "run", *self.parameters.values(), "epoch", "epoch_duration", "run_duration"]
        return typed(pd.DataFrame(rows, columns=None if rows else columns))

    def leaderboard(
        self, *, sort_by: str | None = None, top: int | None = None, where: Iterable[str] = ()
    ) -> pd.DataFrame:
        """The trials, best first: what varies, the metrics of the best epoch, that epoch, time and state.

        Args:
            sort_by: a column to sort by instead, ascending; "-NAME" for descending.
            top: only so many.
            where: conditions such as "lr=0.1" or "accuracy>0.9", of which all must hold.

        Raises:
            SpecError: a column is not there, or a condition is malformed.
        """
        table = self.frame()
        ranks = {trial.id: rank for rank, trial in enumerate(self.ranked())}
        table = table.iloc[table["trial"].map(ranks).fillna(len(ranks)).argsort(kind="stable")]
        table = self._board(table)
        for text in where:
            table = table[condition(table, text)]
        if sort_by:
            name = sort_by.lstrip("-")
            known(table, name)
            table = table.sort_values(name, ascending=not sort_by.startswith("-"), kind="stable")
        return table.head(top).reset_index(drop=True) if top else table.reset_index(drop=True)

    def _board(self, table: pd.DataFrame) -> pd.DataFrame:
        names = varying(trial.config for trial in self.trials)
        shown = {column: column for name in names if (column := self.parameters[name]) in table}
        metrics = dict.fromkeys(name for trial in self.trials if trial.last for name in _metrics(trial.last))
        ordered = sorted(metrics, key=lambda name: name != self.spec.metric.name)
        shown |= {f"best.{n}": n for n in ordered if f"best.{n}" in table and n not in OWN_COLUMNS}
        shown |= {"best.epoch": "epoch", "run_duration": "seconds", "state": "state", "trial": "trial"}
        return table[list(shown)].set_axis(list(shown.values()), axis="columns")

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


def load(run: str | Path, runs: str | Path = "runs") -> Results:
    """The results of a run.

    Args:
        run: a run directory, its name, or the sweep file.
        runs: where run directories are looked for by name.

    Raises:
        StoreError: there is no such run, or its records cannot be read.
    """
    return read(find(run, runs))


def find(run: str | Path, runs: str | Path = "runs") -> RunDirectory:
    """The run directory that a path, a name or a sweep file means.

    Raises:
        SpecError: it is a sweep file that is wrong.
        StoreError: there is none.
    """
    given, base = Path(run), Path(runs)
    with contextlib.suppress(OSError):  # a name that is too long for a file
        named = load_spec(given).name if given.suffix in SUFFIXES and given.is_file() else given.stem
        for path in (given, base / given, base / named):
            if (path / SWEEP).is_file():
                return RunDirectory(path.resolve())
    names = sorted(path.parent.name for path in base.glob(f"*/{SWEEP}"))
    raise StoreError(f"there is no run {str(run)!r} in {base}; {nearest(given.stem, names)}")


def read(run: RunDirectory) -> Results:
    """The results of a run directory, also while a sweep is at work there.

    Raises:
        StoreError: its records cannot be read.
    """
    try:
        spec = check(run.sweep()["spec"], str(run.path / SWEEP))
        trials = plan(spec, limit=None)
    except (SpecError, KeyError) as error:
        raise StoreError(f"{run.path / SWEEP}: {error}; running the sweep file again writes it anew") from None
    reconciliation = reconcile(spec, trials, run, at_work=run.is_locked())
    results = [_result(standing, spec) for standing in reconciliation.standings]
    return Results(run.path, spec, results, [folder.path for folder in reconciliation.dropped])


def _result(standing: Standing, spec: SweepSpec) -> TrialResult:
    trial = standing.trial
    reports = tuple(_asked_for(standing, spec)) if standing.state is not State.NEW else ()
    return TrialResult(
        number=trial.number,
        id=trial.id,
        name=standing.folder.path.name,
        config=trial.config,
        state=standing.state,
        error=standing.record.error if standing.record else None,
        reports=reports,
        best=spec.metric.best(reports),
        path=standing.folder.path,
    )


def _asked_for(standing: Standing, spec: SweepSpec) -> Iterator[Report]:
    """A trial's reports, less those past what the sweep file now asks for: fewer epochs, or an earlier limit."""
    epochs = flat(standing.trial.config).get(spec.continued) if spec.continued == "epochs" else None
    for report in standing.folder.reports():
        if epochs is not None and report.epoch > epochs:
            return
        yield report
        if limit_reached(report, spec.limits):
            return


def _metrics(report: Report) -> dict[str, float | str]:
    """A report's metrics; one that is called as our own column gives way to it."""
    return {name: value for name, value in report.metrics.items() if name not in ("epoch", "trial", "run", "state")}
