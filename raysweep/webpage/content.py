"""Results of runs -> all that the page shows, as JSON."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.results.columns import TIMES
from raysweep.results.effects import effects
from raysweep.results.frames import cell
from raysweep.results.judging import value
from raysweep.results.provenance import made_with
from raysweep.results.results import Results
from raysweep.results.rows import measures, times_of
from raysweep.results.text import number, shown
from raysweep.store.directory import RunDirectory
from raysweep.webpage.axes import axes
from raysweep.webpage.learning import bands, clip, curves
from raysweep.webpage.timeline import timeline

if TYPE_CHECKING:
    import pandas as pd

RUN = "run"  # the axis of several runs


def content(runs: Sequence[Results]) -> dict[str, Any]:
    """What the page shows of some runs.

    Args:
        runs: one at least.

    Raises:
        SpecError: they are judged by different metrics.
    """
    metric = runs[0].spec.metric
    for other in runs[1:]:
        if (other.spec.metric.name, other.spec.metric.goal) != (metric.name, metric.goal):
            raise SpecError(
                f"{runs[0].directory} is judged by {metric.name!r} ({metric.goal}) and {other.directory} by "
                f"{other.spec.metric.name!r} ({other.spec.metric.goal}); a report of both needs one metric"
            )
    now = time.time()
    trials = [trial for run in runs for trial in run.trials]
    run_of = [index for index, run in enumerate(runs) for _ in run.trials]
    names = _names(runs)
    others = dict.fromkeys(name for run in runs for name in run.columns.metrics if name not in (metric.name, *TIMES))
    statistics = [run.statistics() for run in runs]
    configurations = [one for each in statistics for one in each.ranked]
    measured = [name for name in (metric.name, *others) if _is_measured(runs, name)]
    return {
        "title": ", ".join(names),
        "made": 1000 * now,
        "metric": {
            "name": shown(metric.name),
            "goal": metric.goal,
            "at": metric.at,
            "clip": clip([value(metric, trial) for trial in trials]),
        },
        "runs": [_run(run, name) for run, name in zip(runs, names, strict=True)],
        "axes": _axes(runs, names, run_of),
        "trials": {"run": run_of, **_trials(runs, [metric.name, *others])},
        "configurations": [row for index, run in enumerate(runs) for row in _configurations(run, index, run_of)],
        "metrics": [
            {
                "name": shown(name),
                **curves(trials, name),
                "over_seeds": bands(configurations, name, statistics[0].overlap),
            }
            for name in measured
        ],
        "timeline": timeline(trials, now),
    }


def _names(runs: Sequence[Results]) -> list[str]:
    """What the runs are called: as their directories, and by the whole path where two are called alike."""
    counts = Counter(run.directory.name for run in runs)
    return [shown(run.directory.name if counts[run.directory.name] == 1 else str(run.directory)) for run in runs]


def _is_measured(runs: Iterable[Results], name: str) -> bool:
    """Whether a metric has ever been a number."""
    reports = (report for run in runs for trial in run.trials for report in trial.reports)
    return any(isinstance(report.metrics.get(name), (int, float)) for report in reports)


def _axes(runs: Sequence[Results], names: Sequence[str], run_of: Sequence[int]) -> list[dict[str, Any]]:
    parameters: list[Mapping[str, Any]] = [trial.parameters for run in runs for trial in run.trials]
    varying = dict.fromkeys(name for one in parameters for name in one)
    found = [axis.content() for axis in axes(parameters, varying)]
    if len(runs) == 1:
        return found
    return [{"name": RUN, "values": list(run_of), "texts": list(names), "log": False}, *found]


def _trials(runs: Sequence[Results], metrics: Sequence[str]) -> dict[str, Any]:
    """The columns of the trials."""
    trials = [(run, trial) for run in runs for trial in run.trials]
    judged = [run.judged(trial) for run, trial in trials]
    values = [measures(report) for report in judged]
    return {
        "id": [trial.id for _, trial in trials],
        "name": [shown(trial.name) for _, trial in trials],
        "state": [str(trial.state) for _, trial in trials],
        "error": [shown(str(trial.error)) if trial.error else None for _, trial in trials],
        "epoch": [report.epoch if report else None for report in judged],
        "seconds": [_plain(times_of(trial.last)["run_duration"]) for _, trial in trials],
        "values": {shown(name): [_plain(row.get(name)) for row in values] for name in metrics},
    }


def _configurations(results: Results, index: int, run_of: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of the leaderboard of a run, best first."""
    statistics = results.statistics()
    first = run_of.index(index) if index in run_of else 0
    place = {trial.id: first + at for at, trial in enumerate(results.trials)}
    tied = {*statistics.tied}
    compared = {*statistics.block.configurations} if statistics.ties is not None else set()
    rows = []
    for one in statistics.ranked:
        spread = statistics.spreads[one]
        rows.append(
            {
                "run": index,
                "trials": [place[trial.id] for trial in one.trials],
                "name": shown(one.name),
                "parameters": {shown(name): number(cell(own)) for name, own in one.parameters.items()},
                **{name: _plain(getattr(spread, name)) for name in ("n", "mean", "std", "low", "high")},
                "tied": one in tied if one in compared else None,
            }
        )
    return rows


def _run(results: Results, name: str) -> dict[str, Any]:
    """What is to be said of a run beside its trials: what mattered, how to read its table, how it was made."""
    told = effects(results.statistics(), results.spec.zip)
    journal = RunDirectory(results.directory).earlier()["runs"]
    return {
        "name": name,
        "directory": shown(str(results.directory)),
        "description": shown(results.spec.description or ""),
        "states": Counter(str(trial.state) for trial in results.trials),
        "seeds": [shown(axis) for axis in results.seed_axes],
        "remarks": [shown(remark) for remark in results.board().remarks],
        "problems": [shown(problem) for problem in results.problems],
        "effects": _records(told.table),
        "means": _records(told.means),
        "notes": [shown(note) for note in told.notes],
        "made_with": {
            fact: shown(text)
            for fact, text in made_with(results.directory, results.spec.trainable, results.trials).items()
        },
        "journal": [
            {
                "started": _milliseconds(entry.get("started")),
                "ended": _milliseconds(entry.get("ended")),
                "host": shown(str(entry.get("host") or "")),
                "command": shown(str(entry.get("command") or "")),
            }
            for entry in journal
        ],
    }


def _milliseconds(seconds: object) -> float | None:
    return 1000 * seconds if isinstance(seconds, (int, float)) else None


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table; what is not known in it is null."""
    rows = table.to_dict("records")
    return [{str(name): None if told != told else _plain(told) for name, told in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers that it does not know as text, which JavaScript's Number() reads."""
    if isinstance(value, str):
        return shown(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
