"""What happens while a sweep runs, kept as figures; `display` shows them to people."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Any

from raysweep.plan.names import labels
from raysweep.plan.reconciliation import Reconciliation
from raysweep.plan.trials import Trial
from raysweep.store.records import State, TrialError
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    from raysweep.engine.nodes import Cluster


@dataclass
class Running:
    """A trial at work: its last epoch, that epoch's metrics, and when it started (monotonic seconds)."""

    trial: Trial
    since: float
    epoch: int = 0
    first_epoch: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.since

    def expected(self) -> float | None:
        """Seconds that it will have taken, by its epochs so far; None where that cannot be told."""
        total = self.trial.config.get("epochs")
        done = self.epoch - self.first_epoch
        if not isinstance(total, int) or done < 1:
            return None
        return self.elapsed / done * max(total - self.first_epoch, done)


class Progress:
    """Follows a sweep; this one tells nobody."""

    def __init__(self) -> None:
        self.spec: SweepSpec | None = None
        self.labels: dict[str, str] = {}  # of the trials, by id: short, and all different
        self.total = self.waiting = self.slots = 0
        self.counts: dict[State, int] = {}
        self.running: dict[str, Running] = {}
        self.durations: list[float] = []
        self.errors: list[tuple[Trial, TrialError]] = []
        self.best: tuple[Trial, float, int] | None = None
        self.cluster: Cluster | None = None
        self.fault: str | None = None  # why the sweep cannot go on, and what to do
        self.halted: str | None = None  # why the run ends before its last trial

    @property
    def ended_count(self) -> int:
        """How many trials have ended in this run."""
        return len(self.durations)

    @property
    def has_reached_target(self) -> bool:
        """Whether a trial has reached the `target` of the metric."""
        return self.spec is not None and self.best is not None and self.spec.metric.reaches(self.best[1])

    @property
    def at_work(self) -> list[Running]:
        """The trials that run now; a display has a thread of its own, and trials start and end meanwhile."""
        return list(self.running.values())

    @property
    def reason(self) -> str:
        """The fault as a person is told it."""
        return f"{self.fault}, and run again: what is done is kept"

    def noticed(self, text: str) -> None:
        """Something about the cluster that a person may want to know."""

    def failing(self, fault: str) -> None:
        """The sweep cannot go on; the first reason is the one that counts."""
        self.fault = self.fault or fault

    def halting(self, reason: str) -> None:
        """The run ends before its last trial."""
        self.halted = reason

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to close."""

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> None:
        """The plan is made; `todo` of its trials will run, and then those that are `coming`, of a search."""
        self.spec = spec
        self.labels = labels({s.trial.id: s.trial.name for s in reconciliation.standings})
        self.total, self.waiting = len(reconciliation.standings) + coming, todo + coming
        counts = reconciliation.counts()
        self.counts = {state: counts.get(state, 0) for state in State if state.is_finished}

    def suggested(self, trial: Trial) -> None:
        """A search has suggested a trial."""
        self.labels[trial.id] = trial.name

    def changed_code(self, trials: int) -> None:
        """So many trials were trained, or begun, by source code that has changed since."""

    def ready(self, cluster: Cluster, slots: int) -> None:
        """Ray is there, and runs `slots` trials at once."""
        self.cluster, self.slots = cluster, slots

    def started(self, trial: Trial) -> None:
        """A trial has a worker."""
        self.waiting -= 1
        self.running[trial.id] = Running(trial, time.monotonic())

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        """A trial reported `metrics` after `epoch`; it has trained for `seconds`."""
        running = self.running.get(trial.id)
        if running is None or epoch == running.epoch:
            return
        if running.epoch == 0:
            running.first_epoch = epoch - 1
        running.epoch, running.metrics = epoch, metrics
        self._compare(trial, epoch, metrics)

    def _compare(self, trial: Trial, epoch: int, metrics: Mapping[str, Any]) -> None:
        assert self.spec is not None  # planned() came before
        value = metrics.get(self.spec.metric.name)
        if isinstance(value, (int, float)) and (self.best is None or self.spec.metric.better(value, self.best[1])):
            self.best = (trial, value, epoch)

    def lost(self, trial: Trial) -> None:
        """A trial's worker was lost; it waits to be started again."""
        if self.running.pop(trial.id, None):
            self.waiting += 1

    def ended(self, trial: Trial, state: State, error: TrialError | None) -> None:
        """A trial has ended in `state`, or waits for the next run where that is INTERRUPTED."""
        running = self.running.pop(trial.id, None)
        if running is None:
            return
        if not state.is_finished:
            self.waiting += 1
            return
        self.durations.append(running.elapsed)
        self.counts[state] = self.counts.get(state, 0) + 1
        if error:
            self.errors.append((trial, error))

    def seconds_left(self) -> float | None:
        """An estimate from finished trials, else from finished epochs; None while there is neither."""
        if self.durations:
            typical = fmean(self.durations)
        else:
            expected = [seconds for running in self.at_work if (seconds := running.expected())]
            if not expected:
                return None
            typical = fmean(expected)
        rest = [max(0.0, (running.expected() or typical) - running.elapsed) for running in self.at_work]
        work = typical * self.waiting + sum(rest)
        return max(work / max(1, self.slots), max(rest, default=0.0))
