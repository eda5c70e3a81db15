"""Random parameters: the distributions of a W&B sweep file, drawn by inverse transform.

A draw is a pure function of one uniform number, so that the same file always plans the same trials. It is not scipy's
`ppf`: its normal numbers differ in the last digits, which would change the ids of trials, and it takes 1 s to import.
Definitions: https://docs.wandb.ai/guides/sweeps/sweep-config-keys/#distribution-options-for-random-and-bayesian-search
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

# What each distribution needs (None: no default) and what it takes besides.
_BOUNDS: dict[str, float | None] = {"min": None, "max": None}
_NORMAL: dict[str, float | None] = {"mu": 0.0, "sigma": 1.0}
_BETA: dict[str, float | None] = {"a": 1.0, "b": 1.0}
_STEP: dict[str, float | None] = {"q": 1.0}
SMALLEST = 1e-12  # uniform numbers lie between this and 1 less this: no distribution is infinite there
_BASES: dict[str, dict[str, float | None]] = {
    "int_uniform": _BOUNDS,
    "uniform": _BOUNDS,
    "log_uniform": _BOUNDS,
    "log_uniform_values": _BOUNDS,
    "inv_log_uniform": _BOUNDS,
    "inv_log_uniform_values": _BOUNDS,
    "normal": _NORMAL,
    "log_normal": _NORMAL,
    "beta": _BETA,
}
_QUANTISED = ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta")
ARGUMENTS: dict[str, dict[str, float | None]] = {
    **_BASES,
    **{f"q_{base}": {**_BASES[base], **_STEP} for base in _QUANTISED},
}


@dataclass(frozen=True)
class Distribution:
    """A distribution of numbers.

    Attributes:
        name: one of `ARGUMENTS`.
        arguments: its arguments, complete with the defaults.
    """

    name: str
    arguments: Mapping[str, float]

    def draw(self, u: float) -> float:
        """The value at the cumulative probability `u`, in (0, 1)."""
        value = _INVERSE[self.name.removeprefix("q_")](u, self.arguments)
        if self.name.startswith("q_"):
            step = self.arguments["q"]
            return round(value / step) * step
        return value

    def position(self, value: float) -> float | None:
        """The cumulative probability in (0, 1) at which `value` is drawn; None where it cannot be.

        Of a rounded value it is the middle of all those at which it is drawn.
        """
        ends = self.draw(SMALLEST), self.draw(1 - SMALLEST)
        if not min(ends) <= value <= max(ends):
            return None
        sign = 1 if ends[0] <= ends[1] else -1
        first = _last(lambda u: sign * self.draw(u) < sign * value)
        last = _last(lambda u: sign * self.draw(u) <= sign * value)
        return (first + last) / 2

    @property
    def count(self) -> int | None:
        """How many different values can be drawn; None where that is any number."""
        if self.name == "int_uniform":
            return int(self.arguments["max"]) - int(self.arguments["min"]) + 1
        if not self.name.startswith("q_"):
            return None
        lowest, highest = (round(self.draw(u) / self.arguments["q"]) for u in (SMALLEST, 1 - SMALLEST))
        return highest - lowest + 1

    def values(self) -> tuple[float, ...]:
        """All values, in order, where it is a range of whole numbers or of steps, which W&B's grid enumerates."""
        low = self.arguments.get("min", 0)
        if self.name == "int_uniform":
            return tuple(range(int(low), int(self.arguments["max"]) + 1))
        if self.name != "q_uniform":
            return ()
        step = self.arguments["q"]
        steps = int((self.arguments["max"] - low) / step * (1 + 1e-12))  # what floats leave short of a whole number
        values = (low + index * step for index in range(steps + 1))
        return tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in values)


