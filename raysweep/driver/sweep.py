"""run(spec) -> Results: starts what is missing, and alone builds a Tuner."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.driver.forks import Forks
from raysweep.driver.progress import Progress
from raysweep.engine import surroundings
from raysweep.errors import BrokenOffError, SpecError, StoreError
from raysweep.plan.defaults import with_earlier_defaults
from raysweep.plan.fingerprint import fingerprint
from raysweep.plan.origin import check_origin, source_of
from raysweep.plan.reconciliation import Again, Standing, reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.suggested import to_come
from raysweep.plan.trials import LIMIT, plan
from raysweep.results.reading import read
from raysweep.results.results import Results
from raysweep.search.study import check_installed
from raysweep.store.directory import RunDirectory
from raysweep.store.journal import logged
from raysweep.store.records import State
from raysweep.store.suggestions import recorded
from raysweep.sweepfile.file import load_spec
from raysweep.sweepfile.spec import SweepSpec, check
from raysweep.worker.preload import calls_ray

if TYPE_CHECKING:
    from raysweep.transfer.backup import Backup


@dataclass(frozen=True)
class RunOptions:
    """How a sweep is run, beside what its file says.

    Attributes:
        again: which finished trials to start again.
        isolate: a fresh process for each trial, instead of reusing them.
        max_failures: stop after so many failed trials; None for when the first few all fail the same way, 0 for
            never.
        limit: how many trials may be planned; None for any number.
        backup: the URL of an object store where a copy of the run directory is kept, "s3://bucket/folder".
        ship: what of the sweep file's directory a cluster gets although it is ignored, data or may be secret.
        may_exit: whether this process may be ended where its Ray has died; else the run takes a minute more to end.
        only: the ids of the trials that it is about; None for all.
    """

    again: frozenset[Again] = frozenset()
    isolate: bool = False
    max_failures: int | None = None
    limit: int | None = LIMIT
    backup: str | None = None
    ship: Sequence[str] = ()
    may_exit: bool = False
    only: frozenset[str] | None = None


def run(
    sweep: SweepSpec | Mapping[str, Any] | str | Path,
    *,
    runs: str | Path = "runs",
    directory: str | Path | None = None,
    progress: Progress | None = None,
    options: RunOptions = RunOptions(),
) -> Results:
    """Train what the sweep's run directory lacks, and return all results.

    It may be called from any program, thread or notebook: environment, loggers, signal handlers and `sys.path` are as
    they were when it returns, and a Ray that is in use is used, and left.

    Args:
        sweep: the sweep file's path, its content as a dict, or what `load_spec` makes of it.
        runs: the directory that run directories are in.
        directory: what a trainable's file is relative to; None for the sweep file's own directory, or the current one.
        progress: who is told what happens.
        options: how to run it.

    Raises:
        SpecError, TrainableError, ClusterError, StoreError: before anything was started.
        BrokenOffError: in mid-sweep, where Ray or the disk fails.
        KeyboardInterrupt: the state is saved; calling again goes on.
    """
    spec, beside = _checked(sweep)
    work = Path(directory) if directory is not None else beside
    store = RunDirectory((Path(runs) / spec.name).resolve())
    try:
        with surroundings.imports():
            return _run(spec, store, work, progress or Progress(), options)
    except BrokenOffError:
        with contextlib.suppress(StoreError):  # the disk may be what has failed
            read(store).write()
        raise


def _checked(sweep: SweepSpec | Mapping[str, Any] | str | Path) -> tuple[SweepSpec, Path]:
    """The sweep, and the directory that it is in."""
    if isinstance(sweep, SweepSpec):
        return sweep, Path()
    if isinstance(sweep, Mapping):
        return check(sweep, "the sweep"), Path()
    return load_spec(Path(sweep)), Path(sweep).parent


def _run(spec: SweepSpec, store: RunDirectory, directory: Path, progress: Progress, options: RunOptions) -> Results:
    """Train what is missing; returns all results."""
    if spec.method == "bayes":
        check_installed()
    trials = plan(spec, options.limit, recorded(store))
    reference = Reference(spec.trainable, directory.resolve())
    code = fingerprint(reference)
    with _forks(spec, reference) as forks, _backed_up(store, options.backup, progress) as backup:
        if not store.exists():
            forks.check()  # what cannot be loaded leaves no run directory behind
        store.create()
        with store.lock(progress.noticed) as lease:
            store = RunDirectory(store.path, lease.check)
            check_origin(spec.name, store.path, store.earlier(), reference)
            remembered = with_earlier_defaults(spec, store.earlier()["spec"], store.path)
            if remembered is not spec:
                spec, trials = remembered, plan(remembered, options.limit, recorded(store))
            if backup is not None:
                backup.begin()
            reconciliation = reconcile(spec, trials, store)
            todo = reconciliation.missing(options.again, code)
            coming = to_come(spec, recorded(store))
            if options.only is not None:
                todo, coming = [standing for standing in todo if standing.trial.id in options.only], 0
            if todo or coming:
                forks.check()
            content = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
            with logged(content, store, directory, source_of(reference)):
                progress.planned(spec, reconciliation, len(todo), coming)
                if (todo or coming) and spec.metric.target is not None and read(store).has_reached_target:
                    progress.noticed("the metric's target is reached; no more trials are started")
                    todo, coming = [], 0
                if others := [s for s in reconciliation.standings if s.has_other_code(code)]:
                    progress.changed_code(len(others))
                if todo or coming:
                    from raysweep.driver.launch import Work, train  # and with it Ray, which nothing else needs

                    reopen(todo, options.again, code)
                    how = (options.isolate, options.max_failures, options.ship, options.may_exit)
                    train(Work(spec, reference, code, store, todo, forks, lease.holder.token, *how, coming), progress)
        results = read(store)
        if todo or coming:
            results.write()  # before the last copy is made
    return results


def _forks(spec: SweepSpec, reference: Reference) -> Forks:
    in_ray = calls_ray(reference) if spec.process is None else spec.process == "ray"
    if in_ray and spec.resources.workers > 1:
        raise SpecError(
            f"{spec.name}: resources.workers: trials that run inside Ray's processes have no others; this function "
            'calls Ray, or "process" is "ray": remove either'
        )
    return Forks(reference, spec.resources.threads, in_ray)


def _backed_up(store: RunDirectory, url: str | None, progress: Progress) -> AbstractContextManager[Backup | None]:
    """Keep a copy of the run directory, where one is asked for."""
    if url is None:
        return nullcontext()
    from raysweep.transfer.backup import Backup

    return Backup(store, url, progress.noticed)


def reopen(todo: Sequence[Standing], again: frozenset[Again], code: str | None) -> None:
    """Make finished trials ones that a worker starts: afresh where the code is another, else where they ended."""
    for standing in todo:
        if standing.problem is not None:
            standing.folder.set_aside()
        if standing.record is None:
            continue
        if Again.OTHER_CODE in again and standing.has_other_code(code):
            standing.folder.clear()
            standing.folder.write(replace(standing.record, state=State.NEW))
        elif standing.record.state.is_finished:
            standing.folder.write(replace(standing.record, state=State.INTERRUPTED))
