"""A training function at work: in a thread of its own, which records what the function reports.

The function does not wait for the driver. A report returns once it is recorded, and the driver is told of all
that came since it last asked. Only where a scheduler may stop the trial, `Job.is_paced`, a report waits for its word.
"""

from __future__ import annotations

import inspect
import numbers
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal import session as tune_session
from ray.train._internal.storage import StorageContext

from raysweep.errors import StoreError, TrainableError
from raysweep.recording import Recording
from raysweep.records import Report
from raysweep.reporting import as_metrics, flattened, running
from raysweep.shelf import Shelf

GATHER = 0.05  # seconds that the driver is not bothered again for, while a function reports fast
PATIENCE = 5.0  # seconds that a function may take to return after its trial was ended


class Ended(BaseException):
    """Raised by a report where the trial has ended, to leave the function whatever exceptions it catches."""


class FunctionTraining:
    """A function that trains one trial.

    Args:
        target: the user's function.
        recording: of the trial.
        trial: what Ray Tune's context tells of it.
        storage: Ray Tune's.
        shelf: what trials share on this node.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        recording: Recording,
        trial: tune_session.TrialInfo,
        storage: StorageContext,
        shelf: Shelf,
    ) -> None:
        self._target = target
        self._shelf = shelf
        self._recording = recording
        self._changed = threading.Condition()
        self._untold: list[Report] = []
        self._may_go_on = True
        self._is_left = False
        self._has_returned = False
        self._fault: StoreError | None = None
        self._reported_at = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True, name="raysweep-training")
        tune_session._session = _TuneSession(self, trial, storage)

    def advance(self) -> tuple[list[Report], bool]:
        """Let it train until it has reported, or ended.

        Returns:
            The reports since the last call, and whether the trial is over.

        Raises:
            StoreError: the trial's folder cannot be written.
        """
        with self._changed:
            self._may_go_on = True
            self._changed.notify_all()
            if self._thread.ident is None:
                self._reported_at = time.perf_counter()
                self._thread.start()
            self._changed.wait_for(lambda: self._untold or self._is_over)
            if not self._recording.job.is_paced:
                self._changed.wait_for(lambda: self._is_over, GATHER)
            told, self._untold = self._untold, []
            if self._fault is not None:
                raise self._fault
            return told, self._is_over

    @property
    def _is_over(self) -> bool:
        return self._has_returned or self._recording.is_over

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that the trial goes on from, or the last that was reported."""
        return self._recording.checkpoint

    def report(self, metrics: Mapping[str, float | str], checkpoint: Path | None = None) -> None:
        """Record a report; called by the function.

        Raises:
            Ended: the trial is over.
        """
        recording = self._recording
        if self._is_left or recording.is_over:
            raise Ended
        try:
            name = None if checkpoint is None else recording.save_checkpoint(checkpoint)
            recording.add(metrics, time.perf_counter() - self._reported_at, name)
            if recording.place.stop_requested():
                recording.interrupt()
        except StoreError as fault:
            self._fault = fault
            raise Ended from None
        self._tell(recording.last)
        self._reported_at = time.perf_counter()

    def _tell(self, report: Report | None) -> None:
        with self._changed:
            if report is not None:
                self._untold.append(report)
            self._may_go_on = not self._recording.job.is_paced
            self._changed.notify_all()
            if not self._recording.is_over:
                self._changed.wait_for(lambda: self._may_go_on or self._is_left)
        if self._is_left or self._recording.is_over:
            raise Ended

    def _run(self) -> None:
        try:
            self._conclude(self._call())
        except StoreError as fault:
            self._fault = fault
        finally:
            with self._changed:
                self._has_returned = True
                self._changed.notify_all()

    def _call(self) -> BaseException | None:
        """Call the function; returns what it raised, its own frames first."""
        try:
            with running(self._recording.context(self, self._shelf)):
                output = self._target(dict(self._recording.job.config))
                for value in output if inspect.isgenerator(output) else [output]:
                    self._report_output(value)
        except BaseException as error:
            return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
        return None

    def _conclude(self, error: BaseException | None) -> None:
        """Record the trial's end."""
        if isinstance(error, Ended):
            return
        if error is None or (isinstance(error, SystemExit) and not error.code):  # sys.exit() is a way to return
            self._recording.finish(self._recording.missing_metric())
        else:
            self._recording.fail(error)

    def _report_output(self, value: object) -> None:
        """What a function returns or yields is a report, as in Ray Tune."""
        if isinstance(value, Mapping):
            self.report(as_metrics(flattened(value)))
        elif isinstance(value, numbers.Real):
            self.report(as_metrics({self._recording.job.metric: value}))
        elif value is not None:
            raise TrainableError(
                f"the training function returned a {type(value).__name__}; return nothing, a number or a dict"
            )

    def close(self) -> None:
        """End the function, which waits in a report or comes to one.

        Raises:
            RuntimeError: it does not end; the process cannot be used for another trial.
        """
        with self._changed:
            self._is_left = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)
        tune_session.shutdown_session()
        if self._thread.is_alive():
            raise RuntimeError("the training function did not return when it was stopped")


class _TuneSession(tune_session._TrainSession):  # type: ignore[misc]  # Ray ships no types
    """What `ray.tune.report`, `get_checkpoint` and `get_context` talk to."""

    def __init__(self, training: FunctionTraining, trial: tune_session.TrialInfo, storage: StorageContext) -> None:
        ranks = dict.fromkeys(("world_rank", "local_rank", "node_rank", "local_world_size", "world_size"))
        super().__init__(training_func=lambda: None, trial_info=trial, storage=storage, **ranks)
        self._training = training
        if training.checkpoint is not None:
            self.loaded_checkpoint = tune.Checkpoint.from_directory(str(training.checkpoint))

    def report(self, metrics: Mapping[str, Any], checkpoint: tune.Checkpoint | None = None) -> None:
        """Record a report."""
        values = as_metrics(flattened(metrics))
        if checkpoint is None:
            self._training.report(values)
            return
        with checkpoint.as_directory() as directory:
            self._training.report(values, Path(directory))
        self.loaded_checkpoint = tune.Checkpoint.from_directory(str(self._training.checkpoint))
