"""SweepSpec -> all combinations of its parameters as nested configurations, in order.

Order. Axes are sorted by their path and the first one varies fastest, as in Ray Tune's own grid search; a zipped group
stands where its first axis does; alternatives are an axis, in which those of each alternative follow one another;
samples vary slowest.

Randomness. Sample k of a parameter is a function of the sweep's seed, the parameter's name and k alone. So every grid
point meets the same k draws (comparisons are paired, and averaging over `seed` works), and more samples or more values
leave earlier trials as they were.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from raysweep.errors import SpecError
from raysweep.sweepfile.distributions import SMALLEST
from raysweep.sweepfile.parameters import Axis, Constant, Derived, Draw, OneOf, Parameter, Path, dotted, every, flat
from raysweep.sweepfile.spec import SweepSpec

Assignment = tuple[tuple[Path, Any], ...]


def configurations(spec: SweepSpec) -> Iterator[dict[str, Any]]:
    """All combinations, each one anew; excluded and equal ones as well. Of a search that draws on there is no end.

    Raises:
        SpecError: a parameter cannot be computed from the others.
    """
    fixed = [(p.path, getattr(p, "value", None)) for p in spec.parsed]  # holds the order of the file
    grid = choices(spec, 0)
    varies = any(isinstance(p, Draw) for one in spec.alternatives for p in every([one]))
    for sample in itertools.count() if spec.draws_on else range(spec.n_samples):
        drawn = [(draw.path, _drawn(spec, draw, sample)) for draw in spec.draws]
        if spec.method == "random":
            drawn += itertools.chain.from_iterable(_alternative(spec, one, sample) for one in spec.alternatives)
        elif varies and sample:
            grid = choices(spec, sample)
        for chosen in itertools.product(*reversed(grid)):
            yield resolved(spec, [*fixed, *drawn, *itertools.chain.from_iterable(chosen)])


def choices(spec: SweepSpec, sample: int) -> list[list[Assignment]]:
    """For each axis, zipped group, and parameter with alternatives, what it assigns in turn; sorted by path."""
    zipped = {name: group[0] for group in spec.zip for name in group}
    groups: dict[str, list[Axis]] = {}
    for name, axis in sorted(spec.axes.items(), key=lambda item: item[1].path):
        groups.setdefault(zipped.get(name, name), []).append(axis)
    found = [
        (group[0].path, list(zip(*([(axis.path, value) for value in axis.values] for axis in group), strict=True)))
        for group in groups.values()
    ]
    if spec.method == "grid" and spec.alternatives:
        found += [(one.path, list(_of(spec, [one], sample))) for one in spec.alternatives]
        found.sort(key=lambda pair: pair[0])
    return [assignments for _, assignments in found]


def resolved(spec: SweepSpec, assignments: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """The configuration of these assignments, with what is computed from them.

    Raises:
        SpecError: it cannot be computed.
    """
    given = list(assignments)
    derived = [(path, value.expression) for path, value in given if isinstance(value, Derived)]
    derived += [(p.path, p.expression) for p in spec.parsed if isinstance(p, Derived)]
    config = _nested(given)
    waiting = dict(derived)
    while waiting:
        values = {name: value for name, value in flat(config).items() if name not in set(map(dotted, waiting))}
        ready = [path for path, one in waiting.items() if not one.names & set(map(dotted, waiting))]
        for path in ready or waiting:  # what waits for itself was refused before
            try:
                _put(config, path, waiting[path].value(values))
            except ValueError as error:
                raise SpecError(f"{spec.name}: parameters.{dotted(path)}: {error}") from None
        waiting = {path: one for path, one in waiting.items() if ready and path not in ready}
    return config


def _of(spec: SweepSpec, parameters: Sequence[Parameter], sample: int) -> Iterator[Assignment]:
    """All that parameters of an alternative assign, the first one by path varying fastest."""
    parts = [list(_each(spec, parameter, sample)) for parameter in sorted(parameters, key=lambda p: p.path)]
    for chosen in itertools.product(*reversed(parts)):
        by_path = dict(itertools.chain.from_iterable(chosen))
        order = [path for p in parameters for path in by_path if path[: len(p.path)] == p.path]
        yield tuple((path, by_path[path]) for path in order)  # the order of the file


def _each(spec: SweepSpec, parameter: Parameter, sample: int) -> Iterator[Assignment]:
    if isinstance(parameter, OneOf):
        for branch in parameter.branches:
            yield from _of(spec, branch, sample)
    elif isinstance(parameter, Axis):
        yield from (((parameter.path, value),) for value in parameter.values)
    elif isinstance(parameter, Draw):
        yield ((parameter.path, _drawn(spec, parameter, sample)),)
    else:
        yield ((parameter.path, parameter.value if isinstance(parameter, Constant) else parameter),)


def _alternative(spec: SweepSpec, one: OneOf, sample: int) -> Iterator[tuple[Path, Any]]:
    """What a random search draws of alternatives: one of them, and what is drawn within it."""
    branches = one.branches
    chosen = branches[min(len(branches) - 1, int(_uniform(spec, (*one.path, "one_of"), sample) * len(branches)))]
    for parameter in chosen:
        if isinstance(parameter, OneOf):
            yield from _alternative(spec, parameter, sample)
        else:
            for assignment in _each(spec, parameter, sample):
                yield from assignment


def _drawn(spec: SweepSpec, draw: Draw, sample: int) -> Any:
    return draw.distribution.draw(_uniform(spec, draw.path, sample))


def _uniform(spec: SweepSpec, path: Path, sample: int) -> float:
    # seeding with text is stable over Python versions and processes (random.seed, version 2)
    return random.Random(f"{spec.sweep_seed}/{dotted(path)}/{sample}").uniform(SMALLEST, 1 - SMALLEST)


def _nested(assignments: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for path, value in assignments:
        _put(config, path, _copied(value))
    return config


def _put(config: dict[str, Any], path: Path, value: Any) -> None:
    group = config
    for step in path[:-1]:
        if not isinstance(group.get(step), dict):  # a place that was held for alternatives
            group[step] = {}
        group = group[step]
    group[path[-1]] = value


def _copied(value: Any) -> Any:
    """A trial's own copy: no two configurations share a list or an object."""
    if isinstance(value, dict):
        return {key: _copied(member) for key, member in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
