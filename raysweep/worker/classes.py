"""A training class, a `ray.tune.Trainable`, at work: one step after another."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.training.reporting import as_metrics, flattened
from raysweep.worker.reporter import Reporter

if TYPE_CHECKING:
    from ray import tune

# What Tune adds to every result of a class.
_AUTOFILLED = {
    "trial_id", "date", "timestamp", "time_this_iter_s", "time_total_s", "pid", "hostname", "node_ip", "config",
    "time_since_restore", "iterations_since_restore", "timesteps_since_restore", "done", "training_iteration",
    "checkpoint_dir_name", "should_checkpoint", "experiment_tag", "timesteps_total", "episodes_total",
}  # fmt: skip


def train_class(target: type[tune.Trainable], reporter: Reporter) -> None:
    """Let a class train step by step until it says that it is done; its checkpoints come with each report.

    Raises:
        Exception: whatever it raises.
    """
    from ray import tune
    from ray.tune.result import DONE

    inner = target(config=dict(reporter.recording.trial.config))
    saves = type(inner).save_checkpoint is not tune.Trainable.save_checkpoint
    if saves and reporter.checkpoint is not None:
        _restore(inner, reporter)
    try:
        while not _step(inner, reporter, saves)[DONE]:
            pass
    finally:
        inner.stop()


def _step(inner: tune.Trainable, reporter: Reporter, saves: bool) -> Any:
    result = inner.train()
    metrics = as_metrics(flattened({name: value for name, value in result.items() if name not in _AUTOFILLED}))
    if saves:
        with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
            inner.save(folder)
            reporter.report(metrics, Path(folder))
    else:
        reporter.report(metrics)
    return result


def _restore(inner: tune.Trainable, reporter: Reporter) -> None:
    from ray import tune
    from ray.train._internal.checkpoint_manager import _TrainingResult
    from ray.tune.result import TIME_TOTAL_S, TRAINING_ITERATION

    reports = reporter.recording.reports
    metrics = {TRAINING_ITERATION: reports.epoch, TIME_TOTAL_S: reports.run_duration}
    inner.restore(_TrainingResult(tune.Checkpoint.from_directory(str(reporter.checkpoint)), metrics))
