"""What to try next: a sweep file, made of what a sweep has shown, and the reason for each choice in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysweep.errors import StoreError
from raysweep.results.edges import leaders
from raysweep.results.effects import effects
from raysweep.results.results import Results
from raysweep.results.scales import Scale
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Statistics
from raysweep.results.ties import dunnett
from raysweep.sweepfile.forms import is_form
from raysweep.sweepfile.parameters import SEED, Derived, dotted
from raysweep.sweepfile.spec import SweepSpec, check

FEWEST = 5  # seeds of what is suggested
FIRST = 5  # configurations that go on where nothing is known of ties
LEFT_OUT = ("parameters", "zip", "method", "samples", "run_cap", "description")  # of the file, and made anew

Config = dict[str, Any]


@dataclass(frozen=True)
class Suggestion:
    """A sweep file.

    Attributes:
        content: what to write; `run` takes it as it is.
        reasons: for each choice, in words; they are its `description` as well.
    """

    content: Mapping[str, Any]
    reasons: tuple[str, ...]


@dataclass
class _Draft:
    """A sweep file that is being made: configurations, each of which is to be trained with each seed."""

    spec: SweepSpec
    rows: list[Config]
    seeds: dict[str, list[Any]]
    defaults: dict[str, Any]
    reasons: list[str] = field(default_factory=list)


def suggest(results: Results) -> Suggestion:
    """What to try next.

    The configurations that tie with the winner get more seeds; of those that differ only in what has no effect that
    shows, only the fastest. Around the winner the axes that have one are refined, and extended where the best lie at
    their end. Old trials count, since the name and the configurations are the same.

    Raises:
        StoreError: no configuration has finished yet.
    """
    statistics = results.statistics()
    if statistics.winner is None:
        raise StoreError(f"{results.directory}: no configuration has finished yet, so there is nothing to go on from")
    strong = effects(statistics, results.spec.zip).strong
    tied = _go_on(statistics)
    kept = _without_weak(statistics, tied, strong)
    draft = _Draft(results.spec, [_config(one) for one in kept], *_seeds(results))
    draft.reasons += _why_kept(statistics, tied, kept, strong)
    draft.reasons += _why_seeds(statistics, len(kept), draft)
    for path, value, why in _new_values(results, tied, strong):
        row = copy.deepcopy(draft.rows[0])
        _put(row, path, value)
        draft.rows.append(row)
        draft.reasons.append(why)
    content = _content(draft, f"Suggested by the results of {results.spec.name}. {'; '.join(draft.reasons)}.")
    check(content, "the suggestion")
    return Suggestion(content, tuple(draft.reasons))


def _go_on(statistics: Statistics) -> list[Configuration]:
    """The configurations that go on, best first: those that are tied, or the first ones where that is not known."""
    told = {*leaders(statistics)} if statistics.ties is not None else {*statistics.block.configurations}
    ranked = [one for one in statistics.ranked if one in told]
    return ranked if statistics.ties is not None else ranked[:FIRST]


def _without_weak(
    statistics: Statistics, tied: Sequence[Configuration], strong: frozenset[str] | None
) -> list[Configuration]:
    """Of configurations that differ only in axes without effect the one with the fastest values of these."""
    if strong is None:
        return list(tied)
    weak = [name for name in tied[0].parameters if name not in strong]
    costs = {name: _costs(statistics, name) for name in weak}
    cheapest: dict[str, tuple[float, Configuration]] = {}
    for one in tied:
        key = repr([one.parameters.get(name) for name in one.parameters if name in strong])
        cost = sum(costs[name].get(repr(one.parameters.get(name)), 0.0) for name in weak)
        if key not in cheapest or cost < cheapest[key][0]:
            cheapest[key] = (cost, one)
    return [one for _, one in cheapest.values()]


def _costs(statistics: Statistics, name: str) -> dict[str, float]:
    """The mean seconds of a trial with each value of a parameter."""
    seconds: dict[str, list[float]] = {}
    for one in statistics.block.configurations:
        taken = [trial.last.run_duration for trial in one.trials if trial.last]
        seconds.setdefault(repr(one.parameters.get(name)), []).extend(taken)
    return {value: sum(taken) / len(taken) for value, taken in seconds.items() if taken}


def _why_kept(
    statistics: Statistics,
    tied: Sequence[Configuration],
    kept: Sequence[Configuration],
    strong: frozenset[str] | None,
) -> Iterator[str]:
    count = len(statistics.block.configurations)
    if count == 1:
        yield "the one configuration that has finished goes on"
    elif statistics.ties is None:
        yield f"the first {len(tied)} of {count} configurations go on: with 1 seed it cannot be told which is best"
    else:
        yield f"{len(tied)} of {count} configurations cannot be told apart from the best, and only these go on"
    if len(kept) < len(tied) and strong is not None:
        weak = ", ".join(name for name in tied[0].parameters if name not in strong)
        yield f"of those that differ only in what has no effect that shows ({weak}) the fastest is kept"


def _seeds(results: Results) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The seed axes with more values, and the `defaults` by which trials that had no seed are the ones of the first."""
    axes = {name: list(results.spec.axes[name].values) for name in results.seed_axes}
    growing = next((name for name in axes if name != results.spec.folds), None)
    if growing is not None:
        axes[growing] = _more(axes[growing], max(FEWEST, 2 * len(axes[growing])))
        return axes, dict(results.spec.defaults)
    if axes:  # folds, of which there are no more
        return axes, dict(results.spec.defaults)
    had = results.trials[0].parameters
    first = had.get(SEED, results.spec.sweep_seed)
    defaults = {} if SEED in had else {SEED: results.spec.sweep_seed}
    return {SEED: _more([first], FEWEST)}, {**results.spec.defaults, **defaults}


