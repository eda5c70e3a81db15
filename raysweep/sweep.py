"""run(spec) -> Results: starts what is missing, and alone builds a Tuner."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cluster import Cluster, connected
from raysweep.errors import BrokenOffError, SpecError
from raysweep.fingerprint import fingerprint
from raysweep.isolation import needed
from raysweep.journal import logged
from raysweep.progress import Progress
from raysweep.reconciliation import Again, Standing, reconcile
from raysweep.records import State
from raysweep.reference import Reference, load
from raysweep.results import Results, read
from raysweep.spec import SweepSpec
from raysweep.store import SCRATCH, RunDirectory
from raysweep.trials import LIMIT, canonical, plan
from raysweep.watchdog import Watchdog

if TYPE_CHECKING:
    from ray.tune import Tuner

    from raysweep.backup import Backup
    from raysweep.halt import Halt
    from raysweep.job import Job

BLOCK = 100  # trials; the square root of the most that are planned without asking


@dataclass(frozen=True)
class Options:
    """How a sweep is run, beside what its file says.

    Attributes:
        again: which finished trials to start again.
        isolate: a fresh process for each trial, instead of reusing them.
        max_failures: stop after so many failed trials; None for when the first few all fail the same way, 0 for
            never.
        limit: how many trials may be planned; None for any number.
        backup: the URL of an object store where a copy of the run directory is kept, "s3://bucket/folder".
    """

    again: frozenset[Again] = frozenset()
    isolate: bool = False
    max_failures: int | None = None
    limit: int | None = LIMIT
    backup: str | None = None


def run(
    spec: SweepSpec,
    *,
    runs: Path = Path("runs"),
    directory: Path = Path(),
    progress: Progress | None = None,
    options: Options = Options(),
) -> Results:
    """Train what the sweep's run directory lacks, and return all results.

    Args:
        spec: the sweep.
        runs: the directory that run directories are in.
        directory: what a trainable's file is relative to, the sweep file's own directory as a rule.
        progress: who is told what happens.
        options: how to run it.

    Raises:
        SpecError, TrainableError, ClusterError, StoreError: before anything was started.
        BrokenOffError: in mid-sweep, where Ray or the disk fails.
        KeyboardInterrupt: the state is saved; calling again goes on.
    """
    trials = plan(spec, options.limit)
    reference = Reference(spec.trainable, directory.resolve())
    code = fingerprint(reference)
    store = RunDirectory((runs / spec.name).resolve())
    progress = progress or Progress()
    with _backed_up(store, options.backup, progress) as backup:
        if not store.exists():
            load(reference)  # what cannot be loaded leaves no run directory behind
        store.create()
        with store.lock():
            _check_defaults(spec, store)
            if backup is not None:
                backup.begin()
            reconciliation = reconcile(spec, trials, store)
            todo = reconciliation.missing(options.again, code)
            if todo:
                load(reference)
            with logged(spec, store, directory):
                progress.planned(spec, reconciliation, len(todo))
                if others := [s for s in reconciliation.standings if s.has_other_code(code)]:
                    progress.changed_code(len(others))
                if todo:
                    reopen(todo, options.again, code)
                    _train(_Work(spec, reference, code, store, todo, options), progress)
        results = read(store)
        if todo:
            results.write()
    return results


def _backed_up(store: RunDirectory, url: str | None, progress: Progress) -> AbstractContextManager[Backup | None]:
    """Keep a copy of the run directory, where one is asked for."""
    if url is None:
        return nullcontext()
    from raysweep.backup import Backup

    return Backup(store, url, progress)


def _check_defaults(spec: SweepSpec, store: RunDirectory) -> None:
    """See that no default is another than the one that earlier trials were identified by.

    Raises:
        SpecError: one is.
    """
    before = store.earlier()["spec"].get("defaults", {})
    for name, value in before.items():
        if name in spec.defaults and canonical(spec.defaults[name]) != canonical(value):
            raise SpecError(
                f"{spec.name}: defaults.{name}: was {json.dumps(value)} when the trials in {store.path} ran; what they "
                "used cannot change. Put it back, or give the sweep another name"
            )


def reopen(todo: Sequence[Standing], again: frozenset[Again], code: str | None) -> None:
    """Make finished trials ones that a worker starts: afresh where the code is another, else where they ended."""
    for standing in todo:
        if standing.record is None:
            continue
        if Again.OTHER_CODE in again and standing.has_other_code(code):
            standing.folder.clear()
            standing.folder.write(replace(standing.record, state=State.NEW))
        elif standing.record.state.is_finished:
            standing.folder.write(replace(standing.record, state=State.INTERRUPTED))


@dataclass(frozen=True)
class _Work:
    """What is to be trained, and where it goes."""

    spec: SweepSpec
    reference: Reference
    code: str | None
    store: RunDirectory
    todo: Sequence[Standing]
    options: Options
    share: float = 0.0  # of a GPU, that each trial occupies


def _train(work: _Work, progress: Progress) -> None:
    with (
        progress,
        connected(work.reference.directory, needed(work.reference)) as found,
        Watchdog(progress),  # leaves before Ray is shut down, which is no death
        _served(work.store, found) as head,
    ):
        if found.has_code:
            work = replace(work, reference=replace(work.reference, directory=Path()))
        cluster = found if found.is_private else _ready(found, work, head, progress)
        cluster.check(work.spec.resources)
        slots = cluster.slots(work.spec.resources)
        at_once = min(slots, work.spec.max_concurrent or slots)
        progress.connected(cluster, at_once)
        work = replace(work, share=cluster.share(work.spec.resources, min(len(work.todo), at_once)))
        # fewer than Tune's own 200, and short trials that reuse one process would keep others from starting
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(200, 2 * cluster.most_slots(work.spec.resources)))
        _fit(work, progress, head)
    if progress.fault is not None:
        raise BrokenOffError(progress.reason)


def _ready(cluster: Cluster, work: _Work, head: str | None, progress: Progress) -> Cluster:
    """The cluster once its nodes are there, and have been seen to be able to run trials."""
    from raysweep import preflight

    preflight.wait_for_nodes(cluster.plan, progress)
    cluster = cluster.renewed()
    if not cluster.slots(work.spec.resources) and cluster.most_slots(work.spec.resources):
        progress.noticed("no node can run a trial yet; the autoscaler starts some")
    if len(cluster.nodes) > 1:
        preflight.check(work.reference, head)
    return cluster


def _served(store: RunDirectory, cluster: Cluster) -> AbstractContextManager[str | None]:
    """Serve the run directory to other nodes, also to those that come later; one's own Ray never has any."""
    if cluster.is_private:
        return nullcontext()
    from raysweep.head import serving

    return serving(store)


