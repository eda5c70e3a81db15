"""What all trials of a run have in common; it travels to the workers beside each trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raysweep.plan.reference import Reference
from raysweep.plan.seeds import seed_of
from raysweep.plan.trials import Trial
from raysweep.sweepfile.limits import Limit
from raysweep.sweepfile.members import Metric, Resources


@dataclass(frozen=True)
class Run:
    """What a worker is told of its run; not to be changed.

    Attributes:
        reference: the trainable.
        code: the fingerprint of its source.
        metric: what trials are compared by.
        limits: of "epoch", "time" (seconds) and metrics, each as (comparison, number).
        keep_last: how many of the last checkpoints are kept, beside the best.
        resources: what the sweep file gives each trial; it may occupy more of a GPU, but has no more of its memory.
        sweep_seed: what the random generators of trials without a seed start from.
        is_paced: whether each report waits for a scheduler, which may stop the trial.
        in_ray: whether trials run inside Ray's own processes, because the trainable calls Ray.
        receiver: the name of the actor that serves the run directory on a cluster; see `transfer.mirror.place`.
        lease: the token of the lease that the run has on its directory, by which a worker knows that it still does.
        forks: where the fork server of this machine listens; None where each worker is to start its own.
        command: how a program is started, which the trainable then is; None for as W&B does.
        readings: what its metrics are read off, "wandb" or "tensorboard"; None where it reports them itself.
        is_timed: whether trials are trained as one program only where that is faster.
        retries: how often a trial is started again whose process has died, of those that share one.
    """

    reference: Reference
    code: str | None
    metric: Metric
    limits: Mapping[str, Limit]
    keep_last: int
    resources: Resources
    sweep_seed: int
    is_paced: bool = False
    in_ray: bool = False
    receiver: str | None = None
    lease: str | None = None
    forks: Path | None = None
    command: tuple[str, ...] | None = None
    readings: str | None = None
    is_timed: bool = False
    retries: int = 1

    @property
    def threads(self) -> int:
        """How many threads torch and OpenMP may use in each process of a trial."""
        return self.resources.threads

    def seed(self, trial: Trial) -> int:
        """What the random generators of a trial start from."""
        return seed_of(trial.config, self.sweep_seed)
