"""What mattered: exactly in grids, by a model elsewhere, and not at all where nothing can be said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from raysweep.cli.program import main
from raysweep.plan.trials import Trial
from raysweep.results.edges import edges
from raysweep.results.effects import NOISE, effects
from raysweep.results.importance import FEWEST, importance
from raysweep.results.results import Results
from raysweep.results.scales import Scale
from tests.test_results import make
from tests.test_variance import BATTERY

LIFE = {"name": "life", "goal": "maximize"}


def of(runs: Path, parameters: dict[str, Any], value: Callable[[dict[str, Any]], float | None], **keys: Any) -> Results:
    """A sweep whose metric is a function of the configuration; None is a trial that failed."""

    def reports(trial: Trial) -> list[Mapping[str, float | str]]:
        told = value(dict(trial.config))
        return [] if told is None else [{"life": told}]

    return make(runs, parameters, reports, metric=LIFE, **keys)


def batteries(runs: Path, **keys: Any) -> Results:
    temperatures = [15, 70, 125]
    return of(
        runs, {"material": ["a", "b", "c"], "temperature": temperatures, "seed": [0, 1, 2, 3]},
        lambda c: BATTERY["abc".index(c["material"]), temperatures.index(c["temperature"]), c["seed"]], **keys,
    )  # fmt: skip


class TestOfAGrid:
    def test_the_shares_are_exact(self, tmp_path: Path) -> None:
        table = batteries(tmp_path).effects().set_index("effect")
        assert table.loc["material", "ss"] == pytest.approx(10_683.72, abs=0.006)
        assert table.loc["temperature", "share"] == pytest.approx(0.504, abs=5e-4)
        assert table["share"].sum() == pytest.approx(1) and table["df"].sum() == 35
        assert table.index.tolist()[0] == "temperature" and table.index.tolist()[-1] == "error"
        assert table.loc["error", ["F", "p", "better_half"]].isna().all()

    def test_the_means_have_their_intervals_and_the_best_beside_them(self, tmp_path: Path) -> None:
        results = batteries(tmp_path)
        means = results.means().set_index(["axis", "value"])
        row = means.loc[("temperature", "15")]
        assert row["mean"] == pytest.approx(BATTERY[:, 0].mean()) and row["n"] == 12
        assert row["best"] == pytest.approx(BATTERY[:, 0].mean(axis=1).max())
        error = results.effects().set_index("effect").loc["error"]
        half = stats.t.ppf(0.975, 24) * math.sqrt(error["ss"] / error["df"] / 12)
        assert (row["low"], row["high"]) == pytest.approx((row["mean"] - half, row["mean"] + half))
        assert means.loc["temperature"].index.tolist() == ["15", "70", "125"]  # best first

    def test_what_shows_is_strong(self, tmp_path: Path) -> None:
        told = effects(batteries(tmp_path).statistics())
        assert told.strong == frozenset({"material", "temperature"})
        flat = of(tmp_path / "flat", {"a": [1, 2], "b": [1, 2, 3], "seed": [0, 1, 2]},
                  lambda c: c["b"] + ((c["a"] * 7 + c["b"] * 5 + c["seed"] * 3) % 4) / 100)  # fmt: skip
        assert effects(flat.statistics()).strong == frozenset({"b"})

    def test_a_bad_range_does_not_hide_the_rest(self, tmp_path: Path) -> None:
        def value(config: dict[str, Any]) -> float:
            return -1000.0 if config["lr"] == 1 else config["size"] + 0.001 * ((config["lr"] * 7 + config["seed"]) % 3)

        table = of(tmp_path, {"lr": [1, 0.1, 0.01], "size": [1, 2, 3, 4], "seed": [0, 1]}, value).effects()
        table = table.set_index("effect")
        assert table.loc["lr", "share"] > 0.99 and table.loc["lr", "better_half"] < 0.5
        assert table.loc["size", "share"] < 0.01 and table.loc["size", "better_half"] > 0.9

    def test_without_replicates_interactions_are_the_error(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"a": [1, 2], "b": [1, 2, 3]}, lambda c: c["a"] * c["b"])
        told = effects(results.statistics())
        assert told.table["effect"].tolist() == ["b", "a", "error"]
        assert any("interactions stand for the error" in note for note in told.notes)

    def test_one_axis_without_replicates_is_not_tested(self, tmp_path: Path) -> None:
        told = effects(of(tmp_path, {"a": [1, 2, 3]}, lambda c: c["a"]).statistics())
        assert told.table["share"].tolist() == [1.0] and told.table["p"].isna().all() and told.strong is None
        assert any('add "seed": [0, 1, 2]' in note for note in told.notes)

    def test_levels_with_trials_missing_are_left_out_and_named(self, tmp_path: Path) -> None:
        def value(config: dict[str, Any]) -> float | None:
            return None if config["lr"] == 1 == config["seed"] else config["lr"] + config["size"] + config["seed"] / 7

        results = of(tmp_path, {"lr": [1, 0.1, 0.01], "size": [1, 2], "seed": [0, 1]}, value)
        told = effects(results.statistics())
        assert "without lr=1, where trials are missing" in told.notes
        assert told.means["value"].tolist() == ["2", "1", "0.1", "0.01"]

    def test_axes_that_advance_together_are_one(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"lr": [1, 2], "warmup": [3, 4], "size": [1, 2], "seed": [0, 1]},
                     lambda c: c["lr"] + c["seed"] / 7, zip=[["lr", "warmup"]])  # fmt: skip
        assert results.effects()["effect"].tolist()[0] == "lr+warmup"
        assert results.means()["value"].tolist()[:2] == ["2 4", "1 3"]
        assert effects(results.statistics(), results.spec.zip).strong == frozenset({"lr", "warmup"})


def test_where_nothing_varies_that_is_said(tmp_path: Path) -> None:
    told = effects(of(tmp_path, {"x": 1, "seed": [0, 1]}, lambda c: c["seed"]).statistics())
    assert told.table.empty and told.means.empty and told.notes == ("nothing varies beside the seeds",)


class TestOfAModel:
    def test_the_order_is_that_of_ishigamis_total_indices(self) -> None:
        """0.558, 0.442 and 0.244 for the three, and 0 for a fourth that is not in it."""
        x = np.random.default_rng(0).uniform(-np.pi, np.pi, (300, 4))
        values = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
        told = importance(list(x.T), values)
        assert told.is_telling
        assert told.means[0] > told.means[1] > told.means[2] > told.floor > told.means[3]

    def test_where_it_predicts_badly_nothing_is_said(self) -> None:
        random = np.random.default_rng(1)
        told = importance(list(random.normal(size=(3, 60))), random.normal(size=60))
        assert not told.is_telling and np.isnan(told.means).all()
        few = importance([list(range(FEWEST - 1))], np.arange(FEWEST - 1.0))
        assert np.isnan(few.accuracy) and not few.is_telling

    RANDOM: Any = {"lr": {"min": 0.0, "max": 1.0}, "kind": ["a", "b", "c"], "idle": {"min": 0, "max": 100}}  # noqa: RUF012 - never changed

    def test_of_a_random_sweep(self, tmp_path: Path) -> None:
        results = of(tmp_path, self.RANDOM, lambda c: c["lr"] * 3 + "abc".index(c["kind"]), method="random", samples=60)
        told = effects(results.statistics())
        assert {*told.table["effect"][:2]} == {"lr", "kind"}
        assert told.table["effect"].tolist()[-1] == NOISE and told.strong == frozenset({"lr", "kind"})
        assert told.means["axis"].unique().tolist() == ["kind"]  # of the others there is no value twice
        assert any("forests favour axes with many values" in note for note in told.notes)

    def test_and_where_nothing_mattered(self, tmp_path: Path) -> None:
        random = np.random.default_rng(2)
        results = of(tmp_path, self.RANDOM, lambda c: float(random.normal()), method="random", samples=40)
        told = effects(results.statistics())
        assert told.table["importance"].isna().all() and told.strong is None
        assert told.notes[0].startswith("nothing can be said of what mattered")

    def test_of_few(self, tmp_path: Path) -> None:
        results = of(tmp_path, self.RANDOM, lambda c: c["lr"], method="random", samples=5)
        assert "and 5 configurations are too few to learn from: 20 are needed" in effects(results.statistics()).notes[0]


class TestScales:
    @pytest.mark.parametrize(
        ("values", "is_geometric", "beyond", "between"),
        [
            ([0.1, 0.01, 0.001], True, 1.0, 0.0316),
            ([0.1, 0.03, 0.01, 0.003], True, 0.333, 0.0548),
            ([32, 128], True, 512, 64),
            ([32, 64], True, 128, None),
            ([1, 2, 3], False, 4, None),
            ([2, 4, 6], False, 8, 5),
            ([0.0, 0.25, 0.5], False, 0.75, 0.375),
            ([0.8, 0.9], False, 0.95, 0.85),
            ([0, 1e-4, 1e-2], False, 0.0199, 0.00505),
            ([-1.5, 1.5], False, 4.5, 0.0),
        ],
    )
    def test_go_on_as_they_are(
        self, values: list[float], is_geometric: bool, beyond: float, between: float | None
    ) -> None:
        scale = Scale.of(values)
        assert scale is not None and scale.is_geometric == is_geometric
        assert scale.beyond(scale.values[-1]) == pytest.approx(beyond)
        assert scale.between(*scale.values[-2:]) == (between if between is None else pytest.approx(between))
        assert all(type(new) is int for new in (scale.beyond(scale.values[-1]),) if scale.is_whole)

    @pytest.mark.parametrize("values", [[1], [1, 1.0], ["a", "b"], [True, False], [1, None], []])
    def test_need_two_numbers(self, values: list[Any]) -> None:
        assert Scale.of(values) is None

    def test_downwards(self) -> None:
        for values, new in (([1, 2, 3], None), ([2.0, 4.0], 1.0), ([0.01, 0.1], 0.001), ([-1, 1], -3)):
            scale = Scale.of(values)
            assert scale is not None and scale.beyond(scale.values[0]) == new

    def test_have_ends(self) -> None:
        scale = Scale.of([0.1, 0.01, 0.001])
        assert scale is not None
        assert [scale.edge(some) for some in ([0.1, 0.1], [0.001], [0.01], [0.1, 0.01], [])] == [
            "largest", "smallest", None, None, None,
        ]  # fmt: skip

    def test_do_not_end_where_nothing_lies_beyond(self) -> None:
        for values, some in (([0, 1e-3], [0]), ([0.5, 1.0], [1.0]), ([0.0, 0.5], [0.0])):
            scale = Scale.of(values)
            assert scale is not None and scale.edge(some) is None
        whole = Scale.of([1, 2])
        assert whole is not None and whole.edge([1]) == "smallest"


class TestEdges:
    def told(self, runs: Path, value: Callable[[dict[str, Any]], float]) -> list[str]:
        results = of(runs, {"lr": [0.1, 0.01, 0.001], "net": ["a", "b"], "seed": [0, 1, 2]}, value)
        return [f"{edge.name} {edge.word} {edge.value}" for edge in edges(results.statistics())]

    def test_all_that_tie_lie_at_one(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, lambda c: -math.log(c["lr"]) + c["seed"] / 10) == ["lr smallest 0.001"]

    def test_the_best_lies_in_the_middle(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, lambda c: -((math.log10(c["lr"]) + 2) ** 2) + c["seed"] / 10) == []

    def test_one_that_ties_does_not(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, lambda c: (c["lr"] * 100 + c["seed"] * 7) % 3) == []

    def test_without_seeds_the_winner_counts(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"lr": [0.1, 0.01]}, lambda c: c["lr"])
        [edge] = edges(results.statistics())
        assert edge.told(1) == "lr: the winner has 0.1, the largest that was tried; the best may lie beyond it"


class TestOnTheCommandLine:
    def test_it_prints_both_tables(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        batteries(tmp_path)
        assert main(["effects", "sweep", "--runs", str(tmp_path)]) == 0
        printed = capsys.readouterr()
        assert "temperature             0.5038" in printed.out and "best" in printed.out
        assert "a complete grid of 9 configurations x 4 seeds" in printed.err

    @pytest.mark.parametrize("form", ["csv", "json", "md"])
    def test_and_for_programs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
        batteries(tmp_path)
        assert main(["effects", "sweep", "--runs", str(tmp_path), "--format", form]) == 0
        printed = capsys.readouterr()
        assert printed.err == "" and "temperature" in printed.out
        if form == "json":
            assert json.loads(printed.out)[0]["share"] == pytest.approx(0.504, abs=5e-4)
