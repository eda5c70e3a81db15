"""What early stopping knows of trials that ended in earlier runs: it is told of them anew, from their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ray.tune import schedulers
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import TrialScheduler

from raysweep.results.trial import TrialResult
from raysweep.store.records import State
from raysweep.worker.actor import COMPARED


@dataclass(frozen=True)
class _Ended:
    """A trial as far as a scheduler looks at one of Tune's."""

    trial_id: str


def replay(inner: TrialScheduler, name: str, trials: Iterable[TrialResult]) -> None:
    """Tell a scheduler of Ray Tune's of the trials that have ended, so that new ones are held against them.

    Hyperband is not told: its brackets are of trials that run together.

    Args:
        inner: the scheduler.
        name: the metric's.
        trials: of the sweep; those that count are done, or were stopped early.
    """
    for trial in trials:
        if trial.state not in (State.DONE, State.STOPPED):
            continue
        ended = _Ended(trial.id)
        if isinstance(inner, schedulers.MedianStoppingRule):
            for result in _results(trial, name):
                inner.on_trial_complete(None, ended, result)
        elif isinstance(inner, schedulers.ASHAScheduler):
            inner.on_trial_add(None, ended)
            for result in _results(trial, name):
                inner.on_trial_result(None, ended, result)
            inner.on_trial_remove(None, ended)


def _results(trial: TrialResult, name: str) -> Iterator[dict[str, Any]]:
    """The reports that have the metric as a number, as Tune would have them."""
    for report in trial.reports:
        if isinstance(value := report.metrics.get(name), (int, float)):
            yield {TRAINING_ITERATION: report.epoch, COMPARED: value}
