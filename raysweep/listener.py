"""Ray Tune's events, as `Progress` is told of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import DONE, TRAINING_ITERATION

from raysweep.job import Job
from raysweep.progress import Progress
from raysweep.reconciliation import Standing
from raysweep.records import State, TrialError, TrialRecord
from raysweep.trainable import ERROR, FAULT, REPORTS, STATE


class Listener(tune.Callback):  # type: ignore[misc]  # Ray ships no types
    """Passes events on, and records what only the driver can see: that a worker was lost for good."""

    def __init__(self, progress: Progress, standings: Iterable[Standing], max_epochs: int | None) -> None:
        self._progress = progress
        self._max_epochs = max_epochs  # where Tune's schedulers stop a trial that is complete
        self._standings = {standing.trial.id: standing for standing in standings}

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its callbacks to restore them later, which is never done here."""
        return tune.Callback, ()

    def _standing(self, trial: Any) -> Standing:
        return self._standings[Job.from_json(trial.config["job"]).id]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has a worker."""
        self._progress.started(self._standing(trial).trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """A trial reported, or ended."""
        standing = self._standing(trial)
        if result.get(FAULT):
            self._progress.fault = f"{result[FAULT]}; make room, or make it writable"
        for report in result[REPORTS]:
            self._progress.reported(standing.trial, *report)
        if result[STATE]:
            error = TrialError(*result[ERROR]) if result[ERROR] else None
            self._progress.ended(standing.trial, State(result[STATE]), error)
        elif result[DONE] and not result[FAULT] and result[TRAINING_ITERATION]:
            # the worker did not end it, so Tune's scheduler did, and the worker waits for what comes next
            complete = self._max_epochs is not None and result[TRAINING_ITERATION] >= self._max_epochs
            self._end(standing, State.DONE if complete else State.STOPPED, None)
        elif result[DONE]:
            self._progress.ended(standing.trial, State.INTERRUPTED, None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended; without a last report where a scheduler ends one that it had paused."""
        standing = self._standing(trial)
        if standing.trial.id in self._progress.running:
            self._end(standing, State.STOPPED, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost; Tune starts it again."""
        self._progress.lost(self._standing(trial).trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost, and there are no retries left."""
        standing = self._standing(trial)
        standing.folder.revoke()
        self._end(standing, State.FAILED, _loss(trial))

    def _end(self, standing: Standing, state: State, error: TrialError | None) -> None:
        """Record what the driver decided, unless the trial had ended by itself."""
        trial = standing.trial
        record = standing.folder.record() or TrialRecord(trial.id, trial.name, "", trial.config, state)
        if record.state in (State.RUNNING, state):
            record = replace(record, state=error.state if error else state, error=error, ended=time.time())
            standing.folder.write(record)
        self._progress.ended(trial, record.state, record.error)


def _loss(trial: Any) -> TrialError:
    """What a worker was lost of, as far as Ray knows."""
    told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    if "OutOfMemory" in told or "running low on memory" in told:  # Ray's memory monitor ended it
        return TrialError("MemoryError", "the node ran out of memory, and Ray ended the trial's process")
    return TrialError("WorkerLost", "the trial's process or node was lost, and there are no retries left")
