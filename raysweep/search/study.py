"""An Optuna study, made anew for each question of all that is on record: what to try next.

There is no state beside the records: a search that was killed, and one that was not, ask the same study the same
question, and get the same answer.

A number is searched for where its distribution has it, between 0 and 1: what is uniform there is as the distribution
draws it. So each distribution of a sweep file is searched in its own scale, logarithmic, normal or rounded.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical
from raysweep.plan.suggested import searched
from raysweep.sweepfile.distributions import SMALLEST, Categorical
from raysweep.sweepfile.parameters import Constant, Draw, OneOf, Parameter, Path, dotted, every
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MODELLED = 10  # attempts at something new, before it is drawn at random instead of from the model
ATTEMPTS = 100  # before a search takes all there is for found


Places = dict[str, "tuple[BaseDistribution, Any]"]  # by Optuna's names


class Outcome(StrEnum):
    """How far a suggestion is, as Optuna is told."""

    COMPLETE = "complete"
    STOPPED = "stopped"  # by early stopping
    FAILED = "failed"  # or without a number
    RUNNING = "running"


@dataclass(frozen=True)
class Tried:
    """What is known of a suggestion.

    Attributes:
        parameters: what was searched for, by dotted name.
        outcome: how far it is.
        value: the metric, the mean over its seeds, where it is COMPLETE or STOPPED.
        epoch: the one of that value, where it is STOPPED.
    """

    parameters: Mapping[str, Any]
    outcome: Outcome
    value: float | None = None
    epoch: int = 0


def check_installed() -> None:
    """See that there is Optuna.

    Raises:
        SpecError: there is none.
    """
    try:
        import optuna  # noqa: F401  # only whether it can be
    except ImportError:
        raise SpecError(
            "method: bayes searches with Optuna, which is not installed: pip install 'raysweep[bayes]'"
        ) from None


def ask(spec: SweepSpec, tried: Sequence[Tried], attempt: int) -> dict[Path, Any]:
    """What to try next.

    Args:
        spec: the sweep.
        tried: all earlier suggestions, in order.
        attempt: how often this was asked before, and what was suggested had been tried.

    Returns:
        What is searched for, by path; expressions within alternatives as they are.
    """
    import optuna

    seed = int.from_bytes(hashlib.sha256(f"{spec.sweep_seed}/{len(tried)}/{attempt}".encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        model = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=bool(spec.alternatives), constant_liar=True
        )
    sampler = model if attempt < MODELLED else optuna.samplers.RandomSampler(seed=seed)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction=spec.metric.goal, sampler=sampler)
        _tell(study, spec, tried)
        return dict(_asked(study.ask(), searched(spec)))
    finally:
        optuna.logging.set_verbosity(before)


def _tell(study: Study, spec: SweepSpec, tried: Sequence[Tried]) -> None:
    for one in tried:
        if (told := _told(spec, one)) is not None:
            study.add_trial(told)


def _told(spec: SweepSpec, one: Tried) -> FrozenTrial | None:
    """A suggestion as Optuna has it; None where the sweep now searches elsewhere."""
    from optuna.trial import TrialState, create_trial

    places = _places(searched(spec), one.parameters)
    if places is None:
        return None
    states = {
        Outcome.COMPLETE: TrialState.COMPLETE,
        Outcome.STOPPED: TrialState.PRUNED,
        Outcome.FAILED: TrialState.FAIL,
        Outcome.RUNNING: TrialState.RUNNING,
    }
    is_stopped = one.outcome is Outcome.STOPPED and one.value is not None
    return create_trial(
        state=states[one.outcome],
        params={name: place for name, (_, place) in places.items()},
        distributions={name: distribution for name, (distribution, _) in places.items()},
        value=one.value if one.outcome is Outcome.COMPLETE else None,
        intermediate_values={one.epoch: one.value} if is_stopped and one.value is not None else None,
    )


def _asked(trial: Trial, parameters: Sequence[Parameter]) -> Iterator[tuple[Path, Any]]:
    """What a trial of Optuna's has for parameters."""
    for parameter in parameters:
        if isinstance(parameter, OneOf):
            yield from _asked(trial, parameter.branches[_chosen(trial, parameter)])
        elif isinstance(parameter, Draw):
            yield parameter.path, _value(parameter, _chosen(trial, parameter))
        else:
            yield parameter.path, parameter.value if isinstance(parameter, Constant) else parameter


def _chosen(trial: Trial, parameter: Draw | OneOf) -> Any:
    """The place that Optuna suggests for a parameter, in its distribution."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    name, among = _name(parameter), _distribution(parameter)
    if isinstance(among, CategoricalDistribution):
        return trial.suggest_categorical(name, among.choices)
    if isinstance(among, IntDistribution):
        return trial.suggest_int(name, among.low, among.high)
    return trial.suggest_float(name, SMALLEST, 1 - SMALLEST)


def _name(parameter: Draw | OneOf) -> str:
    """What Optuna calls it; the member of an alternative may be called as another's, and be something else."""
    kind = "one of" if isinstance(parameter, OneOf) else type(parameter.distribution).__name__
    return f"{dotted(parameter.path)} {kind} {_distribution(parameter)}"


def _distribution(parameter: Draw | OneOf) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, OneOf):
        return CategoricalDistribution(range(len(parameter.branches)))
    one = parameter.distribution
    if isinstance(one, Categorical):
        return CategoricalDistribution(range(len(one.values)))
    if one.name == "int_uniform":
        return IntDistribution(int(one.arguments["min"]), int(one.arguments["max"]))
    return FloatDistribution(SMALLEST, 1 - SMALLEST)


def _value(parameter: Draw, place: Any) -> Any:
    """What a place in a parameter's distribution is."""
    one = parameter.distribution
    if isinstance(one, Categorical):
        return one.values[place]
    return place if one.name == "int_uniform" else one.draw(place)


def _place(parameter: Draw, value: Any) -> Any:
    """Where a value is in a parameter's distribution; None where it is not in it."""
    one = parameter.distribution
    if isinstance(one, Categorical):
        forms = [canonical(known) for known in one.values]
        return forms.index(form) if (form := canonical(value)) in forms else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if one.name == "int_uniform":
        return int(value) if one.arguments["min"] <= value <= one.arguments["max"] and value == int(value) else None
    return one.position(value)


def _places(
    parameters: Sequence[Parameter], values: Mapping[str, Any]
) -> dict[str, tuple[BaseDistribution, Any]] | None:
    """What a suggestion was, in Optuna's distributions by its names; None where it cannot be suggested any more."""
    found: Places = {}
    for parameter in parameters:
        name = dotted(parameter.path)
        if isinstance(parameter, OneOf):
            if (inner := _alternative(parameter, values)) is None:
                return None
            found |= inner
        elif name not in values:
            return None
        elif isinstance(parameter, Draw):
            if (place := _place(parameter, values[name])) is None:
                return None
            found[_name(parameter)] = (_distribution(parameter), place)
        elif isinstance(parameter, Constant) and canonical(values[name]) != canonical(parameter.value):
            return None
    return found


def _alternative(one: OneOf, values: Mapping[str, Any]) -> Places | None:
    """The same of alternatives: the first that has just the members that were suggested, and can have their values."""
    start = dotted(one.path)
    there = {name for name in values if name == start or name.startswith(f"{start}.")}
    for index, branch in enumerate(one.branches):
        inner = _places(branch, values)
        if inner is not None and there <= {dotted(p.path) for p in every(branch)}:
            return {_name(one): (_distribution(one), index), **inner}
    return None
