"""A training class, a `ray.tune.Trainable`, at work: one step after another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune.result import DONE, TIME_TOTAL_S, TRAINING_ITERATION

from raysweep.recording import Recording
from raysweep.records import Report
from raysweep.reporting import as_metrics, flattened

# What Tune adds to every result of a class.
_AUTOFILLED = {
    "trial_id", "date", "timestamp", "time_this_iter_s", "time_total_s", "pid", "hostname", "node_ip", "config",
    "time_since_restore", "iterations_since_restore", "timesteps_since_restore", "done", "training_iteration",
    "checkpoint_dir_name", "should_checkpoint", "experiment_tag", "timesteps_total", "episodes_total",
}  # fmt: skip


class ClassTraining:
    """A class that trains one trial.

    Args:
        target: the user's class.
        recording: of the trial, which is gone on with from its last checkpoint.
        storage: Ray Tune's.
    """

    def __init__(self, target: type[tune.Trainable], recording: Recording, storage: StorageContext) -> None:
        self._recording = recording
        self._inner = target(config=dict(recording.job.config), storage=_TrialStorage(storage, recording))
        if recording.checkpoint is not None and recording.last is not None:
            metrics = {TRAINING_ITERATION: recording.last.epoch, TIME_TOTAL_S: recording.last.run_duration}
            checkpoint = tune.Checkpoint.from_directory(str(recording.checkpoint))
            self._inner.restore(_TrainingResult(checkpoint, metrics))

    def advance(self) -> tuple[list[Report], bool]:
        """Train one step.

        Returns:
            Its report, and whether the trial is over.

        Raises:
            StoreError: the trial's folder cannot be written.
            Exception: whatever the class raises.
        """
        recording, started = self._recording, time.perf_counter()
        result = self._inner.train()
        recording.add(_metrics(result), time.perf_counter() - started, self._save())
        if result.get(DONE):
            recording.finish(recording.missing_metric())
        if recording.place.stop_requested():
            recording.interrupt()
        assert recording.last is not None  # just added
        return [recording.last], recording.is_over

    def _save(self) -> str | None:
        """Save the state, where the class can; returns the checkpoint's name."""
        if type(self._inner).save_checkpoint is tune.Trainable.save_checkpoint:
            return None
        return Path(self._inner.save().checkpoint.path).name

    def close(self) -> None:
        """Let the class clean up."""
        self._inner.stop()


class _TrialStorage(StorageContext):  # type: ignore[misc]  # Ray ships no types
    """Tune's storage of one trial, so that checkpoints go into the trial's folder, whole or not at all."""

    def __init__(self, storage: StorageContext, recording: Recording) -> None:
        self.__dict__.update(storage.__dict__)
        self._recording = recording

    @property
    def checkpoint_dir_name(self) -> str:
        """The folder of the checkpoint that comes with the next report."""
        return self._recording.next_checkpoint

    def persist_current_checkpoint(self, checkpoint: tune.Checkpoint) -> tune.Checkpoint:
        """Copy a checkpoint into the trial's folder.

        Raises:
            StoreError: the folder cannot be written.
        """
        with checkpoint.as_directory() as directory:
            name = self._recording.save_checkpoint(Path(directory))
        return tune.Checkpoint.from_directory(str(self._recording.folder.path / name))


def _metrics(result: dict[str, Any]) -> dict[str, float | str]:
    return as_metrics(flattened({name: value for name, value in result.items() if name not in _AUTOFILLED}))
