"""The values of an axis as a scale: evenly or geometrically spaced numbers, what lies between and what beyond."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

DIGITS = 3  # of a new value
DECADE = 8.0  # two values that are so many times apart are spaced geometrically


@dataclass(frozen=True)
class Scale:
    """The different numbers of an axis, in ascending order; at least two."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Scale | None:
        """That of an axis whose values are all numbers; None of any other."""
        different = list(dict.fromkeys(values)) if all(map(_is_number, values := list(values))) else []
        return cls(tuple(sorted(different))) if len(different) > 1 else None

    @property
    def is_whole(self) -> bool:
        """Whether all are whole numbers."""
        return all(isinstance(value, int) for value in self.values)

    @property
    def is_geometric(self) -> bool:
        """Whether neighbours differ by a factor rather than by a step."""
        if self.values[0] <= 0:
            return False
        if len(self.values) == 2:
            return self.values[1] / self.values[0] >= DECADE or (self.is_whole and all(map(_is_power, self.values)))
        steps = [b - a for a, b in itertools.pairwise(self.values)]
        factors = [math.log(b / a) for a, b in itertools.pairwise(self.values)]
        return max(factors) / min(factors) < max(steps) / min(steps)

    def is_bound(self, value: float) -> bool:
        """Whether nothing can lie beyond a value at an end: 0 below, and 1 above where all are from 0 to 1."""
        return value == 0 or (value == 1 and not self.is_whole and self.values[0] >= 0)

    def edge(self, values: Iterable[float]) -> str | None:
        """At which end all of some values lie, "smallest" or "largest"; None where at none."""
        some = set(values)
        for end, word in ((self.values[0], "smallest"), (self.values[-1], "largest")):
            if some == {end} and not self.is_bound(end):
                return word
        return None

    def beyond(self, value: float) -> float | None:
        """The next value past an end, in the axis's own spacing; None where there can be none."""
        at = self.values.index(value)
        neighbour = self.values[1] if at == 0 else self.values[-2]
        if self.is_geometric:
            new = value * value / neighbour
        elif all(0 <= other <= 1 for other in self.values) and not self.is_whole and value > neighbour:
            new = min(2 * value - neighbour, (1 + value) / 2)  # a probability, a momentum: 1 is its end
        else:
            new = 2 * value - neighbour
            if self.values[0] >= 0 and new <= 0:
                new = value / 2
        return self._kept(new)

    def between(self, one: float, other: float) -> float | None:
        """The value in the middle of two neighbours; None where there is none of that kind."""
        return self._kept(math.sqrt(one * other) if self.is_geometric else (one + other) / 2)

    def _kept(self, value: float) -> float | None:
        """A new value as the axis has them: rounded, and whole where all are."""
        if not math.isfinite(value):
            return None
        if self.is_whole:
            new: float = round(value)
            if abs(new - value) > 1e-9 * abs(value):
                return None
        else:
            new = float(f"{value:.{DIGITS}g}")
        return new if new not in self.values else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_power(value: float) -> bool:
    """Whether a whole number is a power of two."""
    return value > 0 and not int(value) & (int(value) - 1)
