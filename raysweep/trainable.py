"""The Tune trainable around a user's: one actor, which runs trials one after another.

Ray Tune schedules; the trial's folder is written here, in the worker, by `Recording`. So the driver's work
per report does not grow with what is recorded, and a trial's state does not depend on the driver's life.
A user's exception is recorded and the trial ends as far as Tune is concerned: Tune's failures are then
lost workers and nothing else, which is what `retries` is for.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import numbers
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune.result import DONE, RESULT_DUPLICATE, TIME_TOTAL_S, TRAINING_ITERATION, TRIAL_ID
from ray.tune.trainable import FunctionTrainable, wrap_function

from raysweep.errors import StoreError, TrainableError
from raysweep.isolation import fence, isolate, warm_up
from raysweep.mirror import place
from raysweep.recording import Job, Recording
from raysweep.records import TrialError
from raysweep.reference import Reference, load
from raysweep.reporting import as_metrics, running
from raysweep.store import TrialFolder

# What the driver finds in a result besides: what was reported, the state in which the trial ended, the
# error it failed with, and the fault that must end the sweep.
METRICS, STATE, ERROR, FAULT = "metrics", "state", "error", "fault"
IDLE = 0.5  # seconds
PAUSED = "paused"  # Tune's name for the state of a trial that a scheduler pauses; there is no such file

Value = TypeVar("Value")

# What Tune adds to every result, and no user's function reports.
_AUTOFILLED = {
    "trial_id", "date", "timestamp", "time_this_iter_s", "time_total_s", "pid", "hostname", "node_ip", "config",
    "time_since_restore", "iterations_since_restore", "timesteps_since_restore", "done", "training_iteration",
    "checkpoint_dir_name", "should_checkpoint", "experiment_tag", "timesteps_total", "episodes_total",
}  # fmt: skip


class SweepTrainable(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Runs the trial that its configuration describes (`Job`, under "job"), and after a reset the next one."""

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
        self._recording: Recording | None = None
        self._inner: tune.Trainable | None = None
        self._fault: StoreError | None = None
        self._output = contextlib.ExitStack()
        warm_up(Reference(self._job.trainable, Path(self._job.directory)))

    def _begin(self) -> None:
        """Begin the trial, or go on with it, unless the run was asked to stop."""
        where = place(Path(self._job.folder), self._job.head)
        if where.stop_requested():
            time.sleep(IDLE)  # let the driver see that before it starts the next trial
            return
        self._recording = recording = Recording(self._job, where)
        if not recording.is_over:
            self._output.enter_context(contextlib.redirect_stdout(recording.output))
            self._output.enter_context(contextlib.redirect_stderr(recording.output))
            self._build(self._job, recording)

    def _build(self, job: Job, recording: Recording) -> None:
        """Make the user's trainable."""
        target = load(Reference(job.trainable, Path(job.directory)))
        isolate(job.seed, job.threads)
        fence(job.gpu)
        recording.start_clock()
        storage = _TrialStorage(self._storage, recording)
        inner: Any = target if inspect.isclass(target) else wrap_function(_Function(target, recording))
        self._inner = inner(config=dict(job.config), storage=storage)
        if recording.checkpoint is not None:
            self._restore(recording, recording.checkpoint)

    def _restore(self, recording: Recording, checkpoint: Path) -> None:
        """Bring the user's trainable to where its last checkpoint was made."""
        from ray.train._internal.checkpoint_manager import _TrainingResult

        assert recording.last is not None and self._inner is not None  # a checkpoint comes with a report
        metrics = {TRAINING_ITERATION: recording.last.epoch, TIME_TOTAL_S: recording.last.run_duration}
        self._inner.restore(_TrainingResult(tune.Checkpoint.from_directory(str(checkpoint)), metrics))

    def train(self) -> dict[str, Any]:
        """Train until the next report, or the end; returns what the driver needs to know of it."""
        if self._recording is None:
            self._attempt(self._begin)
        recording, inner = self._recording, self._inner
        if recording is not None and inner is not None and not recording.is_over and self._fault is None:
            self._attempt(lambda: self._step(recording, inner))
        return self._result()

    def _step(self, recording: Recording, inner: tune.Trainable) -> None:
        started = time.perf_counter()
        result = inner.train()
        if recording.fault is not None:
            raise recording.fault
        if RESULT_DUPLICATE in result:  # the function has returned
            recording.finish(recording.missing_metric())
            return
        checkpoint = result.get("checkpoint_dir_name") or None
        if not isinstance(inner, FunctionTrainable):
            checkpoint = _save(inner)
        recording.add(_metrics(result), time.perf_counter() - started, checkpoint)
        if result.get(DONE):
            recording.finish(recording.missing_metric())
        if recording.place.stop_requested():
            recording.interrupt()

    def _attempt(self, step: Callable[[], Value]) -> Value | None:
        """Run user code: what it raises is the trial's failure, which is recorded; then None is returned.

        That the run directory cannot be written ends the sweep, and not just this trial.
        """
        try:
            return step()
        except StoreError as error:
            self._fault = error
        except Exception as error:  # and not SystemExit: Ray raises it here to end the process
            cause = _origin(error)
            try:
                _fail(self._recording, cause)
            except StoreError as fault:
                self._fault = fault
            if "CUDA error" in TrialError.of(cause).message:
                raise  # the process's CUDA context is broken: Tune must not reuse it
        return None

    def _result(self) -> dict[str, Any]:
        recording = self._recording
        last = recording.last if recording else None
        metrics = dict(last.metrics) if last else {}
        record = recording.record if recording and recording.is_over else None
        return {
            **{name: value for name, value in metrics.items() if name not in _AUTOFILLED},
            TRIAL_ID: self.trial_id,
            TRAINING_ITERATION: last.epoch if last else 0,
            TIME_TOTAL_S: last.run_duration if last else 0.0,
            DONE: recording is None or recording.is_over or self._fault is not None,
            METRICS: metrics,
            STATE: str(record.state) if record else "",
            ERROR: (record.error.type, record.error.message) if record and record.error else None,
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
        inner, self._inner = self._inner, None
        if isinstance(inner, FunctionTrainable):
            _stop_thread()
        if inner is not None:
            inner.stop()
        self._output.close()
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()


def _fail(recording: Recording | None, error: BaseException) -> None:
    """Record what user code raised.

    Raises:
        StoreError: it cannot be written, or what was raised is that the disk is full.
    """
    if isinstance(error, StoreError):
        raise error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise StoreError(f"{error.filename or 'the disk'}: cannot be written: {error.strerror}")
    if recording is not None:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        recording.finish(TrialError.of(error), text)


def _save(inner: tune.Trainable) -> str | None:
    """Save a class trainable's state, where it can be saved; returns the checkpoint's folder."""
    if type(inner).save_checkpoint is tune.Trainable.save_checkpoint:
        return None
    return Path(inner.save().checkpoint.path).name


class _Function:
    """The user's function, as Tune's function API wants it: it never raises, and reports what it returns."""

    def __init__(self, target: Callable[..., Any], recording: Recording) -> None:
        self._target = target
        self._recording = recording
        self.__name__ = getattr(target, "__name__", "train")

    def __call__(self, config: dict[str, Any]) -> None:
        try:
            with running(self._recording.context):
                output = self._target(config)
                for value in output if inspect.isgenerator(output) else [output]:
                    self._report(value)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, SystemExit) and not error.code:
                if _ends_thread(error):
                    raise
                return  # the user's sys.exit() is a way to return
            try:
                _fail(self._recording, error.with_traceback(_below(error)))
            except StoreError as fault:
                self._recording.fault = fault

    def _report(self, value: object) -> None:
        """What a function returns or yields is a report, as in Ray Tune."""
        if isinstance(value, Mapping):
            tune.report(_metrics(value))
        elif isinstance(value, numbers.Real):
            tune.report({self._recording.job.metric: value})
        elif value is not None:
            raise TrainableError(
                f"the training function returned a {type(value).__name__}; return nothing, a number or a dict"
            )


