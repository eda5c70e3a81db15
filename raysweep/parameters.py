"""The `parameters` of a sweep file -> constants, axes and random draws.

How a value is read:
    a scalar                               a constant
    a list, {"values"}, {"grid_search"}    an axis
    {"value": anything}                    a constant, also a list or an object
    {"distribution": ...} or {"min", "max"}  drawn at random
    any other object, {"parameters": ...}  a group, whose members are read in the same way
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raysweep import distributions
from raysweep.distributions import Categorical, Distribution

Path = tuple[str, ...]
AXIS_KEYS = ("values", "grid_search")
DEEPEST = 50  # groups within groups, and lists within lists
FORM_KEYS = {*AXIS_KEYS, "value", "distribution", "parameters", "min", "max", "probabilities"}


@dataclass(frozen=True)
class Constant:
    """A parameter with one value."""

    path: Path
    value: Any


@dataclass(frozen=True)
class Axis:
    """A parameter that takes each of its values, in order."""

    path: Path
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Draw:
    """A parameter drawn at random, once per sample."""

    path: Path
    distribution: Distribution | Categorical


Parameter = Constant | Axis | Draw


class ParameterError(ValueError):
    """A parameter is written wrongly.

    Attributes:
        path: where it stands below `parameters`.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def dotted(path: Path) -> str:
    """A path as people write it: `optimizer.name`."""
    return ".".join(path)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known name most like `name`, or all of them where none is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"


def parse(raw: Mapping[str, Any], *, random: bool = False) -> tuple[Parameter, ...]:
    """The parameters in the order of the file.

    Args:
        raw: the `parameters` of a sweep file.
        random: lists are drawn from at random instead of being axes (W&B's `method: random`).

    Raises:
        ParameterError: the first one that is written wrongly.
    """
    return tuple(_as_random(p) if random else p for p in _members((), raw))


def _as_random(parameter: Parameter) -> Parameter:
    if isinstance(parameter, Axis):
        return Draw(parameter.path, Categorical(parameter.values))
    return parameter


def _members(path: Path, group: Mapping[str, Any]) -> Iterator[Parameter]:
    if not group:
        raise ParameterError(path, "is empty; give at least one parameter")
    if len(path) > DEEPEST:
        raise ParameterError(path[:3], f"is nested too deeply: {DEEPEST} groups are the limit")
    for key, value in group.items():
        if not isinstance(key, str) or not key.strip() or not key.isprintable():
            raise ParameterError(path, f"the name {key!r} is not one that can be used; use text")
        if "." in key:
            nested = ": {".join(f'"{part}"' for part in key.split("."))
            raise ParameterError((*path, key), f"a name has no dot; write it nested: {nested}: ...")
        yield from _member((*path, key), value)


def _member(path: Path, value: Any) -> Iterator[Parameter]:
    if isinstance(value, list):
        yield _axis(path, value)
    elif not isinstance(value, dict):
        yield Constant(path, json_value(path, value))
    elif FORM_KEYS & value.keys():
        yield from _form(path, value)
    else:
        _check_spelling(path, value)
        yield from _members(path, value)


def _check_spelling(path: Path, group: Mapping[str, Any]) -> None:
    """See that {"vaules": [1, 2]} is not taken for a group with an axis of that name."""
    for key, value in group.items():
        meant: tuple[str, ...] = AXIS_KEYS if isinstance(value, list) else ()
        if isinstance(value, str) and value in {*distributions.ARGUMENTS, "categorical", "constant"}:
            meant = ("distribution",)
        if close := difflib.get_close_matches(str(key), meant, n=1, cutoff=0.75):
            raise ParameterError((*path, str(key)), f"did you mean {close[0]!r}? If it is a parameter, rename it")


def _form(path: Path, form: dict[str, Any]) -> Iterator[Parameter]:
    if "distribution" in form or "min" in form or "max" in form or "probabilities" in form:
        yield _draw(path, form)
        return
    if len(form) > 1:
        first = next(key for key in form if key in FORM_KEYS)
        others = ", ".join(sorted(key for key in form if key != first))
        raise ParameterError(
            path, f"{first!r} stands alone, and here are also {others}; in a group, write each as a member"
        )
    key, value = next(iter(form.items()))
    if key == "value":
        yield Constant(path, json_value(path, value))
    elif key == "parameters":
        if not isinstance(value, dict):
            raise ParameterError(path, "'parameters' must be an object of parameters")
        yield from _members(path, value)
    else:
        yield _axis(path, value)


def _axis(path: Path, values: Any) -> Axis:
    if not isinstance(values, list):
        raise ParameterError(path, f"an axis is a list of values, and is {values!r}")
    if not values:
        raise ParameterError(path, "the list is empty; give at least one value")
    return Axis(path, tuple(json_value(path, value) for value in values))


def _draw(path: Path, form: dict[str, Any]) -> Parameter:
    arguments = {key: value for key, value in form.items() if key != "distribution"}
    name = form["distribution"] if "distribution" in form else _implied(arguments)
    if name == "constant":
        return Constant(path, json_value(path, _only(path, arguments, "value")))
    if name == "categorical":
        return _categorical(path, arguments)
    if not isinstance(name, str) or name not in distributions.ARGUMENTS:
        hint = nearest(str(name), [*distributions.ARGUMENTS, "categorical", "constant"])
        raise ParameterError(path, f"there is no distribution {name!r}; {hint}")
    try:
        return Draw(path, distributions.make(name, arguments))
    except ValueError as error:
        raise ParameterError(path, str(error)) from None


def _implied(arguments: Mapping[str, Any]) -> str:
    """What W&B takes a parameter without `distribution` for."""
    if "probabilities" in arguments:
        return "categorical"
    whole = all(isinstance(value, int) for value in arguments.values())
    return "int_uniform" if whole else "uniform"


def _only(path: Path, arguments: Mapping[str, Any], key: str) -> Any:
    if set(arguments) != {key}:
        raise ParameterError(path, f"this distribution takes {key!r} and nothing else")
    return arguments[key]


def _categorical(path: Path, arguments: Mapping[str, Any]) -> Parameter:
    if unknown := sorted(arguments.keys() - {"values", "probabilities"}):
        raise ParameterError(path, f"categorical takes 'values' and 'probabilities', and not {unknown[0]!r}")
    axis = _axis(path, arguments.get("values"))
    if "probabilities" not in arguments:
        return axis  # as in W&B, a grid enumerates it and a random search draws from it
    weights = arguments["probabilities"]
    if not isinstance(weights, list) or len(weights) != len(axis.values):
        raise ParameterError(path, f"'probabilities' must be a list of {len(axis.values)}, one for each value")
    if not all(isinstance(w, (int, float)) and w >= 0 for w in weights) or abs(sum(weights) - 1) > 1e-6:
        raise ParameterError(path, "'probabilities' must be numbers from 0 to 1 that sum to 1")
    return Draw(path, Categorical(axis.values, tuple(weights)))


def json_value(path: Path, value: Any, depth: int = 0) -> Any:
    """`value` if JSON can say it and it equals itself; NaN, dates and the like are refused."""
    if depth > DEEPEST:
        raise ParameterError(path, f"is nested too deeply: {DEEPEST} lists or objects are the limit")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ParameterError(path, f"{value!r} is no text: it has half of a character in it")
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ParameterError(path, f"{value} is no value: it cannot be compared or written; use null or a word")
    if isinstance(value, list):
        return [json_value(path, item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): json_value(path, item, depth + 1) for key, item in value.items()}
    raise ParameterError(path, f"{value!r} is a {type(value).__name__}; use a number, text, true, false or null")
