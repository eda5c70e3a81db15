"""The leaderboard as it is shown: of configurations over their seeds, or of trials, with what is to be said of it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.results import paper, remarks
from raysweep.results.judging import place, value
from raysweep.results.paper import Paper
from raysweep.results.statistics import Statistics
from raysweep.results.tables import worded
from raysweep.results.text import shown
from raysweep.results.trial import TrialResult
from raysweep.sweepfile.members import Metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        table: for a program.
        readable: for a person.
        optional: columns of it that can be left out where there is no room; the last ones first.
        remarks: how to read it, a line each.
        paper: makes it a table for a paper.
    """

    table: pd.DataFrame
    readable: pd.DataFrame
    optional: tuple[str, ...]
    remarks: tuple[str, ...]
    paper: Callable[[], Paper]

    def page(self) -> str:
        """The table and how to read it, as a piece of HTML."""
        notes = "".join(f"<br>{html.escape(shown(remark))}" for remark in self.remarks)
        return f"{self.paper().written('html')}<small>{notes}</small>"


def of_configurations(statistics: Statistics, **asked: Any) -> Board:
    """The leaderboard of configurations.

    Args:
        statistics: of them.
        asked: `sort_by`, `top` and `where`, as of `Results.summary`.

    Raises:
        SpecError: what is asked for is not there.
    """
    table, named = statistics.table(**asked), statistics.columns
    metric = named.metrics[statistics.metric.name]
    return Board(
        table,
        worded(table, statistics.maximize),
        ("std", *statistics.other_columns, "seconds", "epoch"),
        tuple(remarks.of_configurations(statistics)),
        lambda: paper.of_configurations(table, named.parameters.values(), metric),
    )


def of_trials(table: pd.DataFrame, metric: Metric, columns: Mapping[str, str], trials: Sequence[TrialResult]) -> Board:
    """The leaderboard of trials.

    Args:
        table: the leaderboard.
        metric: what they are judged by.
        columns: of the metrics.
        trials: the planned ones.
    """
    best = min((value(metric, trial) for trial in trials), key=lambda one: place(metric, one), default=float("nan"))
    others = (column for name, column in columns.items() if name != metric.name)
    judged = columns.get(metric.name, "")  # without a metric nothing is bold
    return Board(
        table,
        table,
        (*others, "seconds", "state"),
        tuple(remarks.of_trials(metric, trials)),
        lambda: paper.of_trials(table, judged, best),
    )
