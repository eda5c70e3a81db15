"""Configurations over their seeds: every case is defined, and said in words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy import stats

import raysweep
from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.plan.trials import Trial
from raysweep.results.remarks import of_configurations, of_trials, of_winner
from raysweep.results.results import Results
from raysweep.results.seeds import comparable, configurations, seed_axes
from raysweep.results.statistics import Spread
from raysweep.results.ties import overlap_of
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State, TrialRecord
from tests.sweeps import spec
from tests.test_results import make

GRAFT = {  # Montgomery's vascular grafts: pressure to yield, by batch
    8500: [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    8700: [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    8900: [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    9100: [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
}
YIELD = {"name": "yield", "goal": "maximize"}


def grafts(runs: Path, data: Mapping[int, list[float]] = GRAFT, **keys: Any) -> Results:
    """A sweep of pressures and seeds; a missing value is of a trial that failed."""
    seeds = list(range(max(map(len, data.values()))))

    def reports(trial: Trial) -> list[Mapping[str, float | str]]:
        values = data[trial.config["pressure"]]
        return [{"yield": values[trial.config["seed"]]}] if trial.config["seed"] < len(values) else []

    return make(runs, {"pressure": list(data), "seed": seeds}, reports, metric=YIELD, **keys)


def told(results: Results, **options: Any) -> list[str]:
    return list(of_configurations(results.statistics(**options)))


def test_each_configuration_has_its_mean_and_interval(tmp_path: Path) -> None:
    table = grafts(tmp_path).summary().set_index("pressure")
    for pressure, values in GRAFT.items():
        row = table.loc[pressure]
        assert row["yield"] == pytest.approx(np.mean(values)) and row["std"] == pytest.approx(np.std(values, ddof=1))
        interval = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
        assert (row["low"], row["high"]) == pytest.approx(interval)
        assert row["n"] == 6
    assert table.index.tolist() == [8500, 8700, 8900, 9100]
    assert table["tied"].tolist() == [True, True, False, False]
    assert table["diff.low"].tolist() == pytest.approx([0, -3.96, -7.398, -10.548], abs=2.5)


def test_a_seed_axis_is_what_is_averaged_over() -> None:
    assert seed_axes(spec({"lr": [1, 2], "seed": [0, 1]})) == ("seed",)
    assert seed_axes(spec({"lr": [1, 2], "data": {"seed": [0, 1]}, "seed": 3})) == ("data.seed",)
    assert seed_axes(spec({"lr": [1, 2], "seed": [0, 1]}, zip=[["lr", "seed"]])) == ()
    assert seed_axes(spec({"lr": [1, 2], "seeds": [0, 1]})) == ()
    assert seed_axes(spec({"lr": [1, 2], "fold": [0, 1], "seed": [0, 1]}, folds="fold")) == ("fold", "seed")


def test_any_parameters_can_be_averaged_over(tmp_path: Path) -> None:
    results = make(
        tmp_path, {"a": [1, 2], "b": [10, 20], "seed": [0, 1]}, lambda trial: [{"loss": sum(trial.config.values())}]
    )
    table = results.summary(["a", "seed"])
    assert table["b"].tolist() == [10, 20] and table["n"].tolist() == [4, 4]
    assert table["loss"].tolist() == [12.0, 22.0]
    assert results.summary([])["n"].tolist() == [1] * 8
    with pytest.raises(SpecError, match="--group-by sed: there is no such parameter; did you mean 'seed'"):
        results.summary(["sed"])


def test_trials_can_be_chosen_by_their_seeds(tmp_path: Path) -> None:
    results = grafts(tmp_path)
    table = results.summary(where=["seed<3", "pressure>=8700"])
    assert table["n"].tolist() == [3, 3, 3] and table["pressure"].tolist() == [8700, 8900, 9100]
    assert results.summary(top=1, sort_by="yield")["pressure"].tolist() == [9100]
    assert table["diff"].max() < 0  # the differences are those of all configurations


class TestWhatCannotBeCompared:
    def test_fewer_seeds(self, tmp_path: Path) -> None:
        results = grafts(tmp_path, {**GRAFT, 9100: GRAFT[9100][:4], 8400: [99.0, 99.0]})
        table = results.summary().set_index("pressure")
        assert table["tied"].tolist() == [True, True, False, None, None]
        assert table.index.tolist() == [8500, 8700, 8900, 8400, 9100]  # what is compared stands first
        assert table["n"].tolist() == [6, 6, 6, 2, 4]
        [line] = [line for line in told(results) if line.startswith("not compared")]
        assert line == "not compared: pressure=9100 (4 of 6 seeds, 2 failed); pressure=8400 (2 of 6 seeds, 4 failed)"

    @pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")])
    def test_no_number(self, tmp_path: Path, value: float, word: str) -> None:
        results = grafts(tmp_path, {**GRAFT, 9100: [value, *GRAFT[9100][1:]]})
        table = results.summary().set_index("pressure")
        assert table["tied"].tolist() == [True, True, False, None] and table.index[-1] == 9100
        assert f"not compared: pressure=9100 (1 of 6 {word})" in told(results)

    def test_seeds_that_are_not_planned(self, tmp_path: Path) -> None:
        results = grafts(tmp_path, exclude=[{"pressure": 8500, "seed": 5}])
        assert "not compared: pressure=8500 (5 of 6 seeds)" in told(results)

    def test_all(self, tmp_path: Path) -> None:
        running = grafts(tmp_path / "x", {8500: [1.0, 2.0], 8700: [1.0]})
        folder = RunDirectory(running.directory).trial(running.trials[2].path.name)
        record = folder.record()
        assert record is not None and record.config == {"pressure": 8500, "seed": 1}
        folder.write(TrialRecord(record.id, record.name, record.trainable, record.config, State.RUNNING))
        running = raysweep.load(running.directory)
        assert running.summary()["tied"].tolist() == [None, None]
        assert "no configuration has finished with all its seeds yet, so none is compared" in told(running)
        assert running.best.config["pressure"] == 8500  # of all trials


def test_one_seed_says_nothing_about_differences(tmp_path: Path) -> None:
    results = grafts(tmp_path, {8500: [1.0], 8700: [2.0]})
    table = results.summary()
    assert table["tied"].tolist() == [None, None] and table["std"].isna().all() and table["low"].isna().all()
    assert '1 seed: nothing can be said about differences; add "seed": [0, 1, 2]' in told(results)


def test_one_configuration_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    results = grafts(tmp_path, {8500: GRAFT[8500]})
    assert results.summary()["tied"].tolist() == [None]
    assert any("there is nothing to compare it with" in line for line in told(results))


def test_equal_ones_are_tied_and_the_first_of_the_plan_stands_first(tmp_path: Path) -> None:
    results = grafts(tmp_path, {8700: [1.0, 2.0], 8500: [1.0, 2.0]})
    table = results.summary()
    assert table["pressure"].tolist() == [8700, 8500] and table["tied"].tolist() == [True, True]
    assert table["diff"].tolist() == [0.0, 0.0]


def test_a_margin_is_said(tmp_path: Path) -> None:
    results = grafts(tmp_path)
    assert results.summary(margin=10)["tied"].tolist() == [True] * 4
    assert any("4 of 4 cannot be told apart by more than 10.0" in line or "by more than 10 " in line
               for line in told(results, margin=10))  # fmt: skip


def test_folds_are_averaged_over_with_their_correction(tmp_path: Path) -> None:
    values = [0.5, 0.75, 0.25, 0.625, 0.375]
    results = make(
        tmp_path, {"x": [0, 1], "fold": [0, 1, 2, 3, 4]}, folds="fold",
        reports=lambda trial: [{"loss": values[trial.config["fold"]] * (1 + trial.config["x"])}],
    )  # fmt: skip
    row = results.summary().iloc[0]
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert (row["low"], row["high"]) == pytest.approx((0.5 - half, 0.5 + half))
    assert Spread.of(values, overlap_of(5)).high == pytest.approx(0.5 + half)
    assert "over 5 folds" in told(results)[0]
    with pytest.raises(SpecError, match="folds: there is no axis 'folds'; did you mean 'fold'"):
        spec({"fold": [0, 1]}, folds="folds")


def test_what_seeds_are_not_shared_is_compared_as_such(tmp_path: Path) -> None:
    results = grafts(tmp_path, {8500: [1.0, 2.0, 4.0, 3.0], 8700: [1.0, 2.0, 4.0, 3.0]},
                     exclude=[{"pressure": 8500, "seed": 0}, {"pressure": 8700, "seed": 3}])  # fmt: skip
    block = results.statistics().block
    assert not block.shared and block.values.shape == (2, 3)
    ties = results.statistics().ties
    assert ties is not None and ties.freedom == 4


def test_the_order_of_seeds_in_the_plan_does_not_matter() -> None:
    sweep = spec({"x": [0, 1], "seed": [2, 0, 1]})
    assert comparable(configurations([], sweep.metric, ["x", "seed"], ["seed"])).values.shape == (0, 0)


class TestTheWinner:
    NOISY: Callable[[], dict[int, list[float]]] = staticmethod(
        lambda: {8500: [0.0, 0.0, 9.0], 8700: [4.0, 4.0, 4.0], 8900: [1.0, 1.0, 1.0]}
    )

    def test_is_of_the_configuration_with_the_best_mean(self, tmp_path: Path) -> None:
        results = grafts(tmp_path, self.NOISY())
        assert results.best.config["pressure"] == 8700  # and not that of the single best trial
        assert results.ranked()[0].config["pressure"] == 8500
        statistics = results.statistics()
        assert statistics.winner is not None and statistics.winner.parameters == {"pressure": 8700}
        assert statistics.corrected == pytest.approx((0 + 0 + 4) / 3)

    def test_is_said_to_be_flattered(self, tmp_path: Path) -> None:
        results = grafts(tmp_path)
        [line] = [line for line in told(results) if "flattered by the choice" in line]
        assert "the winner's mean, 92.817, is" in line and line in list(of_winner(results.statistics()))

    def test_is_no_nan_and_no_infinity_of_the_wrong_end(self, tmp_path: Path) -> None:
        for values in ([math.nan, math.nan], [-math.inf, math.nan]):
            assert grafts(tmp_path, {8500: values, 8700: values}).statistics().winner is None

    def test_is_infinite_only_where_nothing_else_is_there(self, tmp_path: Path) -> None:
        infinite = {8500: [math.inf], 8700: [math.nan]}
        assert grafts(tmp_path / "a", infinite).best.config["pressure"] == 8500
        results = grafts(tmp_path / "b", {**infinite, 8900: [1.0], 9100: [-math.inf]})
        assert [trial.config["pressure"] for trial in results.ranked()] == [8900, 8500, 9100, 8700]
        assert any(
            "yield is infinite in 2 trials, such as" in line for line in of_trials(results.spec.metric, results.trials)
        )

    def test_answers_a_program(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        assert main(["best", "sweep", "--runs", str(tmp_path), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["mean"] == pytest.approx(np.mean(GRAFT[8500])) and facts["n"] == 6
        assert facts["tied"] == ["pressure=8500", "pressure=8700"] and facts["expected"] < facts["mean"]
        assert facts["value"] == 98.2


class TestOnTheCommandLine:
    def shown(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[list[str], str]:
        assert main(["results", "sweep", "--runs", str(tmp_path), *options]) == 0
        printed = capsys.readouterr()
        return printed.out.splitlines(), printed.err

    def test_a_sweep_with_seeds_is_grouped(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        lines, remarks = self.shown(tmp_path, capsys)
        assert lines[0].split() == ["pressure", "yield", "std", "low", "high", "n", "tied", "epoch", "seconds"]
        assert [line.split()[6] for line in lines[1:3]] == ["best", "tied"]
        assert "tied: 2 of 4 cannot be told apart from the best" in remarks

    def test_and_need_not_be(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        lines, remarks = self.shown(tmp_path, capsys, "--group-by", "none")
        assert len(lines) == 25 and "seed" in lines[0] and "tied" not in remarks
        lines, _ = self.shown(tmp_path, capsys, "--group-by", "pressure,seed", "--format", "csv")
        assert len(lines) == 2 and ",24," in lines[1]

    def test_a_margin_is_a_number(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        lines, _ = self.shown(tmp_path, capsys, "--margin", "10", "--format", "json")
        assert [row["tied"] for row in json.loads("\n".join(lines))] == [True] * 4
        for wrong in ("-1", "x", "nan", "inf"):
            with pytest.raises(SystemExit):
                main(["results", "sweep", f"--margin={wrong}"])
            assert f"'{wrong}' is no number from 0 on" in capsys.readouterr().err


class TestWhichValueCounts:
    VALUES: ClassVar = {0: [1.0, 5.0, 3.0], 1: [2.0, 3.0, 4.0]}

    def results(self, runs: Path, at: str) -> Results:
        metric = {**YIELD, "at": at}
        return make(runs, {"x": [0, 1]}, lambda t: [{"yield": v, "text": "a"} for v in self.VALUES[t.config["x"]]],
                    metric=metric)  # fmt: skip

    @pytest.mark.parametrize(
        ("at", "values", "told"),
        [
            ("best", {0: 5.0, 1: 4.0}, "the best epoch of each trial, chosen by yield itself, which flatters it"),
            ("last", {0: 3.0, 1: 4.0}, "the last of each trial"),
            ("mean-of-last-2", {0: 4.0, 1: 3.5}, "the mean of the last 2 of each trial"),
            ("mean-of-last-9", {0: 3.0, 1: 3.0}, "the mean of the last 9 of each trial"),
        ],
    )
    def test_is_what_the_sweep_file_says(self, tmp_path: Path, at: str, values: dict[int, float], told: str) -> None:
        results = self.results(tmp_path, at)
        board = results.leaderboard()
        assert dict(zip(board["x"], board["yield"], strict=True)) == values
        assert board["yield"].is_monotonic_decreasing
        assert results.best.config["x"] == max(values, key=lambda x: values[x])
        assert list(of_trials(results.spec.metric, results.trials)) == [f"yield: {told}"]

    def test_changes_no_id(self, tmp_path: Path) -> None:
        ids = [[trial.id for trial in self.results(tmp_path / at, at).trials] for at in ("best", "last")]
        assert ids[0] == ids[1]

    @pytest.mark.parametrize("at", ["first", "mean-of-last-0", "mean-of-last", "Best", 3])
    def test_is_one_of_three(self, at: object) -> None:
        with pytest.raises(SpecError, match=r'metric\.at: write "best", "last" or "mean-of-last-5"'):
            spec({"x": [0]}, metric={**YIELD, "at": at})

    def test_is_where_the_weights_are_from(self, tmp_path: Path) -> None:
        results = self.results(tmp_path, "last")
        trial = results.best
        assert results.weighed(trial) is None  # no report came with a checkpoint
