"""What mattered in a sweep: the share of each axis in all variation, exactly where the grid is complete."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.results.edges import edges, leaders
from raysweep.results.frames import cell, table_of
from raysweep.results.grid import Factor, Grid, complete, factors
from raysweep.results.importance import FEWEST, LEAST, Importance, importance
from raysweep.results.statistics import Spread, Statistics
from raysweep.results.ties import LEVEL
from raysweep.results.variance import ERROR, Term, Variance, analyse, partial_shares

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST = 12  # levels of an axis whose means are shown, where it is no axis of a grid
NOISE = "(noise)"


@dataclass(frozen=True)
class Effects:
    """What mattered.

    Attributes:
        table: one row per effect. Of a grid: `effect`, `share` of all variation, `F`, `p`, `df`, `ss`, and
            `better_half`, the share of the axis among the better half of the configurations. Else: `effect`,
            `importance`, `std`, and `better_half`; None where nothing can be said.
        means: one row per axis and value: `axis`, `value`, the `mean` over all else with its 95 % interval `low`,
            `high`, the `best` over the other axes, and `n` values.
        notes: how to read them, in words.
        strong: the names of the parameters that have an effect that shows; None where nothing can be said.
    """

    table: pd.DataFrame
    means: pd.DataFrame
    notes: tuple[str, ...]
    strong: frozenset[str] | None


def effects(statistics: Statistics, zipped: Sequence[Sequence[str]] = ()) -> Effects:
    """What mattered in a sweep.

    Args:
        statistics: of the sweep, over its seeds.
        zipped: names of parameters that advance together.
    """
    import numpy as np

    found, levels = factors(statistics.found, zipped)
    if not found:
        return Effects(table_of([], ["effect"]), table_of([], MEANS), ("nothing varies beside the seeds",), None)
    compared = {*statistics.block.configurations}
    there = np.array([one in compared for one in statistics.found], dtype=bool)
    grid = complete(found, levels, there)
    if grid is not None:
        return _of_grid(statistics, grid)
    return _of_model(statistics, found, levels)


def _of_grid(statistics: Statistics, grid: Grid) -> Effects:
    import numpy as np

    values_of = dict(zip(statistics.block.configurations, statistics.block.values, strict=True))
    rows = [values_of[statistics.found[row]] for row in grid.rows.ravel()]
    values = np.array(rows).reshape(*grid.rows.shape, -1)
    names = [factor.name for factor in grid.factors]
    told = analyse(values, names, blocked=statistics.block.shared)
    means = values.mean(axis=-1)
    halves = dict(zip(names, _better_half(means, statistics.maximize), strict=True))
    terms = sorted((term for term in told.terms if term.freedom), key=lambda term: -term.squares)
    ordered = [*terms, *([told.error] if told.error.freedom else [])]
    table = table_of([_effect(told, term, halves.get(term.name)) for term in ordered])
    shown = {name for term in terms if told.p(term) < 1 - LEVEL for name in term.factors}
    strong = frozenset(name for factor in grid.factors if factor.name in shown for name in factor.names)
    by_value = list(_marginal(told, grid.factors, means, values, statistics.maximize))
    notes = tuple(_notes_of_grid(statistics, grid, told, values))
    return Effects(table, table_of(by_value), notes, strong if told.error.freedom else None)


def _effect(told: Variance, term: Term, better_half: float | None) -> dict[str, Any]:
    tested = term.name != ERROR
    return {
        "effect": term.name,
        "share": told.share(term),
        "F": told.ratio(term) if tested else None,
        "p": told.p(term) if tested else None,
        "df": term.freedom,
        "ss": term.squares,
        "better_half": better_half,
    }


def _better_half(means: Floats, maximize: bool) -> list[float]:
    """The shares of the axes among the better half of the configurations, where a bad range does not hide all else."""
    import numpy as np

    flat = means.ravel() if maximize else -means.ravel()
    better = np.argsort(-flat, kind="stable")[: (len(flat) + 1) // 2]
    levels = np.stack(np.unravel_index(better, means.shape), axis=1)
    return partial_shares(flat[better], levels)


def _marginal(
    told: Variance, found: Sequence[Factor], means: Floats, values: Floats, maximize: bool
) -> Iterator[dict[str, Any]]:
    import numpy as np

    squares = {name: term.squares for term in told.terms for name in term.factors if len(term.factors) == 1}
    for index, factor in sorted(enumerate(found), key=lambda at: -squares[at[1].name]):
        others = tuple(other for other in range(means.ndim) if other != index)
        over_others = means.mean(axis=others)
        best = means.max(axis=others) if maximize else means.min(axis=others)
        count = values.size // len(factor.values)
        half = told.half_width(count)
        for level in np.argsort(-over_others if maximize else over_others, kind="stable"):
            mean = float(over_others[level])
            yield _mean_row(factor, int(level), Spread(count, mean, math.nan, mean - half, mean + half), best[level])


def _mean_row(factor: Factor, level: int, spread: Spread, best: float) -> dict[str, Any]:
    return {
        "axis": factor.name,
        "value": _text(cell(factor.shown(level))),
        "mean": spread.mean,
        "low": spread.low,
        "high": spread.high,
        "best": float(best),
        "n": spread.n,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _text(value: Any) -> str:
    """A value in a column that has the values of all axes."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _notes_of_grid(statistics: Statistics, grid: Grid, told: Variance, values: Floats) -> Iterator[str]:
    configurations = math.prod(values.shape[:-1])
    yield (
        f"share: of all variation of {statistics.metric.name} in a complete grid of {configurations} configurations x "
        f"{_count(values.shape[-1], 'seed')}; better_half: what only this axis explains among the better half"
    )
    if grid.left_out:
        yield f"without {', '.join(grid.left_out)}, where trials are missing"
    if told.pooled:
        yield "there are no replicates, so interactions stand for the error; a seed axis gives a true one"
    elif not told.error.freedom:
        yield 'there is nothing to measure the error by, so nothing is tested; add "seed": [0, 1, 2]'
    yield "mean: over all else, ± t sqrt(MSE / n); best: over the other axes"
    yield from (edge.told(len(leaders(statistics))) for edge in edges(statistics))