class _TrialStorage(StorageContext):  # type: ignore[misc]  # Ray ships no types
    """Tune's storage of one trial, so that checkpoints go into the trial's folder, whole or not at all."""

    def __init__(self, storage: StorageContext, recording: Recording) -> None:
        self.__dict__.update(storage.__dict__)
        self._folder: TrialFolder = recording.folder
        self._recording = recording

    @property
    def checkpoint_dir_name(self) -> str:
        """The folder of the checkpoint that comes with the next report."""
        return f"checkpoint_{self._recording.epoch + 1:06d}"

    def persist_current_checkpoint(self, checkpoint: tune.Checkpoint) -> tune.Checkpoint:
        """Copy a checkpoint into the trial's folder.

        Raises:
            StoreError: the folder cannot be written.
        """
        with checkpoint.as_directory() as directory:
            if not Path(directory).is_dir():
                raise TrainableError(f"the checkpoint {directory!r} must be a directory, and there is none")
            name = self.checkpoint_dir_name
            target = self._recording.storing(lambda: self._folder.save_checkpoint(Path(directory), name))
        return tune.Checkpoint.from_directory(str(target))


def _metrics(result: Mapping[str, Any]) -> dict[str, float | str]:
    """What the user reported, less what Tune added; groups are flattened with slashes, as Tune does."""
    flat: dict[str, Any] = {}
    for name, value in result.items():
        if name in _AUTOFILLED:
            continue
        if isinstance(value, Mapping):
            flat.update({f"{name}/{inner}": member for inner, member in _metrics(value).items()})
        else:
            flat[name] = value
    return as_metrics(flat)


def _origin(error: BaseException) -> BaseException:
    """The user's error under those that Tune wraps around it."""
    while type(error).__name__ in ("StartTraceback", "TuneError") and error.__cause__ is not None:
        error = error.__cause__
    return error


def _below(error: BaseException) -> Any:
    """The traceback from the user's function on, without our own frame."""
    return error.__traceback__.tb_next if error.__traceback__ else None


def _ends_thread(error: SystemExit) -> bool:
    """Whether Tune raised it, in a report, to end the training thread of a trial that it stopped."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__") == "ray.train._internal.session"


def _stop_thread() -> None:
    """End the training thread of a trial that was stopped while it waited in a report.

    Raises:
        RuntimeError: it does not end; the process cannot be used for another trial.
    """
    from ray.train._internal.session import get_session

    session = get_session()
    if session is None:
        return
    session.finish(timeout=5)
    if session.training_thread.is_alive():
        raise RuntimeError("the training function did not return when it was stopped")
