"""W&B's sweep files work as they are, and mean what they mean there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.driver.display import summary
from raysweep.driver.progress import Progress
from raysweep.driver.schedulers import scheduler
from raysweep.errors import SpecError
from raysweep.plan.reconciliation import reconcile
from raysweep.plan.trials import Trial, plan
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State
from raysweep.sweepfile.file import read_content
from raysweep.sweepfile.parameters import flat
from raysweep.sweepfile.spec import SweepSpec, check
from raysweep.worker.actor import COMPARED
from tests.sweeps import configs, spec

DATA = Path(__file__).parent / "data/wandb"


def loaded(name: str, **keys: Any) -> SweepSpec:
    content = read_content(DATA / name)
    del content["program"]
    return check({"name": name, "trainable": "train.py:train", **content, **keys}, name)


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("grid.yaml", 5 * 4 * 3 * 4),
        ("no_metric.json", 1),
        ("nested.yaml", 3),
        ("hyperband.yaml", 9),
        ("dotted.yaml", 4),
        ("constants.yaml", 1),
    ],
)
def test_plans_as_many_trials_as_wandb(name: str, trials: int) -> None:
    assert len(plan(loaded(name))) == trials


def test_a_search_without_an_end_asks_for_one() -> None:
    with pytest.raises(SpecError) as caught:
        loaded("random.yaml")
    assert str(caught.value).count("\n") == 0 and "--samples 20" in str(caught.value)
    drawn = [trial.config for trial in plan(loaded("random.yaml", run_cap=30))]
    assert len(drawn) == 30
    assert {config["split"] for config in drawn} == {2, 3}


def test_ranges_of_a_grid_are_enumerated() -> None:
    found = [trial.config for trial in plan(loaded("grid.yaml"))]
    assert {config["layers"] for config in found} == {2, 3, 4}
    assert {config["patience"] for config in found} == {25, 50, 75, 100}
    steps = {"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.1}
    assert [config["x"] for config in configs({"x": steps}, method="grid")] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert len(configs({"x": steps}, method="grid", samples=2)) <= 2  # then it is drawn from
    with pytest.raises(SpecError, match="is drawn at random"):  # and not enumerated until the memory is full
        configs({"x": {"min": 1, "max": 10**9}}, method="grid")


def test_dotted_names_are_groups() -> None:
    assert {tuple(flat(trial.config)) for trial in plan(loaded("dotted.yaml"))} == {
        ("model.lr", "model.depth", "data.size")
    }


def test_a_title_names_the_folder() -> None:
    assert loaded("grid.yaml").name == "Sweep-over-horizon-epochs"


def test_what_means_nothing_is_told_once(store: RunDirectory) -> None:
    ignored = "ignored: job, image_uri, scheduler, apiVersion, kind"
    sweep = loaded("dotted.yaml")
    assert ignored in summary(sweep, reconcile(sweep, plan(sweep), store), 4)
    assert loaded("random.yaml", samples=2).ignored == ["entity", "metric.impute"]
    assert loaded("no_metric.json").ignored == []


@pytest.mark.parametrize(
    ("written", "rungs"),
    [
        ({"min_iter": 3}, [3, 9, 27, 81]),
        ({"min_iter": 2, "eta": 2}, [2, 4, 8, 16, 32, 64]),
        ({"max_iter": 27, "s": 2}, [3, 9]),
        ({"max_iter": 81, "s": 4, "strict": True}, [1, 3, 9, 27]),
    ],
)
def test_early_terminate_decides_at_the_rungs_of_wandb(written: dict[str, Any], rungs: list[int]) -> None:
    asha: Any = scheduler(spec({"lr": [1, 2]}, early_terminate={"type": "hyperband", **written}), pytest.fail)
    [bracket] = asha._inner._brackets
    assert [int(rung) for rung, _ in reversed(bracket._rungs) if rung < asha._inner._max_t][: len(rungs)] == rungs
    decisions: dict[str, list[str]] = {"good": [], "other": [], "bad": []}
    for trial in decisions:
        asha.on_trial_add(None, Named(trial))
    for report in range(1, 100):
        for trial, decided in decisions.items():
            result = {"training_iteration": report, COMPARED: float(trial == "bad")}
            decided.append(asha.on_trial_result(None, Named(trial), result))
    assert decisions["bad"].index("STOP") + 1 == rungs[0]
    assert "STOP" not in decisions["good"]  # not at max_iter, either


class Named:
    """Ray Tune's trial, as far as ASHA looks at it."""

    def __init__(self, name: str) -> None:
        self.trial_id = name
        self.config: dict[str, Any] = {}


class Told(Progress):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.begun: list[Any] = []

    def noticed(self, text: str) -> None:
        self.texts.append(text)

    def halting(self, reason: str) -> None:
        super().halting(reason)
        self.texts.append(reason)

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self.begun.append(trial.config["x"])

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        super().reported(trial, epoch, seconds, metrics)


@pytest.mark.usefixtures("ray_2_cpus")
class TestRuns:
    def run(self, runs: Path, **keys: Any) -> tuple[raysweep.Results, Told]:
        told = Told()
        content = {"name": "sweep", "trainable": "functions.py:counted", "max_concurrent": 1, **keys}
        content["parameters"] = {"log": str(runs / "log"), "epochs": 3, "pause": 0.4, "x": [5, 4, 3, 2, 1, 0.5]}
        results = raysweep.run(check(content, "test"), runs=runs, directory=Path(__file__).parent, progress=told)
        return results, told

    def test_a_target_ends_the_sweep(self, tmp_path: Path) -> None:
        metric = {"name": "loss", "target": 1.5}
        results, told = self.run(tmp_path, metric=metric)
        assert results.has_reached_target
        assert any("target is reached" in text for text in told.texts)
        states = [trial.state for trial in results.trials]
        assert states[-1] is State.NEW and State.RUNNING not in states
        again, told = self.run(tmp_path, metric=metric)  # and nothing more is started
        assert told.begun == [] and told.texts == ["the metric's target is reached; no more trials are started"]
        assert [trial.state for trial in again.trials] == states

    def test_without_a_metric_trials_have_no_order(self, tmp_path: Path) -> None:
        results, _ = self.run(tmp_path)
        assert {trial.state for trial in results.trials} == {State.DONE}
        board = results.board()
        assert list(board.table["x"]) == [5, 4, 3, 2, 1, 0.5]  # as planned
        assert list(board.table["loss"]) == [x / 3 for x in board.table["x"]]
        assert "unranked" in board.remarks[0] and "unranked" in board.page()
        assert board.paper().written("md")
        for asked in (lambda: results.best, results.summary, results.effects):
            with pytest.raises(SpecError, match='has no "metric"'):
                asked()
        results.write()
        named, told = self.run(tmp_path, metric={"name": "loss"})
        assert told.begun == [] and named.best.config["x"] == 0.5  # nothing is trained anew
