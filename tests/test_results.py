"""The run directory as tables: every planned trial has its row, and every number is where it belongs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import raysweep
from raysweep.errors import SpecError, StoreError
from raysweep.plan.trials import Trial, plan
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.store.records import Report, State, TrialError, TrialRecord
from tests.sweeps import spec

Metrics = list[Mapping[str, float | str]]


def make(
    runs: Path, parameters: dict[str, Any], reports: Callable[[Trial], Metrics], counted: bool = False, **keys: Any
) -> Results:
    """A run directory as a sweep would leave it; a trial without reports has failed."""
    sweep = spec(parameters, **keys)
    store = RunDirectory(runs / "sweep")
    store.create()
    store.write_sweep(sweep.model_dump(mode="json", by_alias=True, exclude_unset=True), [])
    for trial in plan(sweep):
        told = reports(trial)
        folder = store.trial(trial.name)
        error = None if told else TrialError("ValueError", "before the first report")
        state = State.FAILED if error else State.DONE
        folder.write(TrialRecord(trial.id, trial.name, sweep.trainable, trial.config, state, error))
        folder.keep_reports(
            Report(epoch, 0.0, 0.5, 0.5 * epoch, metrics, counted=counted) for epoch, metrics in enumerate(told, 1)
        )
    return raysweep.load("sweep", runs)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    def reports(trial: Trial) -> Metrics:
        lr = trial.config["lr"]
        return [] if lr == 1 else [{"loss": lr, "accuracy": 1 - lr}, {"loss": lr * 2, "accuracy": lr}]

    return make(tmp_path, {"lr": [0.1, 0.2, 1], "opt": {"name": "sgd"}, "layers": {"value": [1, 2]}}, reports)


def test_every_planned_trial_has_its_row(results: Results) -> None:
    frame = results.frame()
    assert frame["lr"].tolist() == [0.1, 0.2, 1]
    assert frame["run"].tolist() == [1, 2, 3]
    assert frame["state"].tolist() == ["done", "done", "failed"]
    assert frame["error"].tolist()[2] == "ValueError: before the first report"
    assert frame["opt.name"].tolist() == ["sgd"] * 3 and frame["layers"].tolist() == ["[1, 2]"] * 3


def test_last_and_best_metrics_stand_apart(results: Results) -> None:
    frame = results.frame()
    assert frame["loss"].tolist()[:2] == [0.2, 0.4] and frame["best.loss"].tolist()[:2] == [0.1, 0.2]
    assert frame["best.epoch"].tolist()[:2] == [1, 1] and frame["epoch"].tolist() == [2, 2, 0]
    assert frame["run_duration"].tolist()[:2] == [1.0, 1.0]


def test_history_has_a_row_for_each_epoch(results: Results) -> None:
    history = results.history()
    assert history[["run", "epoch"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert list(history.columns[:5]) == ["trial", "run", "lr", "opt.name", "layers"]
    assert history["run_duration"].tolist() == [0.5, 1.0, 0.5, 1.0]


def test_a_parameter_gives_way_to_a_metric_of_its_name(tmp_path: Path) -> None:
    frame = make(tmp_path, {"loss": [1, 2], "state": "x"}, lambda trial: [{"loss": 0.5}]).frame()
    assert frame["loss"].tolist() == [0.5, 0.5] and frame["param.loss"].tolist() == [1, 2]
    assert frame["param.state"].tolist() == ["x", "x"]


def test_nan_is_worse_than_any_number_and_stays_nan(tmp_path: Path) -> None:
    values = {1: math.nan, 2: 5.0, 3: math.inf}
    results = make(tmp_path, {"x": [1, 2, 3]}, lambda trial: [{"loss": values[trial.config["x"]]}])
    assert [trial.config["x"] for trial in results.ranked()] == [2, 3, 1]
    assert math.isnan(results.frame()["loss"][0]) and math.isinf(results.frame()["loss"][2])


def test_the_tables_agree_in_all_formats(results: Results) -> None:
    results.write()
    for name, table in (("results", results.frame()), ("history", results.history())):
        base = results.directory / name
        pd.testing.assert_frame_equal(pd.read_parquet(base.with_suffix(".parquet")), table, check_dtype=False)
        csv = pd.read_csv(base.with_suffix(".csv"), dtype={"trial": str})
        assert csv["trial"].tolist() == table["trial"].tolist() and csv["loss"].equals(table["loss"])
        rows = json.loads(base.with_suffix(".json").read_text())
        assert [row["loss"] for row in rows][:2] == table["loss"].tolist()[:2]


def test_mixed_values_of_an_axis_can_be_written(tmp_path: Path) -> None:
    results = make(tmp_path, {"x": [1, "auto", None, 0.5, True]}, lambda trial: [{"loss": 1.0}])
    results.write()
    written = pd.read_parquet(results.directory / "results.parquet")["x"]
    assert written.fillna("nothing").tolist() == ["1", "auto", "nothing", "0.5", "True"]


def test_the_leaderboard_sorts_and_filters(results: Results) -> None:
    board = results.leaderboard()
    assert board["lr"].tolist() == [0.1, 0.2, 1] and list(board.columns[:3]) == ["lr", "loss", "accuracy"]
    assert results.leaderboard(sort_by="-loss")["lr"].tolist()[0] == 0.2
    assert results.leaderboard(where=["lr<=0.2", "accuracy>0.85"])["lr"].tolist() == [0.1]
    assert results.leaderboard(where=["state=failed"])["lr"].tolist() == [1]
    assert len(results.leaderboard(top=2)) == 2
    with pytest.raises(SpecError, match="did you mean 'loss'"):
        results.leaderboard(sort_by="los")


def test_columns_of_any_name_can_be_sorted_by_and_asked_for(tmp_path: Path) -> None:
    def reports(trial: Trial) -> Metrics:
        return [{"loss": 1.0, "-x": -trial.number, "top 5": trial.number, "a<=b": trial.number, "seconds": 5}]

    results = make(tmp_path, {"x": [1, 2, 3], "a": [0]}, reports)
    assert results.leaderboard(sort_by="-x")["x"].tolist() == [3, 2, 1]
    assert results.leaderboard(sort_by="--x")["x"].tolist() == [1, 2, 3]
    assert results.leaderboard(where=["top 5 >= 2", "a<=b=3"])["x"].tolist() == [3]
    assert results.leaderboard(where=["metric.seconds=5"])["x"].tolist() == [1, 2, 3]
    for text in ("=3", "x", ""):
        with pytest.raises(SpecError, match="write NAME=VALUE"):
            results.leaderboard(where=[text])


def test_a_sweep_without_reports_has_tables_all_the_same(tmp_path: Path) -> None:
    results = make(tmp_path, {"x": [1, 2]}, lambda trial: [])
    results.write()
    assert results.history().empty and len(results.frame()) == 2
    with pytest.raises(StoreError, match="no trial has reported 'loss' yet"):
        _ = results.best


def test_a_run_directory_whose_file_would_now_be_refused_is_read(tmp_path: Path) -> None:
    parameters = {"lr": {"min": 0.0, "max": 1.0}}
    before = make(tmp_path, parameters, lambda trial: [{"loss": 1.0}])  # a grid, which is not written in the file
    raw = RunDirectory(before.directory).sweep()["spec"]
    RunDirectory(before.directory).write_sweep({**raw, "method": "grid"}, [])
    assert [trial.state for trial in raysweep.load("sweep", tmp_path).trials] == [State.DONE]


class TestFewerEpochs:
    """The sweep file asks for fewer epochs than a trial has been trained for."""

    def shortened(self, runs: Path, trained: int, asked: int, metrics: Metrics, **keys: Any) -> list[float | str]:
        """The losses that are shown of a trial that was trained for `trained` epochs."""
        before = make(runs, {"epochs": trained}, lambda trial: metrics, **keys)
        sweep = spec({"epochs": asked})
        RunDirectory(before.directory).write_sweep(sweep.model_dump(mode="json", by_alias=True, exclude_unset=True), [])
        (trial,) = raysweep.load("sweep", runs).trials
        assert trial.state is State.DONE
        return [report.metrics["loss"] for report in trial.reports]

    def test_hide_what_a_recorder_counted_beyond_them(self, tmp_path: Path) -> None:
        many: Metrics = [{"loss": 0.5**n} for n in range(5)]
        assert self.shortened(tmp_path, 3, 2, many, counted=True) == [1.0, 0.5]

    def test_hide_what_a_recorder_of_version_0_1_0_counted_beyond_them(self, tmp_path: Path) -> None:
        many: Metrics = [{"loss": 0.5**n, "epoch_duration": 1.0, "run_duration": 1.0 * n} for n in range(5)]
        assert self.shortened(tmp_path, 3, 2, many) == [1.0, 0.5]

    def test_hide_what_is_beyond_them_where_there_was_a_report_for_each(self, tmp_path: Path) -> None:
        assert self.shortened(tmp_path, 3, 2, [{"loss": 0.5**n} for n in range(3)]) == [1.0, 0.5]

    @pytest.mark.parametrize("reports", [1, 3, 20], ids=["fewer", "one before training", "ten for each"])
    @pytest.mark.parametrize("asked", [1, 2])
    def test_hide_nothing_where_only_the_function_knows(self, tmp_path: Path, reports: int, asked: int) -> None:
        metrics: Metrics = [{"loss": float(n)} for n in range(reports)]
        assert self.shortened(tmp_path, 2, asked, metrics) == [float(n) for n in range(reports)]
