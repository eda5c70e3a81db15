"""A value for each pair of values of two parameters: what a heat map shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.results.frames import known
from raysweep.results.statistics import Statistics

if TYPE_CHECKING:
    import pandas as pd


def pivot(statistics: Statistics, index: str, columns: str, values: str | None, of: str) -> pd.DataFrame:
    """See `Results.pivot`."""
    table = statistics.table()  # best first
    name = statistics.columns.metrics[statistics.metric.name] if values is None else values
    for column in (index, columns, name):
        known(table, column)
    choices = {"mean": _mean, "best": _first}
    if of not in choices:
        raise SpecError(f"pivot: of={of!r} is neither 'mean' nor 'best'")
    cells = table.groupby([index, columns], dropna=False, sort=False)[name].agg(choices[of])
    return cells.unstack(columns).sort_index(axis="index").sort_index(axis="columns")


def _mean(some: pd.Series[Any]) -> float:
    return float(some.mean(skipna=False))  # a cell in which one diverged has no mean


def _first(some: pd.Series[Any]) -> Any:
    return some.iloc[0]
