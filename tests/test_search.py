"""Searches: what is suggested follows from the records alone, and is as good as Optuna's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysweep
from raysweep.driver.asking import tried
from raysweep.driver.progress import Progress
from raysweep.errors import SpecError, StoreError
from raysweep.plan.suggested import parameters_of, searched, to_come
from raysweep.plan.trials import Trial, plan
from raysweep.results.results import Results
from raysweep.search.study import Outcome, Tried, _asked, _places, _tell, ask
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State
from raysweep.store.suggestions import SUGGESTIONS, Suggestion, record, recorded
from raysweep.sweepfile.distributions import ARGUMENTS, SMALLEST, Distribution, make
from raysweep.sweepfile.spec import SweepSpec, check
from tests.sweeps import spec

HERE = Path(__file__).parent
SPACE: dict[str, Any] = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0},
    "layers": {"min": 1, "max": 8},
    "bs": [16, 32, 64],
    "wd": {"distribution": "q_log_uniform_values", "min": 1, "max": 64, "q": 4},
    "noise": {"distribution": "normal", "mu": 1, "sigma": 2},
    "opt": {"one_of": [{"name": "sgd", "momentum": {"min": 0.0, "max": 1.0}}, {"name": "adam"}, None]},
    "half": {"expr": "bs // 2"},
    "epochs": 3,
}


def loss(values: Mapping[str, Any]) -> float:
    return abs(math.log10(values["lr"]) + 2) + abs(int(values["layers"]) - 3) + float(values.get("opt.name") != "sgd")


def search(sweep: SweepSpec, count: int, before: tuple[Tried, ...] = ()) -> tuple[Tried, ...]:
    """What a search of so many trials, one after another, comes to."""
    found = list(before)
    while len(found) < count:
        values = parameters_of(sweep, ask(sweep, found, 0))
        found.append(Tried(values, Outcome.COMPLETE, loss(values)))
    return tuple(found)


@pytest.fixture(scope="module")
def sweep() -> SweepSpec:
    return spec(SPACE, method="bayes", run_cap=30)


@pytest.fixture(scope="module")
def found(sweep: SweepSpec) -> tuple[Tried, ...]:
    return search(sweep, 30)


ARGUED: dict[str, dict[str, float]] = {
    "exponents": {"min": -3, "max": 2}, "values": {"min": 0.5, "max": 40}, "bounds": {"min": -3, "max": 12}, "other": {}
}  # fmt: skip


def distribution(name: str) -> Distribution:
    bounds = "values" if name.endswith("_values") else "exponents" if "log_uniform" in name else "bounds"
    return make(name, ARGUED[bounds if "min" in ARGUMENTS[name] else "other"])


@given(st.sampled_from(sorted(ARGUMENTS)), st.floats(SMALLEST, 1 - SMALLEST))
def test_a_draw_is_found_where_it_was_drawn(name: str, u: float) -> None:
    one = distribution(name)
    value = one.draw(u)
    place = one.position(value)
    assert place is not None and one.draw(place) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert one.position(one.draw(1 - SMALLEST) + 1e9) is None


def test_what_is_suggested_is_in_the_space(sweep: SweepSpec, found: tuple[Tried, ...]) -> None:
    kinds = set()
    for one in found:
        values = one.parameters
        assert 1e-5 <= values["lr"] <= 1 and values["layers"] in range(1, 9) and values["bs"] in (16, 32, 64)
        assert values["wd"] % 4 == 0
        kinds.add(tuple(name for name in values if name.startswith("opt")))
        assert _places(searched(sweep), values) is not None  # it can be told to Optuna
    assert kinds == {("opt.name", "opt.momentum"), ("opt.name",), ("opt",)}


def test_a_search_that_was_killed_suggests_the_same(sweep: SweepSpec, found: tuple[Tried, ...]) -> None:
    assert search(sweep, 25, json_copy(found[:20])) == found[:25]
    other = spec(SPACE, method="bayes", run_cap=30, sweep_seed=1)
    assert ask(other, (), 0) != ask(sweep, (), 0)


def json_copy(known: tuple[Tried, ...]) -> tuple[Tried, ...]:
    """As they are read from a record."""
    return tuple(Tried(json.loads(json.dumps(dict(one.parameters))), one.outcome, one.value) for one in known)


def test_it_learns(sweep: SweepSpec, found: tuple[Tried, ...]) -> None:
    values = [one.value or 0.0 for one in found]
    assert sum(values[-10:]) < 0.7 * sum(values[:10])


def test_optuna_is_told_all_that_is_known(sweep: SweepSpec, found: tuple[Tried, ...]) -> None:
    import optuna

    study = optuna.create_study()
    outcomes = (*Outcome, Outcome.COMPLETE)
    known = [
        Tried(one.parameters, outcome, 0.5 if outcome in (Outcome.COMPLETE, Outcome.STOPPED) else None, 3)
        for one, outcome in zip(found, outcomes, strict=False)
    ]
    _tell(study, sweep, [*known, Tried({**found[0].parameters, "lr": 7}, Outcome.COMPLETE, 1.0)])  # that is outside
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "COMPLETE"]
    assert study.trials[1].intermediate_values == {3: 0.5}
    for trial, one in zip(study.trials, known, strict=False):  # and would suggest the same of the same places
        again = dict(_asked(optuna.trial.FixedTrial(trial.params), searched(sweep)))
        assert parameters_of(sweep, again) == pytest.approx(one.parameters)


class TestPlan:
    def test_has_what_was_suggested_with_each_seed(self, store: RunDirectory) -> None:
        sweep = spec({"lr": {"min": 0.0, "max": 1.0}, "seed": [0, 1], "net": ["a", "b"]}, method="bayes", samples=3)
        assert plan(sweep) == () and to_come(sweep, ()) == 6
        record(store, [Suggestion(0, {"lr": 0.25, "net": "b"}), Suggestion(1, {"lr": 0.5, "net": "a"}, [0])])
        trials = plan(sweep, None, recorded(store))
        assert [(t.config["lr"], t.config["seed"]) for t in trials] == [(0.25, 0), (0.25, 1), (0.5, 0), (0.5, 1)]
        assert trials[0].name.rpartition("-")[0] == "lr=0.25,net=b,seed=0"
        assert to_come(sweep, recorded(store)) == 2
        fixed = spec({"lr": [0.25, 0.5], "seed": [0, 1], "net": ["a", "b"]})
        assert {t.id for t in trials} <= {t.id for t in plan(fixed)}  # a trial is its configuration

    def test_counts_trials_with_run_cap(self) -> None:
        sweep = spec({"lr": {"min": 0.0, "max": 1.0}, "seed": [0, 1, 2]}, method="bayes", run_cap=7)
        assert to_come(sweep, ()) == 7
        known = [Suggestion(ordinal, {"lr": ordinal / 10}) for ordinal in range(3)]
        assert to_come(sweep, known) == 0 and len(plan(sweep, None, known)) == 7

    def test_has_no_suggestion_that_does_not_fit(self) -> None:
        known = [Suggestion(0, {"lr": 0.5})]
        more = {"lr": {"min": 0.0, "max": 1.0}, "drop": {"min": 0.0, "max": 1.0}}
        assert plan(spec(more, method="bayes", run_cap=3), None, known) == ()
        [trial] = plan(spec(more, method="bayes", run_cap=3, defaults={"drop": 0.0}), None, known)
        assert trial.config == {"lr": 0.5, "drop": 0.0}
        assert trial.id == plan(spec({"lr": 0.5}))[0].id  # as it was before the parameter came

    @pytest.mark.parametrize("text", ["x", "[]", "{}", '{"ordinal": 1, "parameters": {}}'])
    def test_is_refused_where_the_record_is_damaged(self, store: RunDirectory, text: str) -> None:
        (store.path / SUGGESTIONS).write_text(f"{text}\n")
        with pytest.raises(StoreError, match=r"suggestions.jsonl: is damaged: .*; restore it"):
            recorded(store)


def test_population_based_training_is_refused() -> None:
    with pytest.raises(SpecError, match="has none, and cannot be found again by it; use Ray Tune itself"):
        spec({"lr": 1}, early_stopping={"type": "pb2"})


class Interrupting(Progress):
    """Ends the run, as Ctrl-C does, when the n-th trial starts."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at, self.begun = at, 0

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self.begun += 1
        if self.begun == self.at:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("ray_2_cpus")
