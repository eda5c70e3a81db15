"""How long a sweep will take: what is missing of it, at the pace of trials of the same shape, on the slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from raysweep.forecast.pace import Pace, shape
from raysweep.forecast.slots import makespan
from raysweep.plan.reconciliation import Standing
from raysweep.results.text import duration
from raysweep.results.trial import TrialResult
from raysweep.sweepfile.parameters import flat
from raysweep.sweepfile.spec import SweepSpec

NOISE = 0.1  # of the time: what one run differs from the next by, where nothing else is known


@dataclass(frozen=True)
class Estimate:
    """A forecast.

    Attributes:
        low, likely, high: seconds of the whole run, and the ends between which it should be.
        trials: how many it is about.
        unknown: how many it is not about, since how many reports they make is not known.
        slots: how many run at once.
        size: bytes that they will take.
        is_bound: whether early stopping, a limit or a budget may end it sooner.
    """

    low: float
    likely: float
    high: float
    trials: int
    unknown: int
    slots: int
    size: int
    is_bound: bool

    def told(self, price: float | None = None) -> Iterator[str]:
        """The forecast in words.

        Args:
            price: of an hour of the machine.
        """
        if self.trials:
            most = "at most about" if self.is_bound else "about"
            between = f"{duration(self.low)} to {duration(self.high)}"
            yield f"{most} {duration(self.likely)} ({between}) for {_count(self.trials)}, {self.slots} at once"
            yield f"disk: about {_size(self.size)}"
        if price is not None and self.trials:
            yield f"cost: {price * self.low / 3600:.2f} to {price * self.high / 3600:.2f} at {price:g} an hour"
        if self.unknown:
            yield (
                f"nothing can be said of {_count(self.unknown)}: how many reports they make is known once one has ended"
            )


def _count(trials: int) -> str:
    return f"{trials} trial{'' if trials == 1 else 's'}"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@dataclass(frozen=True)
class Basis:
    """What a forecast is made of.

    Attributes:
        paces: of each shape that is known.
        trained: what there is of the sweep.
        slots: how many trials run at once.
        before: seconds from the run's start to its first trial's.
    """

    paces: Mapping[str, Pace]
    trained: Sequence[TrialResult]
    slots: int
    before: float


def estimate(spec: SweepSpec, missing: Sequence[Standing], basis: Basis, coming: int = 0) -> Estimate:
    """What is missing of a sweep, forecast.

    Args:
        spec: the sweep.
        missing: the trials that a run would start.
        basis: what it is made of.
        coming: how many trials a search is still to suggest, which take as long as the others do on average.
    """
    done = {trial.id: len(trial.reports) for trial in basis.trained}
    expected = [one for standing in missing if (one := _expected(spec, standing, basis.paces, done))]
    average = expected or [one for pace in basis.paces.values() if (one := _of_pace(spec, {}, pace, 0))]
    expected += [_mean(average)] * coming if average else []
    slots = max(1, basis.slots)
    columns = zip(*expected, strict=True) if expected else ([], [], [], [])
    low, likely, high, sizes = map(list, columns)
    ends = [basis.before + makespan(seconds, slots) if seconds else 0.0 for seconds in (low, likely, high)]
    is_bound = spec.is_paced or bool(spec.limits) or spec.budget is not None
    unknown = len(missing) + coming - len(expected)
    return Estimate(ends[0], ends[1], ends[2], len(expected), unknown, slots, round(sum(sizes)), is_bound)


_Expected = tuple[float, float, float, float]  # seconds, at its ends and likely; and bytes


def _expected(
    spec: SweepSpec, standing: Standing, known: Mapping[str, Pace], done: Mapping[str, int]
) -> _Expected | None:
    """What a trial takes; None where nothing is known of its shape."""
    trial = standing.trial
    pace = known.get(shape(trial.config))
    return None if pace is None else _of_pace(spec, trial.config, pace, done.get(trial.id, 0))


def _mean(some: Sequence[_Expected]) -> _Expected:
    low, likely, high, size = (fmean(column) for column in zip(*some, strict=True))
    return low, likely, high, size


def _of_pace(spec: SweepSpec, config: Mapping[str, Any], pace: Pace, done: int) -> _Expected | None:
    epochs = _epochs(spec, config, pace)
    if epochs is None:
        return None
    likely = pace.seconds(epochs, done)
    # epochs of one trial are slow together only in part: half of the spread of single ones
    low, high = (fmean([1.0, factor]) for factor in pace.spread)
    return likely * min(1 - NOISE, low), likely, likely * max(1 + NOISE, high), float(pace.size)


def _epochs(spec: SweepSpec, config: Mapping[str, Any], pace: Pace) -> int | None:
    """How many epochs a trial has: as its configuration says, or as trials of its shape had."""
    told = flat(config).get(spec.continued or "epochs")
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    return pace.epochs