def _more(seeds: list[Any], count: int) -> list[Any]:
    """Seeds, and whole numbers that are none of them."""
    numbers = [seed for seed in seeds if isinstance(seed, int)]
    new = max(numbers, default=-1) + 1
    return [*seeds, *range(new, new + max(0, count - len(seeds)))]


def _why_seeds(statistics: Statistics, count: int, draft: _Draft) -> Iterator[str]:
    names = [name for name in draft.seeds if name != draft.spec.folds]
    if not names:
        return
    n = len(draft.seeds[names[0]])
    text = f"{names[0]}: {n} instead of {max(1, statistics.seeds)}"
    if statistics.ties is not None and count > 1 and not statistics.folds:
        least = dunnett(count - 1, (count - 1) * (n - 1)) * (2 * statistics.ties.error / n) ** 0.5
        text += f", with which differences over {least:.2g} show"
    yield text


def _new_values(
    results: Results, tied: Sequence[Configuration], strong: frozenset[str] | None
) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Values of one axis each that are to be tried at the winner: its path, the value, and why."""
    spec = results.spec
    zipped = {name for group in spec.zip for name in group}
    for parameter in spec.parsed:
        name = dotted(parameter.path)
        if name in (*results.seed_axes, spec.continues) or name in zipped or not (strong is None or name in strong):
            continue
        scale = Scale.of(one.parameters[name] for one in results.statistics().found if name in one.parameters)
        if scale is not None and name in spec.axes:
            for value, why in _around(scale, {one.parameters[name] for one in tied}):
                yield parameter.path, value, f"{name}={value:g} {why}"


def _around(scale: Scale, tied: set[float]) -> Iterator[tuple[float, str]]:
    """Values between those that are tied and their neighbours, and beyond an end that all of them lie at."""
    end = scale.edge(tied)
    if end is not None and (new := scale.beyond(max(tied) if end == "largest" else min(tied))) is not None:
        yield new, f"lies beyond the {end}, at which the best lie"
    for low, high in zip(scale.values, scale.values[1:], strict=False):
        if (low in tied or high in tied) and (new := scale.between(low, high)) is not None:
            yield new, f"lies between {low:g} and {high:g}, where the best lie"


def _config(one: Configuration) -> Config:
    return copy.deepcopy(dict(one.trials[0].config))


def _get(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = config
    for step in path:
        value = value[step]
    return value


def _put(config: Config, path: Sequence[str], value: Any) -> None:
    group = config
    for step in path[:-1]:
        group = group.setdefault(step, {})
    group[path[-1]] = value


def _content(draft: _Draft, description: str) -> Config:
    """The sweep file: all that varies between the configurations advances together, and each meets each seed."""
    spec = draft.spec
    parameters: Config = {}
    together = []
    for parameter in spec.parsed:
        name = dotted(parameter.path)
        if name in draft.seeds:
            continue
        if isinstance(parameter, Derived):
            _put(parameters, parameter.path, {"expr": parameter.expression.text})
            continue
        values = [_get(row, parameter.path) for row in draft.rows]
        varies = any(value != values[0] or isinstance(value, bool) != isinstance(values[0], bool) for value in values)
        together += [name] if varies else []
        _put(parameters, parameter.path, values if varies else _constant(values[0]))
    for name, seeds in draft.seeds.items():
        _put(parameters, name.split("."), seeds)
    kept = {key: value for key, value in spec.model_dump(mode="json", by_alias=True, exclude_unset=True).items()
            if key not in (*LEFT_OUT, *(["trainable"] if spec.program else []))}  # fmt: skip
    made: Config = {"name": spec.name, "description": description, **kept, "parameters": _groups(parameters, spec)}
    if len(together) > 1:
        made["zip"] = [together]
    return made | ({"defaults": draft.defaults} if draft.defaults else {})


def _constant(value: Any) -> Any:
    return {"value": value} if isinstance(value, (list, dict)) else value


def _groups(parameters: Config, spec: SweepSpec) -> Config:
    """The parameters with groups that could be taken for something else written as such."""
    paths = {parameter.path for parameter in spec.parsed}

    def written(group: Config, path: tuple[str, ...]) -> Config:
        told = {
            key: written(value, (*path, key)) if isinstance(value, dict) and (*path, key) not in paths else value
            for key, value in group.items()
        }
        return {"parameters": told} if path and is_form(told) else told

    return written(parameters, ())
