"""What is missing of a sweep, trained: Ray is connected, and Ray Tune runs the trials."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.driver.forks import Forks
from raysweep.driver.progress import Progress
from raysweep.driver.watchdog import Watchdog
from raysweep.engine.connection import ray_for
from raysweep.engine.nodes import Cluster
from raysweep.engine.shipping import Code
from raysweep.errors import BrokenOffError
from raysweep.plan.groups import grouped
from raysweep.plan.reconciliation import Standing
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.results.reading import read
from raysweep.results.trial import TrialResult
from raysweep.store.directory import SCRATCH, RunDirectory
from raysweep.store.records import State
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    from ray.tune import Tuner

    from raysweep.driver.halt import Halt

MOST = 64  # trials in a group where the file leaves it open: larger ones gain little, and wait for each other
BLOCK = 100  # trials; the square root of the most that are planned without asking
WORKER = "raysweep.worker.actor"  # what Ray's processes import as they start


@dataclass(frozen=True)
class Work:
    """What is to be trained, and where it goes.

    Attributes:
        spec: the sweep.
        reference: its trainable.
        code: the fingerprint of its source.
        store: the run directory.
        todo: the trials.
        forks: processes for them.
        lease: the token of the lease on the run directory.
        isolate: whether each gets a process of Ray's of its own.
        max_failures, ship, may_exit: see `RunOptions`.
        coming: how many trials a search is still to suggest.
    """

    spec: SweepSpec
    reference: Reference
    code: str | None
    store: RunDirectory
    todo: Sequence[Standing]
    forks: Forks
    lease: str | None = None
    isolate: bool = False
    max_failures: int | None = None
    ship: Sequence[str] = ()
    may_exit: bool = False
    coming: int = 0

    @property
    def shipped(self) -> Code:
        """What nodes of a cluster get of the sweep file's directory."""
        file = self.reference.file
        return Code(self.reference.directory, [file] if file else [], self.ship, self.store.path.parent)


def train(work: Work, progress: Progress) -> None:
    """Train it.

    Raises:
        ClusterError: before anything was started.
        BrokenOffError: Ray or the disk failed on the way.
    """
    with (
        progress,
        ray_for(work.shipped, (WORKER,), may_end=work.may_exit) as found,
        Watchdog(progress, found.processes, work.may_exit),  # leaves before Ray is shut down: that is no death
        _served(work, found) as receiver,
    ):
        if found.has_code:
            work = replace(work, reference=replace(work.reference, directory=Path()))
        cluster = found if found.is_private else _ready(found, work, receiver, progress)
        resources = work.spec.resources
        cluster.check(resources)
        slots = cluster.slots(resources)
        at_once = min(slots, work.spec.max_concurrent or slots)
        progress.ready(cluster, at_once)
        # fewer than Tune's own 200, and short trials that reuse one process would keep others from starting
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(200, 2 * cluster.most_slots(resources)))
        address = work.forks.address if found.is_private else None
        _fit(work, progress, _run(work, receiver, address), cluster)
    if progress.fault is not None:
        raise BrokenOffError(progress.reason)


def _ready(cluster: Cluster, work: Work, receiver: str | None, progress: Progress) -> Cluster:
    """The cluster once its nodes are there, and have been seen to be able to run trials."""
    from raysweep.engine import preflight

    preflight.wait_for_nodes(cluster.plan, progress.noticed)
    cluster = cluster.renewed()
    if not cluster.slots(work.spec.resources) and cluster.most_slots(work.spec.resources):
        progress.noticed("no node can run a trial yet; the autoscaler starts some")
    if len(cluster.nodes) > 1:
        preflight.check(work.reference, receiver)
    return cluster


def _served(work: Work, cluster: Cluster) -> AbstractContextManager[str | None]:
    """Serve the run directory to other nodes, also to those that come later; one's own Ray never has any."""
    if cluster.is_private:
        return nullcontext()
    from raysweep.transfer.receiver import serving

    return serving(work.store, work.lease)


def _run(work: Work, receiver: str | None, forks: Path | None) -> Run:
    spec = work.spec
    return Run(
        reference=work.reference,
        code=work.code,
        metric=spec.metric,
        limits=spec.limits,
        keep_last=spec.checkpoints.last,
        resources=spec.resources,
        sweep_seed=spec.sweep_seed,
        is_paced=spec.is_paced,
        in_ray=work.forks.in_ray,
        receiver=receiver,
        lease=work.lease,
        forks=forks,
        command=tuple(spec.command) if spec.command else None,
        readings=spec.report,
        is_timed=spec.fuse == "auto",
        retries=spec.retries,
    )


