"""A few seconds of some trials, in a run directory of their own that is deleted: whether they run, and how fast."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysweep.driver.progress import Progress
from raysweep.driver.sweep import RunOptions, run
from raysweep.forecast.pace import Pace, paces, shape
from raysweep.plan.reconciliation import Reconciliation
from raysweep.plan.trials import Trial
from raysweep.results.trial import TrialResult
from raysweep.sweepfile.spec import SweepSpec, check

ENOUGH = 2.0  # seconds of training after which a rehearsed trial ends with its next report
ENDING = ("early_stopping", "early_terminate", "budget")  # keys by which trials end sooner


class _Clock(Progress):
    """Knows when the run began."""

    began = 0.0

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> None:
        super().planned(spec, reconciliation, todo, coming)
        self.began = time.time()


@dataclass(frozen=True)
class Rehearsal:
    """What was seen.

    Attributes:
        paces: of each shape that was rehearsed.
        failed: the trials that cannot run, with their errors.
        slots: how many trials run at once here.
        before: seconds from the run's start to its first trial's.
    """

    paces: dict[str, Pace]
    failed: tuple[TrialResult, ...]
    slots: int
    before: float


def representatives(trials: Sequence[Trial], known: Collection[str] = ()) -> list[Trial]:
    """The first trial of each shape whose pace is not known."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if (key := shape(trial.config)) not in known:
            found.setdefault(key, trial)
    return list(found.values())


def rehearse(spec: SweepSpec, directory: Path, trials: Sequence[Trial]) -> Rehearsal:
    """Run some of a sweep's trials until their first report, and for a little while where epochs are short.

    Args:
        spec: the sweep.
        directory: what its trainable's file is relative to.
        trials: which ones.

    Raises:
        ClusterError, TrainableError, BrokenOffError: as of a run.
    """
    content = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    whole = {key: value for key, value in content.items() if key not in ENDING}
    short = check({**whole, "stop": {"time": ENOUGH}, "retries": 0}, "the rehearsal")
    progress = _Clock()
    with tempfile.TemporaryDirectory(prefix="raysweep-rehearsal-", ignore_cleanup_errors=True) as runs:
        options = RunOptions(only=frozenset(trial.id for trial in trials), max_failures=0, limit=None)
        results = run(short, runs=runs, directory=directory, progress=progress, options=options)
        ids = {trial.id for trial in trials}
        seen = [trial for trial in results.trials if trial.id in ids]
        began = min((trial.started for trial in seen if trial.started is not None), default=progress.began)
        return Rehearsal(
            paces(seen),
            tuple(trial for trial in seen if trial.state.is_failure),
            progress.slots,
            max(0.0, began - progress.began),
        )