@dataclass(frozen=True)
class Categorical:
    """A choice from a list, uniform or with the given probabilities (which sum to 1)."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] | None = None

    def draw(self, u: float) -> Any:
        """The value at the cumulative probability `u`, in (0, 1)."""
        weights = self.probabilities or (1 / len(self.values),) * len(self.values)
        total = 0.0
        for value, weight in zip(self.values, weights, strict=True):
            total += weight
            if u < total:
                return value
        return self.values[-1]  # rounding can leave the sum a little under 1


def _last(holds: Callable[[float], bool]) -> float:
    """Where in (0, 1) a condition ceases to hold that does so once."""
    low, high = SMALLEST, 1 - SMALLEST
    for _ in range(60):  # to the last digit of a float
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def make(name: str, given: Mapping[str, object]) -> Distribution:
    """The distribution `name` with the arguments of a sweep file.

    Raises:
        ValueError: an argument is missing, unknown, not a number or out of order.
    """
    known = ARGUMENTS[name]
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{name} takes no {key!r}; it takes {_listed(known)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
            raise ValueError(f"{key} must be a number, and is {value!r}")
    missing = [key for key, default in known.items() if default is None and key not in given]
    if missing:
        raise ValueError(f"{name} needs {_listed(missing)}")
    arguments = {**known, **given}
    _check_ranges(name, arguments)
    distribution = Distribution(name, arguments)  # type: ignore[arg-type]  # all are numbers: checked above
    _check_extremes(distribution)
    return distribution


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _check_extremes(distribution: Distribution) -> None:
    try:
        width = distribution.arguments.get("max", 0) - distribution.arguments.get("min", 0)
        fits = all(math.isfinite(n) for n in (width, *map(distribution.draw, (SMALLEST, 0.5, 1 - SMALLEST))))
    except (OverflowError, ValueError):  # exp() of too much; a step that is too small to count
        fits = False
    if not fits:
        raise ValueError(f"{distribution.name} would draw numbers that are too large; bring its arguments nearer to 0")


def _check_ranges(name: str, arguments: Mapping[str, Any]) -> None:
    low, high = arguments.get("min", 0), arguments.get("max", 1)
    if low >= high:
        raise ValueError(f"min ({low!r}) must be less than max ({high!r})")
    if name.endswith("_values") and low <= 0:
        raise ValueError(f"{name} needs min > 0, and min is {low!r}")
    if name == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"int_uniform needs whole numbers, and has {low!r} and {high!r}")
    for key in ("sigma", "a", "b", "q"):
        if arguments.get(key, 1) <= 0:
            raise ValueError(f"{key} must be more than 0, and is {arguments[key]!r}")


def _listed(keys: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(keys)


def _uniform(u: float, low: float, high: float) -> float:
    return low + u * (high - low)


def _within(value: float, a: Mapping[str, float]) -> float:
    """Rounding can leave the bounds."""
    return min(max(value, a["min"]), a["max"])


def _int_uniform(u: float, a: Mapping[str, float]) -> float:
    low, high = int(a["min"]), int(a["max"])
    return min(high, low + int(u * (high - low + 1)))


def _beta(u: float, a: Mapping[str, float]) -> float:
    from scipy.special import betaincinv  # the only one without a closed form in the standard library

    return float(betaincinv(a["a"], a["b"], u))


def _normal(u: float, a: Mapping[str, float]) -> float:
    return NormalDist(a["mu"], a["sigma"]).inv_cdf(u)


_INVERSE: dict[str, Callable[[float, Mapping[str, float]], float]] = {
    "int_uniform": _int_uniform,
    "uniform": lambda u, a: _within(_uniform(u, a["min"], a["max"]), a),
    "log_uniform": lambda u, a: math.exp(_uniform(u, a["min"], a["max"])),
    "log_uniform_values": lambda u, a: _within(math.exp(_uniform(u, math.log(a["min"]), math.log(a["max"]))), a),
    # X such that log(1/X) is uniform between min and max
    "inv_log_uniform": lambda u, a: math.exp(-_uniform(u, a["min"], a["max"])),
    # X such that log(1/X) is uniform between log(1/max) and log(1/min)
    "inv_log_uniform_values": lambda u, a: _within(math.exp(-_uniform(u, -math.log(a["max"]), -math.log(a["min"]))), a),
    "normal": _normal,
    "log_normal": lambda u, a: math.exp(_normal(u, a)),
    "beta": _beta,
}
