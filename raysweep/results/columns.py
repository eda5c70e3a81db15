"""What the columns of all tables are called: one rule, by which no name hides another.

Our own columns, and those of the best epoch (`best.NAME`), are called as they are documented. A metric of such a name
becomes `metric.NAME`. A parameter gives way to all of these: it becomes `param.NAME`. Where that is taken as well, the
word is put before it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from raysweep.store.records import whole

TIMES = ("epoch_duration", "run_duration")  # seconds
OWN = ("trial", "run", "state", "epoch", *TIMES, "error", "path", "checkpoint", "seconds")
BEST = "best."  # what the columns of the best epoch begin with
OVER_SEEDS = ("std", "low", "high", "n", "tied", "epoch", "seconds", "diff", "diff.low", "diff.high")  # of a summary


@dataclass(frozen=True)
class Columns:
    """The columns of parameters and metrics, all different.

    Attributes:
        parameters: a parameter's dotted name to its column.
        metrics: a metric's name to its column; that of the best epoch has `best.` before it.
    """

    parameters: Mapping[str, str]
    metrics: Mapping[str, str]


def columns(parameters: Iterable[str], metrics: Iterable[str], own: Collection[str] = OWN) -> Columns:
    """The columns of so many parameters and metrics.

    Args:
        parameters, metrics: their names.
        own: the columns of our own in that table.
    """
    measured = _apart(metrics, "metric.", lambda name: name in own or name.startswith(BEST))
    taken = {*own, *measured.values()} | {f"{BEST}{column}" for column in ("epoch", *TIMES, *measured.values())}
    return Columns(_apart(parameters, "param.", taken.__contains__), measured)


def _apart(names: Iterable[str], word: str, is_taken: Callable[[str], bool]) -> dict[str, str]:
    """Each name with the column that is its own: the name itself where it can be, and else with the word before it."""
    given = dict.fromkeys(names)
    columns = {name: name for name in given if not is_taken(name) and name == whole(name)}
    used = set(columns)
    for name in [name for name in given if name not in columns]:
        column = f"{word}{whole(name)}"
        while column in used or is_taken(column):
            column = f"{word}{column}"
        columns[name] = column
        used.add(column)
    return {name: columns[name] for name in given}
