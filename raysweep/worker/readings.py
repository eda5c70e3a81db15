"""Metrics read off what a script tells others: W&B, or a SummaryWriter. The script itself is not changed.

What is told belongs to a report once it has the sweep's metric; without one, whatever is told is a report.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from raysweep.errors import TrainableError
from raysweep.sweepfile.parameters import flat
from raysweep.training.reporting import as_metrics
from raysweep.worker.reporter import Reporter
from raysweep.worker.settings import when_imported

SUMMARY_WRITER = "torch.utils.tensorboard.writer"


@contextlib.contextmanager
def of(kind: str | None, reporter: Reporter) -> Iterator[None]:
    """Within the block, what the script tells is reported.

    Args:
        kind: "wandb", "tensorboard", or None for what it reports itself.
        reporter: of the trial.
    """
    if kind is None:
        yield
        return
    pending = _Pending(reporter)
    finish = _wandb(pending, reporter) if kind == "wandb" else _tensorboard(pending)
    yield
    finish()
    pending.flush()
    if not pending.has_reported and pending.metrics:
        raise TrainableError(
            f"the metric {reporter.recording.run.metric.name!r} was never told to {kind}; told were: "
            f"{', '.join(pending.metrics)}"
        )


class _Pending:
    """What has been told since the last report."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._metric = reporter.recording.run.metric.name
        self._step: Any = None
        self.metrics: dict[str, float] = {}
        self.has_reported = False

    def tell(self, metrics: Mapping[str, Any], step: Any) -> None:
        """Take numbers of a step; those of the step before are reported, where the metric is among them."""
        if step != self._step and self.is_complete:
            self.flush()
        self._step = step
        self.metrics |= _numbers(metrics)

    @property
    def is_complete(self) -> bool:
        """Whether what is there makes a report."""
        return bool(self.metrics) and (self._metric in self.metrics or not self._metric)

    def flush(self) -> None:
        """Report what is there, where it is a report."""
        if self.is_complete:
            metrics, self.metrics = self.metrics, {}
            self.has_reported = True
            self._reporter.report(as_metrics(metrics))


def _numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """What of it is a number, also in a tensor of one element; pictures, tables and texts are no metrics."""
    found: dict[str, float | str] = {}
    for name, value in told.items():
        with contextlib.suppress(TrainableError):
            found |= as_metrics({name: value})
    return {name: value for name, value in found.items() if not isinstance(value, str)}


def _tensorboard(pending: _Pending) -> Callable[[], None]:
    """Read the scalars of all SummaryWriters: each global step that has the metric is a report."""

    def change(module: Any) -> None:
        add = module.SummaryWriter.add_scalar

        def add_scalar(
            self: Any, tag: str, scalar_value: Any, global_step: Any = None, *rest: Any, **options: Any
        ) -> None:
            add(self, tag, scalar_value, global_step, *rest, **options)
            pending.tell({tag: scalar_value}, global_step)

        module.SummaryWriter.add_scalar = add_scalar

    when_imported(SUMMARY_WRITER, change)
    return lambda: None


def _wandb(pending: _Pending, reporter: Reporter) -> Callable[[], None]:
    """Read what is logged to W&B, which is offline: each log that has the metric is a report, or the summary is."""
    config = reporter.recording.trial.config
    os.environ.setdefault("WANDB_MODE", "disabled")  # and no network; "offline" leaves W&B's own files as well
    runs: list[Any] = []

    def change(wandb: Any) -> None:
        begin = wandb.init

        def init(*arguments: Any, **options: Any) -> Any:
            run = begin(*arguments, **options)
            run.config.update({**config, **flat(config)}, allow_val_change=True)  # a sweep's come first, as in W&B
            log = run.log

            def logged(data: Mapping[str, Any], step: Any = None, commit: Any = None, **more: Any) -> None:
                log(data, step=step, commit=commit, **more)
                pending.tell(flat(data), step)
                if step is None and commit is not False and pending.is_complete:
                    pending.flush()

            run.log = wandb.log = logged
            runs.append(run)
            return run

        wandb.init = init

    def finish() -> None:
        if not pending.has_reported and not pending.is_complete and runs:
            pending.tell(flat(dict(runs[-1].summary)), None)

    when_imported("wandb", change)
    return finish
