"""run(spec) -> Results: starts what is missing, and alone builds a Tuner."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cluster import connected
from raysweep.progress import Progress
from raysweep.reconciliation import Reconciliation, Standing, reconcile
from raysweep.records import State
from raysweep.reference import Reference, load, locate
from raysweep.results import Results, read
from raysweep.spec import SweepSpec
from raysweep.store import SCRATCH, RunDirectory, forget
from raysweep.trials import LIMIT, plan

if TYPE_CHECKING:
    from ray.tune import Tuner

    from raysweep.recording import Job

PACKAGES = ("raysweep", "ray", "torch", "torchvision", "tensorboard", "pandas", "numpy")


def run(
    spec: SweepSpec,
    *,
    runs: Path = Path("runs"),
    directory: Path = Path(),
    progress: Progress | None = None,
    retry_failed: bool = False,
    isolate: bool = False,
    limit: int | None = LIMIT,
) -> Results:
    """Train what the sweep's run directory lacks, and return all results.

    Args:
        spec: the sweep.
        runs: the directory that run directories are in.
        directory: what a trainable's file is relative to, the sweep file's own directory as a rule.
        progress: who is told what happens.
        retry_failed: run failed trials again.
        isolate: a fresh process for each trial, instead of reusing them.
        limit: how many trials may be planned; None for any number.

    Raises:
        SpecError, TrainableError, ClusterError, StoreError: before anything was started.
        KeyboardInterrupt: the state is saved; calling again goes on.
    """
    trials = plan(spec, limit)
    reference = Reference(spec.trainable, directory.resolve())
    locate(reference)
    store = RunDirectory((runs / spec.name).resolve())
    store.create()
    with store.lock():
        reconciliation = reconcile(trials, store)
        todo = _todo(reconciliation, retry_failed)
        progress = progress or Progress()
        with _logged(spec, store, directory):
            progress.planned(spec, reconciliation, len(todo))
            if todo:
                _train(_Work(spec, reference, store, todo, isolate), progress)
    results = read(store)
    if todo:
        results.write()
    return results


def _todo(reconciliation: Reconciliation, retry_failed: bool) -> list[Standing]:
    todo = reconciliation.missing(retry_failed)
    for standing in todo:
        if standing.state is State.FAILED:
            forget(standing.folder)
    return todo


@contextmanager
def _logged(spec: SweepSpec, store: RunDirectory, directory: Path) -> Iterator[None]:
    """Keep in sweep.json what is run, by whom and with what, from before it starts to after it ends."""
    entry: dict[str, Any] = {
        "started": time.time(),
        "ended": None,
        "command": shlex.join(sys.orig_argv),
        "directory": str(directory.resolve()),
        "host": platform.node(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(directory),
    }
    before = store.sweep()["runs"] if store.exists() else []
    content = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    store.write_sweep(content, [*before, entry])
    try:
        yield
    finally:
        store.write_sweep(content, [*before, {**entry, "ended": time.time()}])
        store.remove_scratch()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(directory: Path) -> str | None:
    """The commit of the sweep file's repository, with "+" where something is not committed."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(directory.resolve()), "describe", "--always", "--abbrev=40", "--dirty=+"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or None


@dataclass(frozen=True)
class _Work:
    """What is to be trained, and where it goes."""

    spec: SweepSpec
    reference: Reference
    store: RunDirectory
    todo: Sequence[Standing]
    isolate: bool


def _train(work: _Work, progress: Progress) -> None:
    load(work.reference)
    with progress, connected() as cluster:
        cluster.check(work.spec.resources)
        slots = cluster.slots(work.spec.resources)
        progress.connected(cluster, min(slots, work.spec.max_concurrent or slots))
        # each event makes Tune look at all waiting trials; twice what can run is enough to keep all busy
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(2 * slots)
        _tuner(work, progress).fit()


def _tuner(work: _Work, progress: Progress) -> Tuner:
    """Ray Tune's grid search over what is missing."""
    from ray import tune

    from raysweep.listener import Listener
    from raysweep.trainable import SweepTrainable

    spec = work.spec
    jobs = [asdict(_job(work, standing)) for standing in work.todo]
    return tune.Tuner(
        tune.with_resources(SweepTrainable, {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(
            reuse_actors=not work.isolate,
            max_concurrent_trials=spec.max_concurrent,
            trial_dirname_creator=lambda trial: Path(trial.config["job"]["folder"]).name,
            trial_name_creator=lambda trial: trial.config["job"]["name"],
        ),
        run_config=tune.RunConfig(
            name=SCRATCH,
            storage_path=str(work.store.path),
            failure_config=tune.FailureConfig(max_failures=spec.retries),
            callbacks=[Listener(progress, work.todo)],
            verbose=0,
        ),
    )


def _job(work: _Work, standing: Standing) -> Job:
    from raysweep.recording import Job

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
        threads=max(1, int(spec.resources.cpu)),
        seed=seed if isinstance(seed, int) and 0 <= seed < 2**63 else spec.sweep_seed,
    )
