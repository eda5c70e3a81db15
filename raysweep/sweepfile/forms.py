"""How one parameter is written: a list, `{"values": ...}`, a distribution, a range, an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raysweep.sweepfile import distributions
from raysweep.sweepfile.distributions import Categorical
from raysweep.sweepfile.expressions import Expression
from raysweep.sweepfile.parameters import (
    Axis,
    Constant,
    Derived,
    Draw,
    Parameter,
    ParameterError,
    Path,
    json_value,
    nearest,
)

AXIS_KEYS = ("values", "grid_search")
LONE_KEYS = ("range", "geomspace", "expr", "one_of")  # a form where nothing stands beside them, and else a member
DRAW_KEYS = {"distribution", "min", "max", "probabilities"}
FORM_KEYS = {*AXIS_KEYS, *DRAW_KEYS, "value", "parameters"}
LONGEST = 100_000  # values that a range may span; more are a mistake, and would fill the memory
DIGITS = 12  # of a computed value that count: 0.3, and not 0.30000000000000004


def is_form(value: Mapping[Any, Any]) -> bool:
    """Whether an object is a form, and no group of parameters."""
    return bool(FORM_KEYS & value.keys()) or (len(value) == 1 and next(iter(value)) in LONE_KEYS)


def form(path: Path, written: Mapping[str, Any]) -> Parameter:
    """The parameter that an object is, other than `{"parameters": ...}` and `{"one_of": ...}`, which have members.

    Raises:
        ParameterError: it is written wrongly.
    """
    if DRAW_KEYS & written.keys():
        return _draw(path, written)
    [(key, value)] = written.items()
    return _READERS[key](path, value)


def axis(path: Path, values: Any) -> Axis:
    """The axis that a list is.

    Raises:
        ParameterError: it is none, or has nothing in it.
    """
    if not isinstance(values, list):
        raise ParameterError(path, f"an axis is a list of values, and is {values!r}")
    if not values:
        raise ParameterError(path, "the list is empty; give at least one value")
    return Axis(path, tuple(json_value(path, value) for value in values))


def _constant(path: Path, value: Any) -> Constant:
    return Constant(path, json_value(path, value))


def _range(path: Path, bounds: Any) -> Axis:
    low, high, step = _numbers(path, "range", bounds, (1,))
    if step <= 0 or low > high:
        raise ParameterError(path, f"a range goes upwards, by a step of more than 0, and this is {bounds!r}")
    count = (high - low) / step * (1 + 1e-12)  # 0.1 to 0.3 by 0.1 has three values, whatever floats make of it
    if count > LONGEST:
        raise ParameterError(path, f"the range has more than {LONGEST:,} values; give it a larger step")
    return Axis(path, tuple(_tidy(low + index * step) for index in range(int(count) + 1)))


def _geomspace(path: Path, bounds: Any) -> Axis:
    low, high, count = _numbers(path, "geomspace", bounds)
    if low <= 0 or high <= 0 or not isinstance(count, int) or not 2 <= count <= LONGEST:
        raise ParameterError(path, f"geomspace has two numbers above 0, and how many values (from 2), not {bounds!r}")
    inner = (_tidy(float(low * (high / low) ** (index / (count - 1)))) for index in range(1, count - 1))
    return Axis(path, (low, *inner, high))


def _numbers(path: Path, name: str, given: Any, more: tuple[int, ...] = ()) -> tuple[Any, ...]:
    """The three numbers of a form; those of `more` stand for what is not given."""
    fits = isinstance(given, list) and 3 - len(more) <= len(given) <= 3
    if not fits or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in given):
        wanted = "[from, to] or [from, to, step]" if name == "range" else "[from, to, how many]"
        raise ParameterError(path, f"{name} is {wanted}, in numbers, and is {given!r}")
    json_value(path, given)  # no NaN, no infinities
    return (*given, *more)[:3]


def _tidy(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _expression(path: Path, text: Any) -> Derived:
    try:
        return Derived(path, Expression.read(text))
    except ValueError as error:
        raise ParameterError(path, str(error)) from None


_READERS: dict[str, Callable[[Path, Any], Parameter]] = {
    "value": _constant,
    "values": axis,
    "grid_search": axis,
    "range": _range,
    "geomspace": _geomspace,
    "expr": _expression,
}


def _draw(path: Path, written: Mapping[str, Any]) -> Parameter:
    arguments = {key: value for key, value in written.items() if key != "distribution"}
    name = written["distribution"] if "distribution" in written else _implied(arguments)
    if name == "constant":
        return Constant(path, json_value(path, _only(path, arguments, "value")))
    if name in ("categorical", "categorical_w_probabilities"):
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
    choices = axis(path, arguments.get("values"))
    if "probabilities" not in arguments:
        return choices  # as in W&B, a grid enumerates it and a random search draws from it
    weights = arguments["probabilities"]
    if not isinstance(weights, list) or len(weights) != len(choices.values):
        raise ParameterError(path, f"'probabilities' must be a list of {len(choices.values)}, one for each value")
    positive = all(isinstance(w, (int, float)) and w >= 0 for w in weights)
    if not positive or abs(sum(weights) - 1) > 1e-5 + 1e-8:  # as numpy's isclose has it, and with it W&B
        raise ParameterError(path, "'probabilities' must be numbers from 0 to 1 that sum to 1")
    return Draw(path, Categorical(choices.values, tuple(weights)))
