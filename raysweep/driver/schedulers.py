"""Ray Tune's schedulers for `early_stopping` and `early_terminate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune import schedulers
from ray.tune.result import TIME_TOTAL_S, TRAINING_ITERATION
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raysweep.driver.replay import replay
from raysweep.results.trial import TrialResult
from raysweep.store.records import Report, State, TrialError
from raysweep.sweepfile.spec import SweepSpec
from raysweep.worker.actor import COMPARED, TOLD
from raysweep.worker.attempt import Told

NONE: Mapping[str, Sequence[str]] = {}  # of groups
RUNGS = 20  # of W&B's min_iter, which has no last one; a trial of so many reports there is not


class HyperBand(schedulers.HyperBandScheduler):  # type: ignore[misc]  # Ray ships no types
    """HyperBand that also ends the trials which were about to pause when their bracket came to its end.

    Ray's own ends only those that have paused, as of 2.60, so that the others wait for ever, and the sweep with them.
    It also needs the metric in each report. Here a trial without one is compared by the last that it reported, and one
    that has reported none yet is the worst.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._last: dict[Any, float] = {}
        self._worst = -math.inf if options["mode"] == "max" else math.inf

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> Any:
        """Whether a trial goes on, waits or ends."""
        value = result.get(self.metric, math.nan)
        if not math.isnan(value):
            self._last[trial] = value
        known = {self.metric: self._last.get(trial, self._worst)}
        return super().on_trial_result(tune_controller, trial, {**result, **known})

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that goes on next, if there is one; Tune asks at every step."""
        for bracket in [bracket for band in self._hyperbands for bracket in band if bracket.finished()]:
            bracket.cleanup_full(tune_controller)
        return super().choose_trial_to_run(tune_controller)


class ASHA(schedulers.ASHAScheduler):  # type: ignore[misc]  # Ray ships no types
    """ASHA that leaves it to the training function when a trial is complete.

    Ray's own ends a trial at `max_t` reports. Where that is the parameter `epochs`, a function that reports several
    times per epoch would be cut in mid-training, and one that reports once per epoch ends there anyway.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on or ends."""
        decision = super().on_trial_result(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE if result[TRAINING_ITERATION] >= self._max_t else decision)


class Careful(TrialScheduler):  # type: ignore[misc]  # Ray ships no types
    """Another scheduler, of which an error is told, and ends the run in order; in Tune it would leave the trials as is.

    Args:
        inner: the scheduler.
        fail: is told what went wrong.
    """

    def __init__(self, inner: TrialScheduler, fail: Callable[[str], None]) -> None:
        super().__init__()
        self._inner = inner
        self._fail = fail
        self._metric = inner.metric
        self._supports_buffered_results = inner.supports_buffered_results

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its scheduler to restore it later, which is never done here."""
        return FIFOScheduler, ()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is there."""
        self._try(self._inner.on_trial_add, tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial has failed."""
        self._try(self._inner.on_trial_error, tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on, waits or ends."""
        decision: str | None = self._try(self._inner.on_trial_result, tune_controller, trial, self._comparable(result))
        return decision or str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended."""
        self._try(self._inner.on_trial_complete, tune_controller, trial, self._comparable(result))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial that had not begun, or waited, is ended."""
        self._try(self._inner.on_trial_remove, tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that goes on next, if there is one."""
        return self._try(self._inner.choose_trial_to_run, tune_controller)

    def debug_string(self) -> str:
        """What Tune would print."""
        return str(self._inner.debug_string())

    def _comparable(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result without its metric where that is a text; none of the schedulers needs one in each."""
        is_number = isinstance(result.get(self._metric), (int, float))
        return result if is_number else {name: value for name, value in result.items() if name != self._metric}

    def _try(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # whatever is wrong in it
            kind = type(self._inner).__name__
            self._fail(
                f'early_stopping: {kind} failed ({TrialError.of(error)}); choose another "type", or leave it out'
            )
            return None


@dataclass(frozen=True)
class _Member:
    """A trial of a group, as far as a scheduler looks at one of Tune's."""

    trial_id: str
    status: str = "RUNNING"


class Grouped(FIFOScheduler):  # type: ignore[misc]  # Ray ships no types
    """Another scheduler, for which each trial of a group is one; to Tune the group is.

    A trial that it stops leaves the group; one that it would pause goes on, since the others do.

    Args:
        inner: the scheduler.
        name: the metric's.
        groups: the ids of the trials of each group, the first of which stands for it.
        stopped: where the trials of groups are entered that it stops.
    """

    def __init__(self, inner: TrialScheduler, name: str, groups: Iterable[Sequence[str]], stopped: set[str]) -> None:
        super().__init__()
        self._inner, self._name, self._stopped = inner, name, stopped
        self._metric = inner.metric
        self._supports_buffered_results = False
        self._groups = {group[0]: {id: _Member(id) for id in group} for group in groups if len(group) > 1}
        self._ended: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its scheduler to restore it later, which is never done here."""
        return FIFOScheduler, ()

    def _members(self, trial: Any) -> Mapping[str, _Member]:
        return self._groups.get(trial.config["trial"], {})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is there."""
        for one in self._members(trial).values() or [trial]:
            self._inner.on_trial_add(tune_controller, one)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial has failed."""
        for one in self._members(trial).values() or [trial]:
            self._inner.on_trial_error(tune_controller, one)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on, waits or ends."""
        if not (members := self._members(trial)):
            return str(self._inner.on_trial_result(tune_controller, trial, result))
        for id, told in ((id, Told.of(plain)) for id, plain in result[TOLD]):
            if told.state is not State.RUNNING:
                self._end(tune_controller, members[id], told)
            for report in told.reports if id not in self._ended else ():
                decision = self._inner.on_trial_result(tune_controller, members[id], self._result(report))
                if decision == TrialScheduler.STOP:
                    self._stopped.add(id)
                    self._end(tune_controller, members[id], told)
                    break
        return str(TrialScheduler.CONTINUE)

    def _result(self, report: Report) -> dict[str, Any]:
        """A report as Tune would have it."""
        value = {COMPARED: report.metrics[self._name]} if self._name in report.metrics else {}
        return {**value, TRAINING_ITERATION: report.epoch, TIME_TOTAL_S: report.run_duration}

    def _end(self, tune_controller: Any, member: _Member, told: Told) -> None:
        if member.trial_id in self._ended:
            return
        self._ended.add(member.trial_id)
        if told.reports:
            self._inner.on_trial_complete(tune_controller, member, self._result(told.reports[-1]))
        else:
            self._inner.on_trial_remove(tune_controller, member)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended; of a group each has been told of."""
        if not self._members(trial):
            self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial that had not begun, or waited, is ended."""
        for one in self._members(trial).values() or [trial]:
            self._inner.on_trial_remove(tune_controller, one)

    def debug_string(self) -> str:
        """What Tune would print."""
        return str(self._inner.debug_string())


def scheduler(
    spec: SweepSpec,
    fail: Callable[[str], None],
    groups: Mapping[str, Sequence[str]] = NONE,
    stopped: set[str] | None = None,
    ended: Iterable[TrialResult] = (),
) -> TrialScheduler | None:
    """The one that the sweep asks for; None where all trials train to their end.

    Args:
        spec: the sweep.
        fail: is told what is wrong with it, where it goes wrong in mid-sweep; nothing can be compared from then on.
        groups: the trials that are one of Tune's; see `Grouped`.
        stopped: likewise.
        ended: the trials of earlier runs, which new ones are held against.
    """
    if not spec.is_paced:
        return None
    inner = _inner(spec)
    replay(inner, spec.metric.name, ended)
    careful = Careful(inner, fail)
    if stopped is None or all(len(group) == 1 for group in groups.values()):
        return careful
    return Grouped(careful, spec.metric.name, groups.values(), stopped)


def _inner(spec: SweepSpec) -> TrialScheduler:
    early = spec.early_stopping
    common: dict[str, Any] = {
        "time_attr": TRAINING_ITERATION,
        "metric": COMPARED,
        "mode": "max" if spec.metric.goal == "maximize" else "min",
    }
    if (theirs := spec.early_terminate) is not None:
        # the last rung is below max_t, where a trial of W&B's is not ended either
        top = theirs.grace * theirs.eta ** (theirs.s or RUNGS)
        return ASHA(max_t=top, grace_period=theirs.grace, reduction_factor=theirs.eta, **common)
    assert early is not None  # the caller has looked
    if early.type == "median":
        return schedulers.MedianStoppingRule(grace_period=early.grace, hard_stop=True, **common)
    if early.type == "hyperband":
        return HyperBand(max_t=spec.max_epochs, reduction_factor=early.reduction, **common)
    kind = schedulers.ASHAScheduler if early.max_epochs else ASHA
    return kind(max_t=spec.max_epochs, grace_period=early.grace, reduction_factor=early.reduction, **common)
