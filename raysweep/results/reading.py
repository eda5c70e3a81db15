"""The run directory, a name or a sweep file -> Results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from raysweep.errors import SpecError, StoreError, TrainableError
from raysweep.plan.origin import check_origin
from raysweep.plan.reconciliation import Standing, reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.trials import plan
from raysweep.results.columns import TIMES
from raysweep.results.results import Results
from raysweep.results.trial import TrialResult
from raysweep.store.directory import SWEEP, RunDirectory
from raysweep.store.folder import UnreadableError
from raysweep.store.records import Report, State, TrialError
from raysweep.store.suggestions import recorded
from raysweep.sweepfile.file import SUFFIXES, load_spec
from raysweep.sweepfile.limits import limit_reached
from raysweep.sweepfile.parameters import flat, nearest
from raysweep.sweepfile.spec import SweepSpec, check


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
        SpecError: it is a sweep file that is wrong, or the run is that of another one of the same name.
        StoreError: there is none.
    """
    given, base = Path(run), Path(runs)
    with contextlib.suppress(OSError):  # a name that is too long for a file
        spec = load_spec(given) if given.suffix in SUFFIXES and given.is_file() else None
        for path in (given, base / given, base / (spec.name if spec else given.stem)):
            if (path / SWEEP).is_file():
                found = RunDirectory(path.resolve())
                if spec is not None:
                    _check_origin(spec, found, given)
                return found
    names = sorted(path.parent.name for path in base.glob(f"*/{SWEEP}"))
    raise StoreError(f"there is no run {str(run)!r} in {base}; {nearest(given.stem, names)}")


def _check_origin(spec: SweepSpec, run: RunDirectory, file: Path) -> None:
    with contextlib.suppress(TrainableError):  # results outlive the code that they are from
        check_origin(spec.name, run.path, run.earlier(), Reference(spec.trainable, file.parent.resolve()))


def read(run: RunDirectory) -> Results:
    """The results of a run directory, also while a sweep is at work there.

    Raises:
        StoreError: its records cannot be read.
    """
    try:
        spec = check(run.sweep()["spec"], str(run.path / SWEEP), recorded=True)
        trials = plan(spec, limit=None, suggestions=recorded(run))
    except (SpecError, KeyError) as error:
        raise StoreError(f"{run.path / SWEEP}: {error}; running the sweep file again writes it anew") from None
    reconciliation = reconcile(spec, trials, run, at_work=run.is_locked())
    results = [result_of(standing, spec) for standing in reconciliation.standings]
    return Results(
        run.path, spec, results, [folder.path for folder in reconciliation.dropped], reconciliation.problems()
    )


def result_of(standing: Standing, spec: SweepSpec) -> TrialResult:
    """The result of one trial, as far as it is."""
    trial = standing.trial
    try:
        reports = tuple(_asked_for(standing, spec)) if standing.record and standing.state is not State.NEW else ()
    except UnreadableError as error:  # damaged since it was held against the plan
        standing, reports = replace(standing, state=State.UNREADABLE, record=None, problem=str(error)), ()
    problem = TrialError("Unreadable", standing.problem) if standing.problem else None
    record = standing.record
    return TrialResult(
        number=trial.number,
        id=trial.id,
        name=standing.folder.path.name,
        config=trial.config,
        state=standing.state,
        error=record.error if record else problem,
        reports=reports,
        best=spec.metric.best(reports),
        path=standing.folder.path,
        started=record.started if record else None,
        ended=record.ended if record else None,
        host=record.host if record else None,
        is_complete=record is not None and record.state is State.DONE and record.limit is None,
    )


def _asked_for(standing: Standing, spec: SweepSpec) -> Iterator[Report]:
    """A trial's reports, less those past what the sweep file now asks for: fewer epochs, or an earlier limit."""
    reports = _counted(standing.folder.reports())
    epochs = flat(standing.trial.config).get(spec.continued) if spec.continued == "epochs" else None
    if not _has_one_each(standing, reports):
        epochs = None  # whose epoch a report is, only the training function knows
    limits = spec.limits
    for report in reports:
        if epochs is not None and report.epoch > epochs:
            return
        yield report
        if limits and limit_reached(report, limits):
            return


def _counted(reports: list[Report]) -> list[Report]:
    """Reports of version 0.1.0, whose records do not say so, as counted where a Recorder's times are in all of them."""
    if all(report.counted or set(TIMES) <= report.metrics.keys() for report in reports):
        return [report if report.counted else replace(report, counted=True) for report in reports]
    return reports


def _has_one_each(standing: Standing, reports: list[Report]) -> bool:
    """Whether report k is that of epoch k: a Recorder counted, or a trial that is done has a report for each epoch."""
    if all(report.counted for report in reports):
        return True
    record = standing.record
    if record is None or record.state is not State.DONE or record.limit is not None:
        return False
    return bool(flat(record.config).get("epochs") == len(reports))
