"""How a trial ends: its state, what it failed with, and the limit that it reached."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from raysweep.store.fault import fault
from raysweep.store.records import Reached, Report, State, TrialError
from raysweep.sweepfile.members import Metric


@dataclass(frozen=True)
class Reports:
    """What counts of a trial's reports: the last one, and the best one by the metric."""

    metric: Metric
    last: Report | None = None
    best: Report | None = None

    @classmethod
    def of(cls, metric: Metric, reports: Iterable[Report]) -> Reports:
        """Those of a trial that is gone on with."""
        known = tuple(reports)
        return cls(metric, known[-1] if known else None, metric.best(known))

    def plus(self, report: Report) -> Reports:
        """With one more."""
        return replace(self, last=report, best=self.metric.best([self.best, report] if self.best else [report]))

    @property
    def epoch(self) -> int:
        """The last epoch, 0 before the first report."""
        return self.last.epoch if self.last else 0

    @property
    def run_duration(self) -> float:
        """Seconds trained until the last report."""
        return self.last.run_duration if self.last else 0.0

    def missing(self) -> TrialError | None:
        """What is wrong with them as a whole, when there will be no more."""
        name = self.metric.name
        if self.last is None:
            return TrialError("NoReport", "the training function returned without reporting; call raysweep.report()")
        if self.best is not None or not self.metric.is_named:
            return None
        if isinstance(self.last.metrics.get(name), str):
            return TrialError("MetricMissing", f"the metric {name!r} was reported as text, and never as a number")
        told = ", ".join(sorted(self.last.metrics)) or "nothing"
        return TrialError("MetricMissing", f"the metric {name!r} was never reported; reported: {told}")


@dataclass(frozen=True)
class Ending:
    """The end of an attempt at a trial.

    Attributes:
        state: INTERRUPTED where the trial is to go on in the next run.
        error: what it failed with.
        limit: the limit of `stop` that ended it.
        text: of error.txt, where there is more to tell than the error.
    """

    state: State
    error: TrialError | None = None
    limit: Reached | None = None
    text: str = ""

    @classmethod
    def complete(cls, reports: Reports, limit: Reached | None = None) -> Ending:
        """The end of a trial that returned, or reached a limit: done, unless its metric is missing."""
        error = reports.missing()
        return cls(State.DONE, limit=limit) if error is None else cls.failed(error)

    @classmethod
    def failed(cls, error: TrialError, text: str = "") -> Ending:
        """The end of a trial that failed."""
        return cls(error.state, error, text=text)

    @classmethod
    def interrupted(cls) -> Ending:
        """The end of an attempt that the next run goes on with, from the last checkpoint."""
        return cls(State.INTERRUPTED)

    @classmethod
    def raised(cls, error: BaseException, run: Path) -> Ending:
        """The end of a trial whose training raised an exception.

        Args:
            error: the exception.
            run: the run directory.

        Raises:
            StoreError: what was raised is that the run directory's disk cannot be written, which concerns all trials.
        """
        if isinstance(error, OSError) and (told := fault(error, run, ours=False)) is not None:
            raise told from error
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return cls.failed(TrialError.of(error), text)

    @classmethod
    def timed_out(cls, reports: Reports, seconds: float) -> Ending:
        """The end of a trial whose `stop.time` is up, and that has not reported for too long."""
        if reports.last is None:
            return cls.failed(TrialError("TimeLimit", f"nothing was reported within {seconds:g} s (stop.time)"))
        return cls.complete(reports, Reached("time", seconds))
