"""The Tune trainable around a user's: one actor, which runs trials one after another.

Ray Tune schedules; the trial's folder is written here, in the worker, by `Recording`. So the driver's work
per report does not grow with what is recorded, and a trial's state does not depend on the driver's life.
A user's exception is recorded and the trial ends as far as Tune is concerned: Tune's failures are then
lost workers and nothing else, which is what `retries` is for.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal.session import TrialInfo
from ray.tune.result import DONE, TIME_TOTAL_S, TRAINING_ITERATION, TRIAL_ID

from raysweep.class_training import ClassTraining
from raysweep.errors import StoreError
from raysweep.function_training import FunctionTraining
from raysweep.isolation import fence, isolate, warm_up
from raysweep.job import Job
from raysweep.mirror import place
from raysweep.recording import Recording
from raysweep.records import Report
from raysweep.reference import load
from raysweep.shelf import Shelf
from raysweep.staging import shelves

# What the driver finds in a result besides: the reports since the last one, as (epoch, seconds trained, metrics);
# the state in which the trial ended; the error it failed with; and the fault that must end the sweep.
REPORTS, STATE, ERROR, FAULT = "reports", "state", "error", "fault"
IDLE = 0.5  # seconds
PAUSED = "paused"  # Tune's name for the state of a trial that a scheduler pauses; there is no such file


class SweepTrainable(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Runs the trial that its configuration describes (`Job`, under "job"), and after a reset the next one."""

    # what a process has for all its trials, which are of one sweep
    _shelf: Shelf | None = None
    _target: Callable[..., Any] | None = None

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What the trial occupies."""
        return tune.PlacementGroupFactory([Job.from_json(config["job"]).resources])

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial on.

        Its folder is left alone until train(): Tune may still give the trial to another process, which it
        does when one that is reused is free before this one has started.
        """
        self._job = Job.from_json(config["job"])
        self._shelf = self._shelf or Shelf(shelves())
        self._target = self._target or warm_up(self._job.reference)
        self._recording: Recording | None = None
        self._training: FunctionTraining | ClassTraining | None = None
        self._fault: StoreError | None = None
        self._output = contextlib.ExitStack()

    def train(self) -> dict[str, Any]:
        """Train until the next report, or the end; returns what the driver needs to know of it."""
        if self._recording is None:
            self._attempt(self._begin)
        recording, training = self._recording, self._training
        if training is not None and recording is not None:
            reports, is_over = self._attempt(training.advance) or ([], recording.is_over)
        else:  # the run is to stop, the trial had ended before it came here, or it cannot be made
            reports, is_over = [recording.last] if recording is not None and recording.last is not None else [], True
        return self._result(reports, is_over or self._fault is not None)

    def _begin(self) -> None:
        """Begin the trial, or go on with it, unless the run was asked to stop."""
        job = self._job
        where = place(Path(job.folder), job.head)
        if where.stop_requested():
            time.sleep(IDLE)  # let the driver see that before it starts the next trial
            return
        self._recording = recording = Recording(job, where)
        if not recording.is_over:
            self._output.enter_context(contextlib.redirect_stdout(recording.output))
            self._output.enter_context(contextlib.redirect_stderr(recording.output))
            target = self._target or load(job.reference)
            isolate(job.seed, job.threads)
            fence(job.gpu)
            recording.start_clock()
            self._training = self._made(target, recording)

    def _made(self, target: Callable[..., Any], recording: Recording) -> FunctionTraining | ClassTraining:
        """The training, by the user's function or class."""
        if inspect.isclass(target):
            return ClassTraining(target, recording, self._storage)
        assert self._shelf is not None  # since setup()
        trial = TrialInfo(
            name=self.trial_name,
            id=self.trial_id,
            resources=self.trial_resources,
            logdir=str(recording.folder.path),
            driver_ip=None,
            driver_node_id=None,
            experiment_name=self._storage.experiment_dir_name,
        )
        return FunctionTraining(target, recording, trial, self._storage, self._shelf)

    def _attempt(self, step: Callable[[], Any]) -> Any:
        """Run user code: what it raises is the trial's failure, which is recorded; then None is returned.

        That the run directory cannot be written ends the sweep, and not just this trial.
        """
        try:
            return step()
        except StoreError as error:
            self._fault = error
        except Exception as error:  # and not SystemExit: Ray raises it here to end the process
            try:
                if self._recording is not None:
                    self._recording.fail(_origin(error))
            except StoreError as fault:
                self._fault = fault
        return None

    def _result(self, reports: Sequence[Report], is_over: bool) -> dict[str, Any]:
        recording, job = self._recording, self._job
        last = reports[-1] if reports else recording.last if recording is not None else None
        record = recording.record if recording is not None and recording.is_over and is_over else None
        error = record.error if record else None
        if error is not None and "CUDA error" in error.message:
            raise RuntimeError(error.message)  # this process's CUDA context is broken: Tune must not reuse it
        return {
            **({job.metric: last.metrics[job.metric]} if last and job.metric in last.metrics else {}),
            TRIAL_ID: self.trial_id,
            TRAINING_ITERATION: last.epoch if last else 0,
            TIME_TOTAL_S: last.run_duration if last else 0.0,
            DONE: is_over,
            REPORTS: [(report.epoch, report.run_duration, report.metrics) for report in reports],
            STATE: str(record.state) if record else "",
            ERROR: (error.type, error.message) if error else None,
            FAULT: str(self._fault) if self._fault else None,
        }

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """A scheduler pauses the trial: its state is in its folder already, which is let go of.

        The process waits for its next trial, and another may take this one up. Nothing is saved the way Tune would,
        which needs storage that all nodes share; what is returned only says that the trial can go on.
        """
        from ray.train._internal.checkpoint_manager import _TrainingResult

        self._end()
        return _TrainingResult(tune.Checkpoint.from_directory(f"{self._job.folder}/{PAUSED}"), {})

    def restore(self, checkpoint_path: object) -> None:
        """Nothing to do: train() goes on from the trial's folder."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in this process."""
        self._end()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Let go of the trial."""
        self._end()

    def _end(self) -> None:
        training, self._training = self._training, None
        try:
            if training is not None:
                training.close()
        finally:
            self._output.close()
            recording, self._recording = self._recording, None
            if recording is not None:
                recording.close()


def _origin(error: BaseException) -> BaseException:
    """The user's error under those that Tune wraps around it."""
    while type(error).__name__ in ("StartTraceback", "TuneError") and error.__cause__ is not None:
        error = error.__cause__
    return error
