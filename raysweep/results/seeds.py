"""Trials that differ only in their seed -> one configuration, with the value that each seed gave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical
from raysweep.results.frames import cell, condition, is_about, table_of
from raysweep.results.judging import value
from raysweep.results.trial import TrialResult
from raysweep.store.records import State
from raysweep.sweepfile.members import Metric
from raysweep.sweepfile.parameters import SEED, nearest
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FINISHED = (State.DONE, State.STOPPED)  # trials that count; those that early stopping ended with what they reached


@dataclass(frozen=True, eq=False)  # each is itself, and can be looked up by
class Configuration:
    """Trials that differ only in what is averaged over.

    Attributes:
        parameters: of those that vary in the sweep, the ones that these trials share: dotted name to value.
        trials: the planned ones, in the order of the plan.
        seeds: for each trial, what is different about it, as a canonical text.
        values: for each trial, the metric that it is judged by; None where it has not finished.
    """

    parameters: Mapping[str, Any]
    trials: tuple[TrialResult, ...]
    seeds: tuple[str, ...]
    values: tuple[float | None, ...]

    @property
    def finished(self) -> list[float]:
        """The values of the trials that have finished."""
        return [value for value in self.values if value is not None]

    @property
    def name(self) -> str:
        """What is different about it, as in `lr=0.1,batch_size=32`."""
        return ",".join(f"{name}={value}" for name, value in self.parameters.items()) or "all trials"


@dataclass(frozen=True)
class Block:
    """The configurations that can be compared: all seeds have finished, with finite values.

    Attributes:
        configurations: in the order of the sweep.
        values: shape (k configurations, n seeds), float64.
        shared: whether column j is the same seed in all rows.
        left_out: the other configurations, each with the reason.
    """

    configurations: tuple[Configuration, ...]
    values: NDArray[np.float64]
    shared: bool
    left_out: tuple[tuple[Configuration, str], ...]


def seed_axes(spec: SweepSpec) -> tuple[str, ...]:
    """The axes that results average over: those that are called `seed`, and the one that `folds` names.

    A seed that advances together with another axis tells no trials apart that are otherwise equal.
    """
    zipped = {name for group in spec.zip for name in group}
    named = [name for name in spec.axes if name.rpartition(".")[2] == SEED or name == spec.folds]
    return tuple(name for name in named if name not in zipped)


def check_axes(over: Sequence[str], known: Iterable[str]) -> None:
    """See that there are such parameters.

    Raises:
        SpecError: there is none.
    """
    names = list(known)
    for name in over:
        if name not in names:
            raise SpecError(f"--group-by {name}: there is no such parameter; {nearest(name, names)}")


def chosen_trials(
    trials: Sequence[TrialResult], over: Sequence[str], where: Iterable[str] = ()
) -> Sequence[TrialResult]:
    """The trials for which all conditions on what is averaged over hold.

    Raises:
        SpecError: a condition is malformed.
    """
    about = [text for text in where if is_about(over, text)]
    if not about:
        return trials
    table = table_of([{name: cell(trial.parameters.get(name)) for name in over} for trial in trials])
    keep = [condition(table, text) for text in about]
    return [trial for trial, *held in zip(trials, *keep, strict=True) if all(held)]


def configurations(
    trials: Iterable[TrialResult], metric: Metric, varying: Iterable[str], over: Sequence[str]
) -> tuple[Configuration, ...]:
    """The configurations of a sweep, in the order of the plan.

    Args:
        trials: the planned ones.
        metric: what they are judged by.
        varying: the parameters that differ between trials, dotted.
        over: those that are averaged over.
    """
    names = [name for name in varying if name not in over]
    found: dict[str, list[tuple[TrialResult, Mapping[str, Any]]]] = {}
    for trial in trials:
        config = trial.parameters
        key = "\n".join([canonical(config[name]) if name in config else "" for name in names])
        found.setdefault(key, []).append((trial, config))
    return tuple(_configuration(members, metric, names, over) for members in found.values())


def _configuration(
    members: Sequence[tuple[TrialResult, Mapping[str, Any]]], metric: Metric, names: Sequence[str], over: Sequence[str]
) -> Configuration:
    first = members[0][1]
    seeds = ["\n".join([canonical(config[name]) if name in config else "" for name in over]) for _, config in members]
    values = [value(metric, trial) if trial.state in FINISHED else None for trial, _ in members]
    parameters = {name: first[name] for name in names if name in first}
    return Configuration(parameters, tuple(trial for trial, _ in members), tuple(seeds), tuple(values))


def comparable(found: Sequence[Configuration]) -> Block:
    """Those of the configurations that can be compared, and why the others cannot.

    Those with fewer seeds than others in the plan are left out as well: means of different seeds differ in noise.
    """
    import numpy as np

    size = max((len(one.trials) for one in found), default=0)
    reasons = [_reason(one, size) for one in found]
    kept = tuple(one for one, reason in zip(found, reasons, strict=True) if not reason)
    ordered = [sorted(zip(one.seeds, one.values, strict=True)) for one in kept]
    values = np.array([[value for _, value in pairs] for pairs in ordered], dtype=float).reshape(len(kept), size)
    shared = len({tuple(sorted(one.seeds)) for one in kept}) <= 1
    left_out = tuple((one, reason) for one, reason in zip(found, reasons, strict=True) if reason)
    return Block(kept, values, shared, left_out)


def _reason(one: Configuration, size: int) -> str:
    """Why a configuration cannot be compared; empty where it can."""
    finished = one.finished
    if len(finished) < size:
        failed = sum(trial.state.is_failure for trial in one.trials)
        return f"{len(finished)} of {size} seeds{f', {failed} failed' if failed else ''}"
    broken = Counter("NaN" if value != value else "infinite" for value in finished if not math.isfinite(value))
    return ", ".join(f"{count} of {size} {kind}" for kind, count in broken.items())
