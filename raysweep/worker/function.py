"""A training function at work."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import TrainableError
from raysweep.training.reporting import as_metrics, flattened
from raysweep.worker.reporter import Reporter
from raysweep.worker.settings import when_imported

if TYPE_CHECKING:
    from ray import tune

UNNAMED = "value"  # what a number is called that a function returns, where the sweep has no metric
SESSION = "ray.train._internal.session"  # what `ray.tune.report` and its like talk to


def train_function(target: Callable[..., Any], reporter: Reporter) -> None:
    """Call a training function until it returns.

    What it returns or yields is a report, too, as in Ray Tune.

    Raises:
        Exception: whatever it raises.
    """
    when_imported(SESSION, lambda session: _answer_tune(session, reporter))
    output = target(dict(reporter.recording.trial.config))
    for value in output if inspect.isgenerator(output) else [output]:
        if isinstance(value, Mapping):
            reporter.report(as_metrics(flattened(value)))
        elif isinstance(value, numbers.Real):
            reporter.report(as_metrics({reporter.recording.run.metric.name or UNNAMED: value}))
        elif value is not None:
            raise TrainableError(
                f"the training function returned a {type(value).__name__}; return nothing, a number or a dict"
            )


def _answer_tune(session: Any, reporter: Reporter) -> None:
    """Take the calls of `ray.tune.report`, `get_checkpoint` and `get_context`."""
    session._session = _TuneSession(reporter)


class _TuneSession:
    """What Ray Tune's functions talk to: of `_TrainSession` in Ray, all that they ask for in a trial."""

    storage = dataset_shard = metadata = None
    world_rank = local_rank = node_rank = local_world_size = world_size = None  # which also says: Tune, and not Train

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        recording = reporter.recording
        self.trial_name, self.trial_id = recording.trial.name, recording.trial.id
        self.trial_resources = recording.run.resources.model_dump()
        self.trial_dir = str(recording.folder.path)
        self.experiment_name = recording.folder.path.parent.name

    @property
    def loaded_checkpoint(self) -> tune.Checkpoint | None:
        """The checkpoint that the trial goes on from, or the last that was reported."""
        from ray import tune

        path = self._reporter.checkpoint
        return None if path is None else tune.Checkpoint.from_directory(str(path))

    def report(self, metrics: Mapping[str, Any], checkpoint: tune.Checkpoint | None = None) -> None:
        """Record a report."""
        values = as_metrics(flattened(metrics))
        if checkpoint is None:
            self._reporter.report(values)
            return
        with checkpoint.as_directory() as directory:
            self._reporter.report(values, Path(directory))
