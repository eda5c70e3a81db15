"""The `parameters` of a sweep file -> what they are.

How a value is read:
    a scalar                                       a constant
    a list, {"values"}, {"grid_search"}            an axis
    {"range": [1, 12]}, {"geomspace": [1, 8, 4]}   an axis
    {"value": anything}                            a constant, also a list or an object
    {"distribution": ...} or {"min", "max"}        drawn at random
    {"expr": "batch_size / 32"}                    computed from others
    {"one_of": [...]}                              one of these, each with parameters of its own
    any other object, {"parameters": ...}          a group, whose members are read in the same way
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from raysweep.sweepfile import distributions
from raysweep.sweepfile.distributions import Categorical
from raysweep.sweepfile.foreign import foreign_form
from raysweep.sweepfile.forms import AXIS_KEYS, DRAW_KEYS, FORM_KEYS, LONE_KEYS, LONGEST, axis, form, is_form
from raysweep.sweepfile.parameters import (
    DEEPEST,
    Axis,
    Constant,
    Draw,
    OneOf,
    Parameter,
    ParameterError,
    Path,
    dotted,
    json_value,
)

Read = Parameter | ParameterError


def parse(raw: Mapping[str, Any], *, random: bool = False, whole: bool = False) -> tuple[Parameter, ...]:
    """The parameters in the order of the file.

    Args:
        raw: the `parameters` of a sweep file.
        random: lists are drawn from at random instead of being axes (W&B's `method: random`).
        whole: ranges of whole numbers, and of multiples of q, are axes instead of being drawn from (its `grid`).

    Raises:
        ParameterError: the first one that is written wrongly.
    """
    found: list[Parameter] = []
    for item in _members((), raw):
        if isinstance(item, ParameterError):
            raise item
        found.append(item)
    return tuple(map(as_random if random else _as_whole, found)) if random or whole else tuple(found)


def mistakes(raw: Mapping[str, Any]) -> Iterator[ParameterError]:
    """All parameters that are written wrongly."""
    found: list[Parameter] = []
    for item in _members((), raw):
        if isinstance(item, ParameterError):
            yield item
        else:
            found.append(item)
    yield from _clashes(found)


def as_random(parameter: Parameter) -> Parameter:
    """An axis as what is drawn from it; of alternatives, those within them."""
    if isinstance(parameter, OneOf):
        return replace(parameter, branches=tuple(tuple(map(as_random, branch)) for branch in parameter.branches))
    return Draw(parameter.path, Categorical(parameter.values)) if isinstance(parameter, Axis) else parameter


def _as_whole(parameter: Parameter) -> Parameter:
    """A range of whole numbers, or of steps, as an axis of them."""
    if isinstance(parameter, OneOf):
        return replace(parameter, branches=tuple(tuple(map(_as_whole, branch)) for branch in parameter.branches))
    values = _enumerated(parameter) if isinstance(parameter, Draw) else ()
    return Axis(parameter.path, values) if values else parameter


def _enumerated(draw: Draw) -> tuple[Any, ...]:
    distribution = draw.distribution
    if isinstance(distribution, Categorical) or not 0 < (distribution.count or 0) <= LONGEST:
        return ()
    return distribution.values()


def _clashes(found: Iterable[Parameter]) -> Iterator[ParameterError]:
    """Names that stand for two things, which only dotted ones can: `a.b` beside `a`."""
    for first, second in itertools.pairwise(sorted(parameter.path for parameter in found)):
        if second[: len(first)] == first:
            yield ParameterError(second, f"{dotted(first)!r} stands twice, or for a value and for a group")


def _members(path: Path, group: Mapping[str, Any]) -> Iterator[Read]:
    if not group:
        yield ParameterError(path, "is empty; give at least one parameter")
    if len(path) > DEEPEST:
        yield ParameterError(path[:3], f"is nested too deeply: {DEEPEST} groups are the limit")
        return
    for key, value in group.items():
        if not isinstance(key, str) or not all(step.strip() for step in key.split(".")) or not key.isprintable():
            yield ParameterError(path, f"the name {key!r} is not one that can be used; use text")
        else:
            yield from _member((*path, *key.split(".")), value)


def _member(path: Path, value: Any) -> Iterator[Read]:
    try:
        if (told := foreign_form(value)) is not None:
            raise ParameterError(path, told)
        if isinstance(value, list):
            yield axis(path, value)
        elif not isinstance(value, dict):
            yield Constant(path, json_value(path, value))
        elif is_form(value):
            yield from _form(path, value)
        else:
            _check_spelling(path, value)
            yield from _members(path, value)
    except ParameterError as error:
        yield error


def _check_spelling(path: Path, group: Mapping[str, Any]) -> None:
    """See that {"vaules": [1, 2]} is not taken for a group with an axis of that name."""
    for key, value in group.items():
        meant: tuple[str, ...] = AXIS_KEYS if isinstance(value, list) else ()
        if isinstance(value, str) and value in {*distributions.ARGUMENTS, "categorical", "constant"}:
            meant = ("distribution",)
        if close := difflib.get_close_matches(str(key), meant, n=1, cutoff=0.75):
            raise ParameterError((*path, str(key)), f"did you mean {close[0]!r}? If it is a parameter, rename it")


def _form(path: Path, written: dict[str, Any]) -> Iterator[Read]:
    if len(written) > 1 and ("parameters" in written or not DRAW_KEYS & written.keys()):
        first = next(key for key in written if key in FORM_KEYS)
        others = ", ".join(sorted(key for key in written if key != first))
        raise ParameterError(
            path, f"{first!r} stands alone, and here are also {others}; in a group, write each as a member"
        )
    key, value = next(iter(written.items()))
    if key == "parameters":
        if not isinstance(value, dict):
            raise ParameterError(path, "'parameters' must be an object of parameters")
        yield from _members(path, value)
    elif key == LONE_KEYS[-1]:
        yield from _one_of(path, value)
    else:
        yield form(path, written)


def _one_of(path: Path, branches: Any) -> Iterator[Read]:
    if not isinstance(branches, list) or len(branches) < 2:
        raise ParameterError(path, f"'one_of' is a list of at least two alternatives, and is {branches!r}")
    read = [list(_member(path, branch)) for branch in branches]
    found = [tuple(item for item in branch if not isinstance(item, ParameterError)) for branch in read]
    wrong = [item for branch in read for item in branch if isinstance(item, ParameterError)]
    wrong += [clash for branch in found for clash in _clashes(branch)]
    yield from wrong
    if not wrong:
        yield OneOf(path, tuple(found))
