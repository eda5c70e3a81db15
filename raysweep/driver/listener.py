"""Ray Tune's events, as `Progress` is told of them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import DONE, TRAINING_ITERATION

from raysweep.driver.progress import Progress
from raysweep.errors import StoreError
from raysweep.plan.reconciliation import Standing
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import reason
from raysweep.store.folder import UnreadableError
from raysweep.store.records import State, TrialError, TrialRecord
from raysweep.worker.actor import TOLD
from raysweep.worker.attempt import Told
from raysweep.worker.process import DiedError


class Listener(tune.Callback):  # type: ignore[misc]  # Ray ships no types
    """Passes events on, and records what only the driver can see: that a worker was lost for good."""

    def __init__(
        self,
        progress: Progress,
        standings: Mapping[str, Standing],
        groups: Mapping[str, Sequence[str]],
        max_epochs: int | None,
    ) -> None:
        self._progress = progress
        self._max_epochs = max_epochs  # where Tune's schedulers stop a trial that is complete
        self._standings = standings  # a search adds to them
        self._groups = groups
        self.stopped: set[str] = set()  # of groups, the trials that the scheduler has stopped

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its callbacks to restore them later, which is never done here."""
        return tune.Callback, ()

    def _group(self, trial: Any) -> Mapping[str, Standing]:
        """The trials that are one of Tune's, by id."""
        first = trial.config["trial"]
        return {id: self._standings[id] for id in self._groups.get(first, [first])}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has a worker."""
        for standing in self._group(trial).values():
            self._progress.started(standing.trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """A trial reported, or ended."""
        group = self._group(trial)
        for id, plain in result[TOLD]:
            self._tell(group[id], Told.of(plain))
        # what Tune's scheduler has decided; the worker waits for what comes next
        ended = group.keys() if result[DONE] else self.stopped & group.keys()
        for id in [id for id in group if id in ended and id in self._progress.running]:
            epoch = result[TRAINING_ITERATION] if len(group) == 1 else self._progress.running[id].epoch
            complete = self._max_epochs is not None and epoch >= self._max_epochs
            self._end(group[id], State.DONE if complete else State.STOPPED, None)

    def _tell(self, standing: Standing, told: Told) -> None:
        if told.fault is not None:
            self._progress.failing(told.fault)
        if told.notice is not None:
            self._progress.noticed(told.notice)
        for report in told.reports:
            self._progress.reported(standing.trial, report.epoch, report.run_duration, report.metrics)
        if told.state is not State.RUNNING:
            self._progress.ended(standing.trial, told.state, told.error)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended; without a last report where a scheduler ends one that it had paused."""
        for standing in self._group(trial).values():
            if standing.trial.id in self._progress.running:
                self._end(standing, State.STOPPED, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost; Tune starts it again."""
        for standing in self._group(trial).values():
            self._progress.lost(standing.trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker was lost, and there are no retries left."""
        group, loss = self._group(trial), _loss(trial)
        for standing in group.values():
            if len(group) == 1 or standing.trial.id in self._progress.running:
                self._end(standing, State.FAILED, loss)

    def _end(self, standing: Standing, state: State, error: TrialError | None) -> None:
        """Record what the driver decided, unless the trial had ended by itself."""
        trial, run = standing.trial, standing.folder.path.parent
        try:
            if error is not None:
                RunDirectory(run, standing.folder.fence).revoke(standing.folder.path.name)
            record = self._ended(standing, state, error)
        except (StoreError, OSError) as problem:
            self._progress.failing(reason(problem, run))
            self._progress.ended(trial, State.INTERRUPTED, None)
        else:
            self._progress.ended(trial, record.state, record.error)

    def _ended(self, standing: Standing, state: State, error: TrialError | None) -> TrialRecord:
        trial, folder = standing.trial, standing.folder
        try:
            before = folder.record()
        except UnreadableError:
            folder.set_aside()
            before = None
        record = before or TrialRecord(trial.id, trial.name, "", trial.config, state)
        is_open = before is None or record.state is State.RUNNING
        if is_open or (error is not None and not record.state.is_finished):
            record = replace(record, state=error.state if error else state, error=error, ended=time.time())
            folder.write(record)
        return record


def _loss(trial: Any) -> TrialError:
    """What a worker was lost of, as far as it could say itself, or Ray knows."""
    told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    if died := re.search(rf"{DiedError.__name__}: (\w+): (.*)", told):  # the last line of what Ray tells of it
        return TrialError(died[1], died[2])
    if "OutOfMemory" in told or "running low on memory" in told:  # Ray's memory monitor ended it
        return TrialError("MemoryError", "the node ran out of memory, and Ray ended the trial's process")
    return TrialError("WorkerLost", "the trial's process or node was lost, and there are no retries left")