def _of_model(statistics: Statistics, found: Sequence[Factor], levels: NDArray[np.intp]) -> Effects:
    import numpy as np

    spread = [statistics.spreads[one].mean for one in statistics.found]
    there = np.isfinite(spread)
    values, levels = np.array(spread)[there], levels[there]
    columns = [[factor.shown(level) for level in column] for factor, column in zip(found, levels.T, strict=True)]
    whole = importance(columns, values)
    upwards = values if statistics.maximize else -values
    better = np.argsort(-upwards, kind="stable")[: (len(values) + 1) // 2]
    some = better if whole.is_telling else better[:0]  # of these as well nothing can be said then
    half = importance([[column[row] for row in some] for column in columns], values[some])
    order = np.argsort(-whole.means, kind="stable") if whole.is_telling else np.arange(len(found))
    rows = [
        {
            "effect": found[i].name,
            "importance": float(whole.means[i]),
            "std": float(whole.deviations[i]),
            "better_half": float(half.means[i]),
        }
        for i in order
    ]
    rows.append({"effect": NOISE, "importance": float(whole.floor), "std": None, "better_half": float(half.floor)})
    names = [name for i in range(len(found)) if whole.means[i] > whole.floor for name in found[i].names]
    means = [row for factor, column in zip(found, levels.T, strict=True) if len(factor.values) <= MOST
             for row in _raw_means(factor, column, values, statistics.maximize)]  # fmt: skip
    table = table_of([{name: None if value != value else value for name, value in row.items()} for row in rows])
    strong = frozenset(names) if whole.is_telling else None
    return Effects(table, table_of(means, MEANS), tuple(_notes_of_model(statistics, whole, len(values))), strong)


MEANS = ("axis", "value", "mean", "low", "high", "best", "n")


def _raw_means(factor: Factor, column: NDArray[np.intp], values: Floats, maximize: bool) -> Iterator[dict[str, Any]]:
    """The means of the values of an axis, as they are: other axes are not balanced within them."""
    for level in range(len(factor.values)):
        some = values[column == level].tolist()
        if some:
            yield _mean_row(factor, level, Spread.of(some), max(some) if maximize else min(some))


def _notes_of_model(statistics: Statistics, told: Importance, count: int) -> Iterator[str]:
    if count < FEWEST:
        yield (
            f"there is no complete grid of finished trials, and {_count(count, 'configuration')} are too few to learn "
            f"from: {FEWEST} are needed"
        )
        return
    if not told.is_telling:
        yield (
            "nothing can be said of what mattered: this is no complete grid, and a model of it predicts badly what it "
            f"has not seen (R² {told.accuracy:.2f}; {LEAST} is needed)"
        )
        return
    yield (
        f"importance: the R² that a forest of trees loses on configurations that it has not seen where the axis is "
        f"shuffled (R² {told.accuracy:.2f} of {count} configurations); better_half: the same among the better half"
    )
    yield f"forests favour axes with many values: what is not above {NOISE} does not show; a complete grid is exact"
    yield from (edge.told(len(leaders(statistics))) for edge in edges(statistics))
