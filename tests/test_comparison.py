"""Two runs held against each other: paired by configuration and seed, against scipy and statsmodels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.results.comparison import holm
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.store.records import TrialRecord
from tests.test_results import make

GRID: dict[str, Any] = {"lr": [0.1, 0.01], "epochs": 3, "seed": [0, 1, 2, 3, 4]}


def before(config: dict[str, Any]) -> float:
    return float(config["lr"] + (config["seed"] * 7 % 5) / 10)


def after(config: dict[str, Any]) -> float:
    """Better by 0.05 of lr = 0.01, and of lr = 0.1 only other noise."""
    gain = 0.05 if config["lr"] == 0.01 else 0.0
    return before(config) - gain + float(config["seed"] * 3 % 5 - 2) / 200


def of(runs: Path, value: Callable[[dict[str, Any]], float | None], parameters: Any = None, **keys: Any) -> Results:
    def reports(trial: Any) -> Any:
        told = value(dict(trial.config))
        return [] if told is None else [{"loss": told}]

    return make(runs, parameters or GRID, reports, **keys)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Results, Results]:
    return of(tmp_path / "before", before), of(tmp_path / "after", after)


def test_differences_are_paired_by_configuration_and_seed(both: tuple[Results, Results]) -> None:
    table = both[0].compare(both[1]).set_index("lr")
    for lr in (0.1, 0.01):
        configs = [{"lr": lr, "seed": seed} for seed in range(5)]
        old, new = [before(config) for config in configs], [after(config) for config in configs]
        test = stats.ttest_rel(new, old)
        row, interval = table.loc[lr], test.confidence_interval()
        assert (row["before"], row["after"]) == pytest.approx((np.mean(old), np.mean(new)))
        assert (row["diff.low"], row["diff.high"]) == pytest.approx((interval.low, interval.high))
        assert row["p"] == pytest.approx(test.pvalue) and row["n"] == 5
    assert table["change"].to_dict() == {0.1: "~", 0.01: "better"}


def test_worse_is_by_the_goal(tmp_path: Path) -> None:
    goal = {"name": "loss", "goal": "maximize"}
    runs = of(tmp_path / "a", before, metric=goal), of(tmp_path / "b", after, metric=goal)
    assert runs[0].compare(runs[1])["change"].tolist() == ["~", "worse"]


def test_the_verdicts_allow_for_how_many_there_are() -> None:
    from statsmodels.stats.multitest import multipletests

    ps = np.random.default_rng(1).uniform(0, 0.2, 30)
    assert holm(ps.tolist()) == pytest.approx(multipletests(ps, method="holm")[1])
    with_gap = holm([0.02, math.nan, 0.03])
    assert with_gap[0] == 0.04 and math.isnan(with_gap[1]) and with_gap[2] == 0.04


def test_where_nothing_has_changed_hardly_anything_is_shown(tmp_path: Path) -> None:
    """Of comparisons of 20 configurations each, 5 in 100 may have a false verdict."""
    random, shown = np.random.default_rng(3), []
    first = of(tmp_path, before, {"x": list(range(20)), "lr": 0.1, "seed": [0, 1, 2, 3]})

    def again() -> Results:
        trials = []
        for trial in first.trials:
            report = replace(trial.reports[0], metrics={"loss": float(random.normal())})
            trials.append(replace(trial, reports=(report,), best=report))
        return Results(tmp_path, first.spec, trials)

    for _ in range(100):
        shown.append((again().compare(again())["change"] != "~").any())
    assert 0 < np.mean(shown) <= 0.1  # 0.05, and more than two standard errors


def test_over_all_configurations_the_seeds_are_the_sample(both: tuple[Results, Results]) -> None:
    comparison = both[0].comparison(both[1])
    by_seed = [np.mean([after({"lr": lr, "seed": s}) - before({"lr": lr, "seed": s}) for lr in (0.1, 0.01)])
               for s in range(5)]  # fmt: skip
    interval = stats.ttest_1samp(by_seed, 0).confidence_interval()
    assert (comparison.overall.low, comparison.overall.high) == pytest.approx((interval.low, interval.high))
    assert any(line.startswith("over all 2 configurations: -0.025 (") for line in comparison.notes())


class TestWhatIsNotInBoth:
    def test_is_named(self, tmp_path: Path) -> None:
        ours = of(tmp_path / "a", before)
        theirs = of(tmp_path / "b", after, {**GRID, "lr": [0.01, 0.001], "seed": [0, 1, 2]})
        comparison = ours.comparison(theirs)
        assert [pair.parameters for pair in comparison.pairs] == [{"lr": 0.01}]
        assert len(comparison.only_run) == 7 and len(comparison.only_other) == 3
        told = list(comparison.notes())
        assert any(line.startswith("only RUN has lr=0.1,") and line.endswith(", and 4 more") for line in told)
        assert any("3 seeds are few" in line for line in told)

    def test_a_constant_that_differs_is_what_has_changed(self, tmp_path: Path) -> None:
        comparison = of(tmp_path / "a", before).comparison(of(tmp_path / "b", after, {**GRID, "epochs": 9, "net": "x"}))
        assert len(comparison.pairs) == 2
        assert {"epochs was 3 and is 9", "net was not set and is x"} <= {*comparison.notes()}

    def test_trials_that_failed_or_diverged_are_no_pair(self, tmp_path: Path) -> None:
        theirs = of(tmp_path / "b", lambda c: {0: None, 1: math.nan}.get(c["seed"], after(c)))
        table = of(tmp_path / "a", before).compare(theirs)
        assert table["n"].tolist() == [3, 3]

    def test_of_different_seeds_nothing_is_paired(self, tmp_path: Path) -> None:
        comparison = of(tmp_path / "a", before, {**GRID, "seed": 0}).comparison(
            of(tmp_path / "b", after, {**GRID, "seed": 1})
        )
        assert comparison.table().empty and list(comparison.table()) == [
            "before", "after", "diff", "diff.low", "diff.high", "n", "p", "change",
        ]  # fmt: skip
        assert any("so nothing is compared" in line for line in comparison.notes())


def test_one_seed_says_nothing_about_one_configuration(tmp_path: Path) -> None:
    grid = {"x": [1, 2, 3, 4]}
    runs = of(tmp_path / "a", lambda c: c["x"], grid), of(tmp_path / "b", lambda c: c["x"] - 1 + c["x"] / 100, grid)
    comparison = runs[0].comparison(runs[1])
    assert comparison.table()["change"].tolist() == [None] * 4
    told = list(comparison.notes())
    assert any(
        line.startswith("over all 4 configurations: -0.975") and "over 4 configurations" in line for line in told
    )
    assert any(line.startswith("1 seed: nothing can be said about a single configuration") for line in told)


def test_different_metrics_are_refused(tmp_path: Path) -> None:
    ours = of(tmp_path / "a", before)
    theirs = of(tmp_path / "b", after, metric={"name": "loss", "goal": "minimize", "at": "last"})
    with pytest.raises(SpecError, match=r"is judged by loss \(minimize, best\) and .* by loss \(minimize, last\)"):
        ours.compare(theirs)


def test_what_both_were_made_with(both: tuple[Results, Results]) -> None:
    entries = [{"python": "3.11.7", "host": "a", "commit": "0" * 40, "versions": {"torch": "2.9"}},
               {"python": "3.11.7", "host": "b", "commit": "0" * 40 + "+", "versions": {"torch": "2.10"}}]  # fmt: skip
    for results, entry, code in zip(both, entries, ("c0de1", "c0de2"), strict=True):
        store = RunDirectory(results.directory)
        store.write_sweep(store.sweep()["spec"], [entry])
        for trial in results.trials:
            folder = store.trial(trial.path.name)
            old = folder.record()
            assert old is not None
            folder.write(TrialRecord(old.id, old.name, old.trainable, old.config, old.state, code=code))
    told = list(both[0].comparison(both[1]).notes())
    assert told[-4:] == ["torch was 2.9 and is 2.10", "commit was 000000000000 and is 000000000000+",
                         "host was a and is b", "code was c0de1 and is c0de2"]  # fmt: skip


class TestOnTheCommandLine:
    @pytest.mark.parametrize("form", ["table", "csv", "json", "md"])
    def test_it_is_printed(self, both: tuple[Results, Results], capsys: pytest.CaptureFixture[str], form: str) -> None:
        assert main(["compare", str(both[0].directory), str(both[1].directory), "--format", form]) == 0
        printed = capsys.readouterr()
        assert "better" in printed.out
        assert ("over all 2 configurations" in printed.err) == (form == "table")
        if form == "json":
            assert [row["change"] for row in json.loads(printed.out)] == ["~", "better"]

    def test_a_run_that_is_not_there(self, both: tuple[Results, Results], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", str(both[0].directory), "nowhere"]) == 2
        assert "there is no run 'nowhere'" in capsys.readouterr().err
