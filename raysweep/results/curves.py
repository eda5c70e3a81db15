"""Learning curves: each configuration at each epoch, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.results.columns import columns
from raysweep.results.frames import cell, table_of
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Spread
from raysweep.results.trial import TrialResult

if TYPE_CHECKING:
    import pandas as pd

OWN = ("epoch", "std", "low", "high", "n")


def curves(found: Sequence[Configuration], metric: str, overlap: float = 0.0) -> pd.DataFrame:
    """One row per configuration and epoch: see `Results.curves`.

    Args:
        found: the configurations, in the order of the rows.
        metric: the metric's name.
        overlap: what the data that trials share adds to 1 / n in the variance of a mean.
    """
    parameters = dict.fromkeys(name for one in found for name in one.parameters)
    named = columns(parameters, [metric], OWN)
    rows: list[dict[str, Any]] = []
    for one in found:
        own = {named.parameters[name]: cell(value) for name, value in one.parameters.items()}
        for epoch, values in by_epoch(one.trials, metric):
            spread = Spread.of(values, overlap)
            measured = {"std": spread.std, "low": spread.low, "high": spread.high, "n": spread.n}
            rows.append(own | {"epoch": epoch, named.metrics[metric]: spread.mean, **measured})
    return table_of(rows, [*named.parameters.values(), "epoch", named.metrics[metric], *OWN[1:]])


def by_epoch(trials: Iterable[TrialResult], metric: str) -> Iterator[tuple[int, list[float]]]:
    """A metric at each epoch, in order: what those of the trials that have reported it then have reported."""
    values: dict[int, list[float]] = {}
    for trial in trials:
        for report in trial.reports:
            value = report.metrics.get(metric)
            if isinstance(value, (int, float)):
                values.setdefault(report.epoch, []).append(float(value))
    yield from sorted(values.items())
