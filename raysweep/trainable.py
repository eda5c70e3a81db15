"""The Tune trainable around a user's: one actor, which runs trials one after another.

Ray Tune schedules; the trial's folder is written here, in the worker, by `Recording`. So the driver's work
per report does not grow with what is recorded, and a trial's state does not depend on the driver's life.
A user's exception is recorded and the trial ends as far as Tune is concerned: Tune's failures are then
lost workers and nothing else, which is what `retries` is for.
"""

from __future__ import annotations

import contextlib
import inspect
import numbers
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune.result import DONE, RESULT_DUPLICATE, TIME_TOTAL_S, TRAINING_ITERATION, TRIAL_ID
from ray.tune.trainable import FunctionTrainable, wrap_function

from raysweep.errors import TrainableError
from raysweep.isolation import isolate
from raysweep.recording import Job, Recording
from raysweep.records import TrialError
from raysweep.reference import Reference, load
from raysweep.reporting import as_metrics, running
from raysweep.store import TrialFolder

METRICS, ERROR = "metrics", "error"  # where the driver finds what was reported, and why a trial failed

# What Tune adds to every result, and no user's function reports.
_AUTOFILLED = {
    "trial_id", "date", "timestamp", "time_this_iter_s", "time_total_s", "pid", "hostname", "node_ip", "config",
    "time_since_restore", "iterations_since_restore", "timesteps_since_restore", "done", "training_iteration",
    "checkpoint_dir_name", "should_checkpoint", "experiment_tag", "timesteps_total", "episodes_total",
}  # fmt: skip


class SweepTrainable(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Runs the trial that its configuration describes (`Job`, under "job"), and after a reset the next one."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial."""
        job = Job(**config["job"])
        self._ended = False
        self._recording = Recording(job)
        self._inner: tune.Trainable | None = None
        if self._recording.record.state.is_finished:
            return  # an earlier attempt ended it just before its worker was lost
        self._output = contextlib.ExitStack()
        self._output.enter_context(contextlib.redirect_stdout(self._recording.output))
        self._output.enter_context(contextlib.redirect_stderr(self._recording.output))
        self._attempt(self._begin)

    def _begin(self) -> None:
        job = self._recording.job
        target = load(Reference(job.trainable, Path(job.directory)))
        isolate(job.seed, job.threads)
        storage = _TrialStorage(self._storage, self._recording)
        inner = target if inspect.isclass(target) else wrap_function(_Function(target, self._recording))
        self._inner = inner(config=dict(job.config), storage=storage)
        if self._recording.checkpoint is not None:
            self._restore(self._recording.checkpoint)

    def _restore(self, checkpoint: Path) -> None:
        """Bring the user's trainable to where its last checkpoint was made."""
        from ray.train._internal.checkpoint_manager import _TrainingResult

        last = self._recording.last
        assert last is not None and self._inner is not None  # there is a checkpoint
        metrics = {TRAINING_ITERATION: last.epoch, TIME_TOTAL_S: last.run_duration}
        self._inner.restore(_TrainingResult(tune.Checkpoint.from_directory(str(checkpoint)), metrics))

    def train(self) -> dict[str, Any]:
        """Train until the next report, or the end; returns what the driver needs to know of it."""
        if self._inner is None or self._recording.record.state.is_finished:
            return self._result(done=True)
        started = time.perf_counter()
        result = self._attempt(self._inner.train)
        if result is None:
            return self._result(done=True)
        if RESULT_DUPLICATE in result:
            self._recording.finish(self._recording.missing_metric())
            return self._result(done=True)
        self._attempt(lambda: self._record(result, time.perf_counter() - started))
        return self._result(done=self._recording.record.state.is_finished)

    def _record(self, result: dict[str, Any], duration: float) -> None:
        """Record one report, and the end where this was the last one."""
        checkpoint = result.get("checkpoint_dir_name") or None
        if not isinstance(self._inner, FunctionTrainable):
            checkpoint = self._save()
        self._recording.add(_metrics(result), duration, checkpoint)
        if result.get(DONE) or self._recording.limit():
            self._recording.finish(self._recording.missing_metric())

    def _save(self) -> str | None:
        """Save a class trainable's state, where it can be saved."""
        assert self._inner is not None
        if type(self._inner).save_checkpoint is tune.Trainable.save_checkpoint:
            return None
        return Path(self._inner.save().checkpoint.path).name

    def _attempt(self, step: Callable[[], Any]) -> Any:
        """Run user code; what it raises is the trial's failure, recorded, and None is returned."""
        try:
            return step()
        except Exception as error:
            cause = _origin(error)
            message = str(cause)
            text = "".join(traceback.format_exception(cause))
            self._recording.finish(TrialError(type(cause).__name__, message), text)
            if "CUDA error" in message:
                raise  # the process's CUDA context is broken: Tune must not reuse it
            return None

    def _result(self, done: bool) -> dict[str, Any]:
        recording = self._recording
        last = recording.last if hasattr(recording, "last") else None
        metrics = dict(last.metrics) if last else {}
        return {
            **{name: value for name, value in metrics.items() if name not in _AUTOFILLED},
            TRIAL_ID: self.trial_id,
            TRAINING_ITERATION: last.epoch if last else 0,
            TIME_TOTAL_S: last.run_duration if last else 0.0,
            DONE: done,
            METRICS: metrics,
            ERROR: (error.type, error.message) if (error := recording.record.error) else None,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """For schedulers that pause trials: the state is in the trial's folder already."""
        return {"epoch": self._recording.epoch}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: setup() went on from the trial's folder."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in this process."""
        self._end()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Let go of the trial."""
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if isinstance(self._inner, FunctionTrainable):
            _stop_thread()
        if self._inner is not None:
            self._inner.stop()
            self._inner = None
        if hasattr(self, "_output"):
            self._output.close()
        self._recording.close()


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
        except Exception as error:
            text = "".join(traceback.format_exception(error.with_traceback(_below(error))))
            self._recording.finish(TrialError(type(error).__name__, str(error)), text)

    def _report(self, value: object) -> None:
        """What a function returns or yields is a report, as in Ray Tune."""
        if isinstance(value, Mapping):
            tune.report(dict(value))
        elif isinstance(value, numbers.Real):
            tune.report({self._recording.job.metric: value})
        elif value is not None:
            raise TrainableError(
                f"the training function returned a {type(value).__name__}; return nothing, a number or a dict of metrics"
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
        """Copy a checkpoint into the trial's folder."""
        with checkpoint.as_directory() as directory:
            target = self._folder.save_checkpoint(Path(directory), self.checkpoint_dir_name)
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