class TestRuns:
    def run(self, runs: Path, cap: int, interrupted: int | None = None, **keys: Any) -> Results:
        content: dict[str, Any] = {
            "name": "search",
            "trainable": "functions.py:bowl",
            "metric": {"name": "loss", "goal": "minimize"},
            "method": "bayes",
            "max_concurrent": 1,
            "run_cap": cap,
            "parameters": {"x": {"min": -1.0, "max": 1.0}, "y": {"range": [0, 5]}},
            **keys,
        }
        return raysweep.run(check(content, "test"), runs=runs, directory=HERE, progress=Interrupting(interrupted))

    def suggested(self, runs: Path) -> list[Mapping[str, Any]]:
        return [one.parameters for one in recorded(RunDirectory(runs / "search"))]

    def test_killed_and_grown_a_search_suggests_the_same(self, tmp_path: Path) -> None:
        whole = self.run(tmp_path / "whole", 13)
        assert [trial.state for trial in whole.trials] == [State.DONE] * 13
        assert whole.best.best is not None and float(whole.best.best.metrics["loss"]) < 1.5
        self.run(tmp_path / "parts", 5)
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "parts", 13, interrupted=4)
        parts = self.run(tmp_path / "parts", 13)
        assert self.suggested(tmp_path / "parts") == self.suggested(tmp_path / "whole")
        assert [trial.id for trial in parts.trials] == [trial.id for trial in whole.trials]
        self.run(tmp_path / "parts", 13, interrupted=1)  # there is nothing more to start

    def test_several_at_once_with_seeds_and_failures(self, tmp_path: Path) -> None:
        results = self.run(tmp_path, 12, max_concurrent=2, parameters={
            "x": {"min": -1.0, "max": 1.0}, "y": {"range": [0, 5]}, "seed": [0, 1], "fails_below": -0.5})  # fmt: skip
        assert len(results.trials) == 12
        assert {trial.state for trial in results.trials} == {State.DONE, State.FAILED}
        known = recorded(RunDirectory(tmp_path / "search"))
        assert len(known) == 6 and all(set(one.running) <= set(range(one.ordinal)) for one in known)
        by_x = {
            one.parameters["x"]: [t for t in results.trials if t.config["x"] == one.parameters["x"]] for one in known
        }
        for one in known:
            told = tried(results.spec.metric, one, by_x[one.parameters["x"]])
            if one.parameters["x"] < -0.5:
                assert told.outcome is Outcome.FAILED
            else:
                values = [float(t.best.metrics["loss"]) for t in by_x[one.parameters["x"]] if t.best]
                assert told.value == sum(values) / 2 and len(set(values)) == 2

    def test_a_small_space_is_found_to_its_end(self, tmp_path: Path) -> None:
        results = self.run(
            tmp_path, 50, max_concurrent=2, parameters={"x": [0, 1], "y": [1, 2]}, exclude=[{"x": 0, "y": 1}]
        )
        assert sorted((t.config["x"], t.config["y"]) for t in results.trials) == [(0, 2), (1, 1), (1, 2)]
