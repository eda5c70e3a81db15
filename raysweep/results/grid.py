"""The configurations of a sweep as a table of factors, and the complete grid among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.plan.identity import canonical
from raysweep.results.seeds import Configuration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Levels = NDArray[np.intp]

KEPT = 0.5  # of the planned configurations that a grid without missing cells must still have


@dataclass(frozen=True)
class Factor:
    """An axis, or axes that advance together.

    Attributes:
        names: the dotted names of its parameters.
        values: of each level, the value of each of them.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "+".join(self.names)

    def shown(self, level: int) -> Any:
        """The value of a level in tables."""
        values = self.values[level]
        return values[0] if len(values) == 1 else " ".join(map(str, values))


def factors(found: Sequence[Configuration], zipped: Sequence[Sequence[str]] = ()) -> tuple[list[Factor], Levels]:
    """The factors of a sweep, and of each configuration the level of each; shape (k, factors).

    Args:
        found: the configurations.
        zipped: names of parameters that advance together.
    """
    import numpy as np

    names = dict.fromkeys(name for one in found for name in one.parameters)
    group_of = {name: tuple(group) for group in zipped for name in group if set(group) <= names.keys()}
    groups = list(dict.fromkeys(group_of.get(name, (name,)) for name in names))
    columns = [_levels(found, group) for group in groups]
    made = [Factor(group, tuple(values.values())) for group, (values, _) in zip(groups, columns, strict=True)]
    levels = np.array([numbers for _, numbers in columns], dtype=np.intp).reshape(len(groups), len(found)).T
    varies = [index for index, factor in enumerate(made) if len(factor.values) > 1]
    return [made[index] for index in varies], levels[:, varies]


def _levels(found: Sequence[Configuration], group: tuple[str, ...]) -> tuple[Mapping[str, tuple[Any, ...]], list[int]]:
    """The different values, in the order of the plan where they are numbers, and which one each configuration has."""
    values: dict[str, tuple[Any, ...]] = {}
    keys = []
    for one in found:
        row = tuple(one.parameters.get(name) for name in group)
        keys.append(canonical(row))
        values.setdefault(keys[-1], row)
    ordered = sorted(values.items(), key=lambda item: item[1]) if _are_numbers(values.values()) else values.items()
    ranks = {key: rank for rank, (key, _) in enumerate(ordered)}
    return dict(ordered), [ranks[key] for key in keys]


def _are_numbers(rows: Any) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for row in rows for value in row)


@dataclass(frozen=True)
class Grid:
    """A complete grid: each combination of levels once.

    Attributes:
        factors: each with at least two levels.
        rows: of each cell, in the order of the levels, the number of its configuration; shape (levels of each ...).
        left_out: levels that are not in it, as `lr=1`, since configurations that have them are missing.
    """

    factors: tuple[Factor, ...]
    rows: Levels
    left_out: tuple[str, ...]


def complete(found: Sequence[Factor], levels: Levels, there: NDArray[np.bool_]) -> Grid | None:
    """The complete grid among configurations, less the levels in which some are missing; None where there is none.

    Args:
        found: the factors.
        levels: of each configuration; shape (k, factors).
        there: of each configuration, whether it has its values; shape (k,).
    """
    import numpy as np

    shape = tuple(len(factor.values) for factor in found)
    if not found or math.prod(shape) != len(levels):
        return None  # combinations were never planned
    rows = np.full(shape, -1, dtype=np.intp)
    rows[tuple(levels[there].T)] = np.flatnonzero(there)
    kept = [np.arange(size) for size in shape]
    while (rows[np.ix_(*kept)] < 0).any():
        missing = rows[np.ix_(*kept)] < 0
        rates = [(missing.mean(axis=tuple(set(range(len(shape))) - {i})), i) for i in range(len(shape))]
        worst = max(rates, key=lambda rate: rate[0].max())
        kept[worst[1]] = np.delete(kept[worst[1]], worst[0].argmax())
        if math.prod(map(len, kept)) < KEPT * len(levels):
            return None
    left_out = [
        f"{factor.name}={factor.shown(level)}"
        for factor, some in zip(found, kept, strict=True)
        for level in sorted({*range(len(factor.values))} - {*some.tolist()})
    ]
    varies = [i for i, some in enumerate(kept) if len(some) > 1]
    made = tuple(Factor(found[i].names, tuple(found[i].values[level] for level in kept[i])) for i in varies)
    return Grid(made, rows[np.ix_(*kept)].reshape([len(kept[i]) for i in varies]), tuple(left_out)) if made else None
