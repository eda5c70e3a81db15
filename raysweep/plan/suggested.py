"""Recorded suggestions of a search -> the configurations of their trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysweep.plan.configurations import choices, resolved
from raysweep.store.suggestions import Suggestion
from raysweep.sweepfile.parameters import Draw, OneOf, Path, dotted, every
from raysweep.sweepfile.spec import SweepSpec


def searched(spec: SweepSpec) -> list[Draw | OneOf]:
    """What a search is to find values for, in the order of the file."""
    return [p for p in spec.parsed if isinstance(p, (Draw, OneOf))]


def suggestions_wanted(spec: SweepSpec) -> int:
    """How many suggestions the sweep asks for; each is tried with every seed."""
    seeds = math.prod(map(len, choices(spec, 0)))
    wanted = [spec.samples] if spec.samples else []
    wanted += [math.ceil(spec.run_cap / seeds)] if spec.run_cap else []
    return min(wanted)


def configurations_of(spec: SweepSpec, suggestion: Suggestion) -> Iterator[dict[str, Any]]:
    """The configurations of its trials, one for each seed; none where the sweep now searches for something else.

    Raises:
        SpecError: a parameter cannot be computed from the others.
    """
    values = _values(spec, suggestion.parameters)
    if values is None:
        return
    fixed = [(p.path, getattr(p, "value", None)) for p in spec.parsed]  # holds the order of the file
    for chosen in itertools.product(*reversed(choices(spec, 0))):
        yield resolved(spec, [*fixed, *values, *itertools.chain.from_iterable(chosen)])


def _values(spec: SweepSpec, parameters: Mapping[str, Any]) -> list[tuple[Path, Any]] | None:
    """What it suggested, and the `defaults` of what has been added since; None where that does not fit."""
    known = {dotted(p.path): p.path for p in every(searched(spec))}
    needed = [dotted(p.path) for p in searched(spec) if isinstance(p, Draw)]
    values = {**{name: spec.defaults[name] for name in needed if name in spec.defaults}, **parameters}
    if not values.keys() <= known.keys() or not values.keys() >= set(needed):
        return None
    return [(known[name], value) for name, value in values.items()]


def to_come(spec: SweepSpec, suggestions: Sequence[Suggestion]) -> int:
    """How many trials of a search are still to be suggested."""
    if spec.method != "bayes":
        return 0
    seeds = math.prod(map(len, choices(spec, 0)))
    known = sum(1 for one in suggestions if _values(spec, one.parameters) is not None)
    wanted = suggestions_wanted(spec) * seeds
    return max(0, min(wanted, spec.run_cap or wanted) - known * seeds)


def parameters_of(spec: SweepSpec, found: Mapping[Path, Any]) -> dict[str, Any]:
    """What a search has found, by dotted name and with all expressions in it computed, as it is recorded.

    Raises:
        SpecError: a parameter cannot be computed from the others.
    """
    fixed = [(p.path, getattr(p, "value", None)) for p in spec.parsed]
    seeds = [assignment for axis in choices(spec, 0) for assignment in axis[0]]
    config = resolved(spec, [*fixed, *found.items(), *seeds])
    return {dotted(path): _at(config, path) for path in found}


def _at(config: Mapping[str, Any], path: Path) -> Any:
    value: Any = config
    for step in path:
        value = value[step]
    return value
