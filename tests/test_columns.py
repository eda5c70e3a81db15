"""No name hides another: parameters, metrics and our own columns, whatever they are called, in every table."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.plan.trials import plan
from raysweep.results.columns import BEST, OWN, columns
from raysweep.results.results import Results
from raysweep.results.trial import TrialResult
from raysweep.store.records import Report, State, TrialError
from raysweep.sweepfile.parameters import flat
from raysweep.sweepfile.spec import SweepSpec
from tests.sweeps import spec

RESERVED = [*OWN, "loss", "lr"]
WORDS = ["best", "metric", "param"]

words = st.sampled_from([*RESERVED, *WORDS])
dotted = st.lists(words, min_size=1, max_size=3).map(".".join)
metric_names = dotted | st.text(min_size=1, max_size=3)
parameter_groups = st.recursive(
    st.dictionaries(words, st.none(), min_size=1, max_size=4),
    lambda inner: st.dictionaries(words, st.none() | inner, min_size=1, max_size=3),
    max_leaves=5,
)


def numbered(group: dict[str, Any], numbers: itertools.count[int]) -> dict[str, Any]:
    """A group of parameters, each an axis with two values of its own."""
    return {key: numbered(value, numbers) if value else [next(numbers), next(numbers)] for key, value in group.items()}


def results_of(parameters: dict[str, Any], names: list[str], metric: str, runs: Path) -> Results:
    """The results of a sweep over the diagonal of `parameters`: two reports each, the first one the better."""
    zipped = [list(flat(parameters))] if len(flat(parameters)) > 1 else []
    sweep = spec(parameters, metric={"name": metric, "goal": "minimize"}, zip=zipped)
    numbers = itertools.count(1000)
    return Results(runs, sweep, [result(sweep, trial, names, numbers) for trial in plan(sweep)])


def result(sweep: SweepSpec, trial: Any, names: list[str], numbers: itertools.count[int]) -> TrialResult:
    reports = tuple(
        Report(epoch, 0.0, epoch / 16, epoch / 4, {name: next(numbers) for name in names}) for epoch in (1, 2)
    )
    best = sweep.metric.best(reports)
    error = TrialError("ValueError", trial.id)
    return TrialResult(
        trial.number, trial.id, trial.name, trial.config, State.FAILED, error, reports, best, Path(trial.name)
    )


@given(st.lists(metric_names), st.lists(metric_names))
def test_all_columns_are_different(parameters: list[str], metrics: list[str]) -> None:
    named = columns(parameters, metrics)
    best = [f"{BEST}{column}" for column in ("epoch", *named.metrics.values())]
    all_of_them = [*OWN, *best, *named.metrics.values(), *named.parameters.values()]
    assert len(set(all_of_them)) == len(all_of_them)
    assert list(named.metrics) == list(dict.fromkeys(metrics))
    assert list(named.parameters) == list(dict.fromkeys(parameters))


@pytest.mark.parametrize(
    ("parameters", "metrics", "expected"),
    [
        (["lr", "opt.lr"], ["loss"], ["lr", "opt.lr", "loss"]),
        (["loss"], ["loss"], ["param.loss", "loss"]),
        (["seconds", "run"], ["error", "loss"], ["param.seconds", "param.run", "metric.error", "loss"]),
        (["best.loss", "best.lr"], ["loss"], ["param.best.loss", "best.lr", "loss"]),
        (["lr"], ["best.loss", "lr", "param.lr"], ["param.param.lr", "metric.best.loss", "lr", "param.lr"]),
        ([], ["epoch", "metric.epoch"], ["metric.metric.epoch", "metric.epoch"]),
        (["a\ud800"], ["b"], ["param.a\\ud800", "b"]),
    ],
)
def test_names_that_are_taken_have_a_word_before_them(
    parameters: list[str], metrics: list[str], expected: list[str]
) -> None:
    named = columns(parameters, metrics)
    assert [*named.parameters.values(), *named.metrics.values()] == expected


@given(parameter_groups, st.lists(dotted, min_size=1, max_size=5, unique=True))
def test_every_value_is_in_every_table(group: dict[str, Any], names: list[str]) -> None:
    parameters = numbered(group, itertools.count(1))
    with tempfile.TemporaryDirectory() as folder:
        results = results_of(parameters, names, names[0], Path(folder))
        frame, history, board = results.frame(), results.history(), results.leaderboard()
        for table in (frame, history, board):
            assert len(set(table.columns)) == len(table.columns)
        check_rows(results, frame.to_dict("records"), history.to_dict("records"))
        check_board(results, board.to_dict("records"))
        results.write()
        for name, table in (("results", frame), ("history", history)):
            for read in (read_csv, read_json, pd.read_parquet):
                suffix = read.__name__.removeprefix("read_")
                assert plain(read(Path(folder, f"{name}.{suffix}"))) == plain(table)


@given(parameter_groups, st.lists(dotted, min_size=1, max_size=5, unique=True))
def test_every_value_is_in_every_table_of_statistics(group: dict[str, Any], names: list[str]) -> None:
    parameters = numbered(group, itertools.count(1))
    results = results_of(parameters, names, names[0], Path("none"))
    summary, curves = results.summary([]), results.curves()
    for table in (summary, curves, results.compare(results), results.effects(), results.means()):
        assert len(set(table.columns)) == len(table.columns)
    statistics = results.statistics([])
    assert {*statistics.columns.parameters.values(), *statistics.columns.metrics.values()} <= {*summary}
    for name, column in statistics.columns.parameters.items():
        assert {*summary[column]} == {trial.parameters[name] for trial in results.trials}
    metric = statistics.columns.metrics[names[0]]
    assert summary[metric].isna().all()  # of trials that failed nothing counts
    assert {value for row in curves.to_numpy().tolist() for value in row} >= {
        report.metrics[names[0]] for trial in results.trials for report in trial.reports
    }


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, with None where there is nothing: a csv has no other way to tell."""
    return [{key: None if v != v else v for key, v in row.items()} for row in table.to_dict("records")]


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"trial": str})