def _fit(work: _Work, progress: Progress, head: str | None) -> None:
    from raysweep.halt import Halt

    halt = Halt(work.spec, work.store, progress, work.options.max_failures)
    _tuner(work, progress, head, halt).fit()
    halt.close()


def _tuner(work: _Work, progress: Progress, head: str | None, halt: Halt) -> Tuner:
    """Ray Tune's grid search over what is missing."""
    from ray import tune

    from raysweep.job import Job
    from raysweep.listener import Listener
    from raysweep.schedulers import scheduler
    from raysweep.trainable import SweepTrainable

    spec = work.spec
    jobs = [_job(work, standing, head).to_json() for standing in work.todo]
    return tune.Tuner(
        SweepTrainable,
        param_space={"job": _grid(jobs)},
        tune_config=tune.TuneConfig(
            reuse_actors=not work.options.isolate,
            max_concurrent_trials=spec.max_concurrent,
            scheduler=scheduler(spec),
            trial_dirname_creator=lambda trial: Path(Job.from_json(trial.config["job"]).folder).name,
            trial_name_creator=lambda trial: Job.from_json(trial.config["job"]).name,
        ),
        run_config=tune.RunConfig(
            name=SCRATCH,
            storage_path=str(work.store.path),
            # without this Tune saves the trainable once more at a trial's end
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=spec.retries),
            callbacks=[Listener(progress, work.todo, spec.max_epochs)],
            stop=halt,
            verbose=0,
        ),
    )


def _grid(jobs: Sequence[str]) -> Any:
    """A grid search over jobs, in blocks: for each value of a grid Tune copies the whole list that it is in."""
    from ray import tune

    blocks = [jobs[start : start + BLOCK] for start in range(0, len(jobs), BLOCK)]
    return tune.grid_search([tune.grid_search(list(block)) for block in blocks])


def _job(work: _Work, standing: Standing, head: str | None) -> Job:
    from raysweep.job import Job

    trial, spec = standing.trial, work.spec
    seed = trial.config.get("seed")
    return Job(
        folder=str(standing.folder.path),
        id=trial.id,
        name=trial.name,
        config=dict(trial.config),
        trainable=work.reference.text,
        directory=str(work.reference.directory),
        metric=spec.metric.name,
        goal=spec.metric.goal,
        stop=spec.limits,
        keep_last=spec.checkpoints.last,
        code=work.code,
        resources={kind: need for kind, need in (("CPU", spec.resources.cpu), ("GPU", work.share)) if need},
        gpu=spec.resources.gpu,
        threads=max(1, int(spec.resources.cpu)),
        seed=seed if isinstance(seed, int) and 0 <= seed < 2**63 else spec.sweep_seed,
        is_paced=spec.early_stopping is not None,
        head=head,
    )
