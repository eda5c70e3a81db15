"""What to try next: a sweep file that runs as it is, and for which the old trials count."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cli.program import main
from raysweep.errors import StoreError
from raysweep.plan.trials import Trial, plan
from raysweep.results.results import Results
from raysweep.results.suggestion import suggest
from raysweep.sweepfile.spec import check
from tests.test_results import make


def of(runs: Path, parameters: dict[str, Any], value: Callable[[dict[str, Any]], float | None], **keys: Any) -> Results:
    """A sweep whose loss is a function of the configuration; None is a trial that failed. Small batches take longer."""

    def reports(trial: Trial) -> list[Mapping[str, float | str]]:
        told = value(dict(trial.config))
        count = 1 + int(trial.config.get("batch_size", 128) < 128)
        return [] if told is None else [{"loss": told}] * count

    return make(runs, parameters, reports, **keys)


def trials_of(results: Results) -> dict[str, dict[str, Any]]:
    """The configurations of the trials that are suggested, by id."""
    return {trial.id: dict(trial.config) for trial in plan(check(suggest(results).content, "suggestion"))}


def noisy(config: Mapping[str, Any]) -> float:
    """Least around lr = 0.01; the batch size changes nothing that shows."""
    noise = (config["seed"] * 7919 + config["batch_size"] * 31 + round(1 / config["lr"]) * 17) % 97 / 970
    return {0.1: 2.0, 0.01: 1.0, 0.001: 2.5}[config["lr"]] + float(noise)


GRID: dict[str, Any] = {"lr": [0.1, 0.01, 0.001], "batch_size": [32, 64, 128], "seed": [0, 1, 2], "epochs": 3}


class TestOfAGrid:
    def test_more_seeds_for_the_tied_ones_only_and_values_around_them(self, tmp_path: Path) -> None:
        results = of(tmp_path, GRID, noisy)
        assert {one.parameters["lr"] for one in results.statistics().tied} == {0.01}
        content = suggest(results).content
        assert content["name"] == "sweep" and content["metric"] == {"name": "loss", "goal": "minimize"}
        assert content["parameters"] == {
            "lr": [0.01, 0.00316, 0.0316], "batch_size": 128, "epochs": 3, "seed": [0, 1, 2, 3, 4, 5],
        }  # fmt: skip
        assert "zip" not in content

    def test_the_old_trials_count(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results = of(tmp_path, GRID, noisy)
        capsys.readouterr()
        assert main(["suggest", "sweep", "--runs", str(tmp_path)]) == 0
        printed = capsys.readouterr()
        assert (
            "18 trials, of which 3 are done already" in printed.err
            and "the file belongs beside train.py" in printed.err
        )
        (tmp_path / "train.py").write_text("def train(config):\n    return {'loss': 1}\n")
        (tmp_path / "next.json").write_text(printed.out)
        assert main(["plan", str(tmp_path / "next.json"), "--runs", str(tmp_path)]) == 0
        planned = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("done") for line in planned) == 3
        assert sum(line.startswith("new") for line in planned) == 15
        assert trials_of(results).keys() & {trial.id for trial in results.trials}

    def test_each_choice_has_its_reason(self, tmp_path: Path) -> None:
        told = suggest(of(tmp_path, GRID, noisy))
        assert told.reasons[0] == "3 of 9 configurations cannot be told apart from the best, and only these go on"
        assert "has no effect that shows (batch_size) the fastest is kept" in told.reasons[1]
        assert told.reasons[2].startswith("seed: 6 instead of 3")
        assert told.reasons[3] == "lr=0.00316 lies between 0.001 and 0.01, where the best lie"
        assert all(reason in told.content["description"] for reason in told.reasons)

    def test_an_edge_is_gone_beyond(self, tmp_path: Path) -> None:
        results = of(tmp_path, GRID, lambda c: noisy({**c, "lr": {0.1: 0.01, 0.01: 0.1, 0.001: 0.001}[c["lr"]]}))
        told = suggest(results)
        assert told.content["parameters"]["lr"] == [0.1, 1.0, 0.0316]
        assert "lr=1 lies beyond the largest, at which the best lie" in told.reasons

    def test_tied_ones_that_are_no_grid_advance_together(self, tmp_path: Path) -> None:
        good = {(0.1, 32): 1.0, (0.001, 128): 1.001}
        results = of(
            tmp_path,
            GRID,
            lambda c: good.get((c["lr"], c["batch_size"]), 5.0) + (c["seed"] * 7 + c["batch_size"]) % 3 / 100,
        )
        assert len(results.statistics().tied) == 2
        content = suggest(results).content
        assert content["zip"] == [["lr", "batch_size"]]
        rows = list(zip(content["parameters"]["lr"], content["parameters"]["batch_size"], strict=True))
        assert {*rows[:2]} <= {*good}
        assert {
            trial.id for trial in results.trials if (trial.config["lr"], trial.config["batch_size"]) == rows[0]
        } <= {*trials_of(results)}

    def test_one_configuration(self, tmp_path: Path) -> None:
        told = suggest(of(tmp_path, {"lr": 0.1, "seed": [0, 1]}, lambda c: c["seed"]))
        assert told.content["parameters"] == {"lr": 0.1, "seed": [0, 1, 2, 3, 4]}
        assert told.reasons[0] == "the one configuration that has finished goes on"

    def test_nothing_finished(self, tmp_path: Path) -> None:
        results = of(tmp_path, GRID, lambda c: None)
        with pytest.raises(StoreError, match="no configuration has finished yet, so there is nothing to go on from"):
            suggest(results)


class TestWithoutSeeds:
    def test_a_seed_axis_is_added_and_the_old_trials_are_those_of_its_first(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"lr": [0.1, 0.01]}, lambda c: c["lr"], sweep_seed=7)
        content = suggest(results).content
        assert content["parameters"]["seed"] == [7, 8, 9, 10, 11] and content["defaults"] == {"seed": 7}
        assert {trial.id for trial in results.trials} <= {*trials_of(results)}

    def test_a_constant_one_becomes_an_axis(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"lr": [0.1, 0.01], "seed": 3}, lambda c: c["lr"])
        content = suggest(results).content
        assert content["parameters"]["seed"] == [3, 4, 5, 6, 7] and "defaults" not in content
        assert {trial.id for trial in results.trials} <= {*trials_of(results)}

    def test_of_a_random_sweep_the_first_ones_go_on(self, tmp_path: Path) -> None:
        parameters = {"lr": {"min": 1e-4, "max": 1.0}, "net": ["a", "b"]}
        results = of(tmp_path, parameters, lambda c: c["lr"], method="random", samples=15)
        content = suggest(results).content
        assert "method" not in content and "samples" not in content
        first = {trial.id for trial in results.ranked()[:5]}
        assert first <= {*trials_of(results)} and len(trials_of(results)) == 25
        assert "with 1 seed it cannot be told which is best" in content["description"]

    def test_folds_are_not_made_up(self, tmp_path: Path) -> None:
        results = of(tmp_path, {"lr": [0.1, 0.01], "fold": [0, 1, 2]}, lambda c: c["lr"] + c["fold"] / 9, folds="fold")
        content = suggest(results).content
        assert content["parameters"]["fold"] == [0, 1, 2] and content["folds"] == "fold"
        assert "seed" not in content["parameters"]


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1e-3, "a", "b c"])
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["p", "value"]), scalars, min_size=1)
names = st.sampled_from(["lr", "net", "min", "value", "x y"])
axes = st.lists(values, min_size=1, max_size=3).map(lambda some: {"values": some})
constants = values.map(lambda value: {"value": value})
groups = st.dictionaries(names, axes | constants, min_size=1, max_size=3).map(lambda group: {"parameters": group})


@settings(max_examples=40)
@given(
    st.dictionaries(names, axes | constants | groups, min_size=1, max_size=3),
    st.sampled_from([{}, {"seed": [0, 1]}, {"seed": 4}, {"data": {"seed": ["a", "b"]}}]),
    st.integers(0, 10),
)
def test_it_is_a_sweep_file_whatever_the_sweep_is(parameters: dict[str, Any], seeds: dict[str, Any], salt: int) -> None:
    def loss(config: Mapping[str, Any]) -> float:
        return len(json.dumps(config)) * (salt + 1) % 7 + len(repr(config)) % 5 / 10

    with tempfile.TemporaryDirectory() as folder:
        results = make(Path(folder), {**parameters, **seeds}, lambda trial: [{"loss": loss(trial.config)}])
        content = json.loads(json.dumps(suggest(results).content))  # as it is written and read
        suggested = {trial.id for trial in plan(check(content, "suggestion"))}
        winner = results.statistics().winner
        assert winner is not None
        assert suggested & {trial.id for trial in results.trials}
