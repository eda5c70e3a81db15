"""What the `parameters` of a sweep file are: constants, axes, random draws, what is computed, and alternatives."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.sweepfile.distributions import Categorical, Distribution
from raysweep.sweepfile.expressions import Expression

Path = tuple[str, ...]
SEED = "seed"  # the parameter that random generators start from, also in a group
DEEPEST = 50  # groups within groups, and lists within lists
LARGEST = 2**1024  # TensorBoard's table of parameters holds floats


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


@dataclass(frozen=True)
class Derived:
    """A parameter that is computed from others."""

    path: Path
    expression: Expression


@dataclass(frozen=True)
class OneOf:
    """Alternatives, of which a trial has one: each has parameters of its own, at `path` or below it."""

    path: Path
    branches: tuple[tuple[Parameter, ...], ...]


Parameter = Constant | Axis | Draw | Derived | OneOf


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


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = value
    return result


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known name most like `name`, or all of them where none is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"


def every(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """All parameters, also those within alternatives; a path may come more than once."""
    for parameter in parameters:
        if isinstance(parameter, OneOf):
            for branch in parameter.branches:
                yield from every(branch)
        else:
            yield parameter


def json_value(path: Path, value: Any, depth: int = 0) -> Any:
    """`value` if JSON can say it and it equals itself; NaN, dates and the like are refused."""
    if depth > DEEPEST:
        raise ParameterError(path, f"is nested too deeply: {DEEPEST} lists or objects are the limit")
    if value is None or isinstance(value, (bool, int)):
        if value and abs(value) >= LARGEST:
            raise ParameterError(path, "is a whole number that no float can hold; write it as text")
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
