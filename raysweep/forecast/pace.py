"""Trials that ran -> how long trials of their shape take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from raysweep.plan.identity import canonical
from raysweep.results.trial import TrialResult
from raysweep.sweepfile.parameters import SEED, flat

# Parameters that change what a step computes, and not how much: any other one may be part of a trial's shape.
SHAPELESS = {
    SEED, "lr", "learning_rate", "weight_decay", "wd", "momentum", "nesterov", "beta1", "beta2", "betas", "eps",
    "gamma", "dropout", "label_smoothing", "temperature", "epochs",
}  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """How fast trials of one shape are.

    Attributes:
        before: seconds from a trial's start to its training, and from its last report to its end.
        first: seconds of the first epoch, which warms up.
        later: seconds of each epoch that follows.
        spread: of an epoch's seconds around their median: the least and the greatest of nine in ten, as factors.
        epochs: how many reports a trial makes that has ended by itself; None where none has.
        size: bytes that a trial's folder takes.
    """

    before: float
    first: float
    later: float
    spread: tuple[float, float]
    epochs: int | None
    size: int

    def seconds(self, epochs: int, done: int = 0) -> float:
        """How long a trial of so many epochs takes, of which some are done."""
        left = max(epochs - done, 0)
        return self.before + (self.first + (left - 1) * self.later if left else 0.0)


def shape(config: Mapping[str, Any]) -> str:
    """What of a configuration decides how long its epochs take, as text that is equal where that is."""
    return canonical({name: value for name, value in flat(config).items() if name.rpartition(".")[2] not in SHAPELESS})


def paces(trials: Iterable[TrialResult]) -> dict[str, Pace]:
    """The pace of each shape that has been trained, by shape."""
    found: dict[str, list[TrialResult]] = {}
    for trial in trials:
        if trial.reports and trial.started is not None and trial.ended is not None:
            found.setdefault(shape(trial.config), []).append(trial)
    return {key: _pace(some) for key, some in found.items()}


def _pace(trials: Sequence[TrialResult]) -> Pace:
    later = [report.epoch_duration for trial in trials for report in trial.reports[1:]]
    first = [trial.reports[0].epoch_duration for trial in trials]
    typical = median(later or first)
    ordered = sorted(seconds / typical for seconds in (later or first)) if typical else [1.0]
    tenth = len(ordered) // 20
    ended = [len(trial.reports) for trial in trials if trial.is_complete]
    return Pace(
        before=max(0.0, median(_outside(trial) for trial in trials)),
        first=median(first),
        later=typical,
        spread=(ordered[tenth], ordered[-1 - tenth]),
        epochs=round(median(ended)) if ended else None,
        size=round(median(_size(trial) for trial in trials)),
    )


def _outside(trial: TrialResult) -> float:
    """Seconds of a trial's last attempt in which it did not train; where it had several, none are known."""
    assert trial.started is not None and trial.ended is not None and trial.last is not None  # see `paces`
    return trial.ended - trial.started - trial.last.run_duration


def _size(trial: TrialResult) -> int:
    return sum(file.stat().st_size for file in trial.path.rglob("*") if file.is_file() and not file.is_symlink())