def read_json(path: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads(path.read_text()))


def check_rows(results: Results, frame: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    named = results.columns
    for trial, row in zip(results.trials, frame, strict=True):
        last, best = trial.reports[1], trial.reports[0]
        own = {
            "trial": trial.id,
            "run": trial.number,
            "state": "failed",
            "epoch": 2,
            "best.epoch": 1,
            "checkpoint": None,
        }
        own |= {"error": f"ValueError: {trial.id}", "path": trial.name, "epoch_duration": 2 / 16, "run_duration": 0.5}
        expected = own | {named.parameters[name]: value for name, value in flat(trial.config).items()}
        expected |= {named.metrics[name]: value for name, value in last.metrics.items()}
        expected |= {f"best.{named.metrics[name]}": value for name, value in best.metrics.items()}
        assert expected == {name: row[name] for name in expected}
    reports = [(trial, report) for trial in results.trials for report in trial.reports]
    for (trial, report), row in zip(reports, history, strict=True):
        own = {"trial": trial.id, "run": trial.number, "epoch": report.epoch}
        own |= {"epoch_duration": report.epoch_duration, "run_duration": report.run_duration}
        expected = own | {named.parameters[name]: value for name, value in flat(trial.config).items()}
        expected |= {named.metrics[name]: value for name, value in report.metrics.items()}
        assert expected == row


def check_board(results: Results, board: list[dict[str, Any]]) -> None:
    named = results.columns
    for trial, row in zip(results.trials, board, strict=True):
        expected = {"epoch": 1, "seconds": 0.5, "state": "failed", "trial": trial.id}
        expected |= {named.parameters[name]: value for name, value in flat(trial.config).items()}
        expected |= {named.metrics[name]: value for name, value in trial.reports[0].metrics.items()}
        assert expected == row


def test_a_recorders_times_are_those_of_the_columns_in_every_table(tmp_path: Path) -> None:
    sweep = spec({"x": [1]})
    (trial,) = plan(sweep)
    counted = [
        Report(n, 0.0, 1.0, float(n), {"loss": 1 / n, "epoch_duration": 0.75, "run_duration": 0.75 * n}, counted=True)
        for n in (1, 2)
    ]
    made = TrialResult(1, trial.id, trial.name, trial.config, State.DONE, None, tuple(counted), counted[1], tmp_path)
    results = Results(tmp_path, sweep, [made])
    assert results.frame()[["epoch_duration", "run_duration", "best.run_duration"]].to_numpy().tolist() == [
        [0.75, 1.5, 1.5]
    ]
    assert results.history()[["epoch_duration", "run_duration"]].to_numpy().tolist() == [[0.75, 0.75], [0.75, 1.5]]
    assert results.leaderboard()["seconds"].tolist() == [1.5]
    assert not [name for name in results.frame() if name.startswith("metric.")]


def test_a_metric_of_ones_own_does_not_replace_the_time(tmp_path: Path) -> None:
    sweep = spec({"x": [1]})
    (trial,) = plan(sweep)
    report = Report(1, 0.0, 1.0, 2.0, {"loss": 0.5, "run_duration": 99.0})
    made = TrialResult(1, trial.id, trial.name, trial.config, State.DONE, None, (report,), report, tmp_path)
    for table in (Results(tmp_path, sweep, [made]).frame(), Results(tmp_path, sweep, [made]).history()):
        assert table[["run_duration", "metric.run_duration"]].to_numpy().tolist() == [[2.0, 99.0]]