def _fit(work: Work, progress: Progress, run: Run, cluster: Cluster) -> None:
    from raysweep.driver.halt import Halt

    halt = Halt(work.spec, work.store, progress, work.max_failures)
    _tuner(work, progress, run, cluster, halt).fit()
    halt.close()


def _tuner(work: Work, progress: Progress, run: Run, cluster: Cluster, halt: Halt) -> Tuner:
    """Ray Tune over what is missing, and what is suggested then."""
    from ray import tune

    from raysweep.driver.listener import Listener
    from raysweep.driver.schedulers import scheduler
    from raysweep.worker.actor import SweepTrainable

    spec, trials = work.spec, {standing.trial.id: standing for standing in work.todo}
    groups = _groups(work, progress)
    share = cluster.share(spec.resources, min(len(groups) + work.coming, progress.slots))
    slots = cluster.most_slots(spec.resources)
    listener = Listener(progress, trials, groups, spec.max_epochs)
    needs = {kind: need for kind, need in (("CPU", spec.resources.cpu), ("GPU", share)) if need}
    return tune.Tuner(
        tune.with_parameters(SweepTrainable, run=run, trials=trials, groups=groups),
        param_space={"needs": needs, **({} if work.coming else {"trial": _grid([*groups])})},
        tune_config=tune.TuneConfig(
            reuse_actors=not (work.isolate or run.in_ray),
            **_order(work, progress, trials, slots),
            scheduler=scheduler(spec, progress.failing, groups, listener.stopped, _ended(work)),
            trial_dirname_creator=lambda trial: trials[trial.config["trial"]].folder.path.name,
            trial_name_creator=lambda trial: trials[trial.config["trial"]].trial.name,
        ),
        run_config=tune.RunConfig(
            name=SCRATCH,
            storage_path=str(work.store.path),
            # without this Tune saves the trainable once more at a trial's end
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=spec.retries),
            callbacks=[listener],
            stop=halt,
            verbose=0,
        ),
    )


def _ended(work: Work) -> Sequence[TrialResult]:
    """The trials of earlier runs, for early stopping; none where those that it stopped are to go on after all."""
    if not work.spec.is_paced or any(standing.state is State.STOPPED for standing in work.todo):
        return ()
    return read(work.store).trials


def _groups(work: Work, progress: Progress) -> dict[str, list[str]]:
    """The trials that are one of Tune's, by the first one; each is its own, unless the file says otherwise."""
    fuse = work.spec.fuse
    alone = {standing.trial.id: [standing.trial.id] for standing in work.todo}
    if not fuse:
        return alone
    if why := _unfused(work):
        progress.noticed(f"fuse: trials are trained one by one, since {why}")
        return alone
    most, slots = (MOST, progress.slots) if fuse == "auto" else (fuse, 1)
    groups = [[standing.trial.id for standing in group] for group in grouped(work.todo, most, slots)]
    progress.noticed(f"fuse: {len(work.todo)} trials in {len(groups)} groups")
    return {group[0]: group for group in groups}


def _unfused(work: Work) -> str | None:
    stopping = work.spec.early_stopping
    if work.forks.in_ray:
        return "they call Ray"
    if work.reference.is_program:
        return "each is a program of its own"
    if work.spec.resources.workers > 1:
        return "each has several processes"
    if work.coming:
        return "a search suggests each by what others have come to"
    return "hyperband pauses them" if stopping is not None and stopping.type == "hyperband" else None


def _order(work: Work, progress: Progress, trials: dict[str, Standing], slots: int) -> dict[str, Any]:
    """How Tune comes by its trials: it has all of them, or asks for each, as a search wants it."""
    most = work.spec.max_concurrent
    if not work.coming:
        return {"max_concurrent_trials": most}
    from raysweep.driver.asking import Asking

    asking = Asking(work.spec, work.store, trials, min(slots, most or slots), progress)
    return {"search_alg": asking, "num_samples": len(trials) + work.coming}


def _grid(ids: Sequence[str]) -> Any:
    """A grid search over trials, in blocks: for each value of a grid Tune copies the whole list that it is in."""
    from ray import tune

    blocks = [ids[start : start + BLOCK] for start in range(0, len(ids), BLOCK)]
    return tune.grid_search([tune.grid_search(list(block)) for block in blocks])
