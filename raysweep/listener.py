"""Ray Tune's events, as `Progress` is told of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ray import tune
from ray.tune.result import DONE, TIME_TOTAL_S, TRAINING_ITERATION

from raysweep.progress import Progress
from raysweep.reconciliation import Standing
from raysweep.records import State, TrialError, TrialRecord
from raysweep.trainable import ERROR, METRICS


class Listener(tune.Callback):  # type: ignore[misc]  # Ray ships no types
    """Passes events on, and records what only the driver can see: that a worker was lost for good."""

    def __init__(self, progress: Progress, standings: Iterable[Standing]) -> None:
        self._progress = progress
        self._standings = {standing.trial.id: standing for standing in standings}

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its callbacks to restore them later, which is never done here."""
        return tune.Callback, ()

    def _standing(self, trial: Any) -> Standing:
        return self._standings[trial.config["job"]["id"]]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has a worker."""
        self._progress.started(self._standing(trial).trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """A trial reported, or ended."""
        planned = self._standing(trial).trial
        if result.get(METRICS):
            self._progress.reported(planned, result[TRAINING_ITERATION], result[TIME_TOTAL_S], result[METRICS])
        if result[DONE]:
            self._progress.ended(planned, TrialError(*result[ERROR]) if result[ERROR] else None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost; Tune starts it again."""
        self._progress.lost(self._standing(trial).trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost, and there are no retries left."""
        standing = self._standing(trial)
        self._progress.ended(standing.trial, _lost(standing))


def _lost(standing: Standing) -> TrialError | None:
    """Record that a trial lost its worker once too often, unless it had ended before."""
    trial = standing.trial
    record = standing.folder.record() or TrialRecord(trial.id, trial.name, "", trial.config, State.RUNNING)
    if record.state.is_finished:
        return record.error
    error = TrialError("WorkerLost", "the trial's process or node was lost, and there are no retries left")
    standing.folder.write(replace(record, state=State.FAILED, error=error, ended=time.time()))
    return error
