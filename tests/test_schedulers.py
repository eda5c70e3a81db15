"""What Ray Tune's schedulers are made to do beyond what they do."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import schedulers
from ray.tune.schedulers import TrialScheduler

from raysweep.driver.schedulers import Careful, HyperBand, scheduler
from raysweep.results.trial import TrialResult
from raysweep.store.records import Report, State
from raysweep.worker.actor import COMPARED
from tests.sweeps import spec


class Controller:
    """Tune's, as far as a scheduler calls it."""

    def __init__(self) -> None:
        self.stopped: list[Any] = []

    def stop_trial(self, trial: Any) -> None:
        trial.status = "TERMINATED"
        self.stopped.append(trial)


@dataclass(eq=False)
class Trial:
    """Tune's, as far as a scheduler looks at it."""

    trial_id: str
    status: str = "RUNNING"
    is_saving: bool = False


def test_a_trial_that_is_about_to_pause_when_its_bracket_ends_is_ended() -> None:
    scheduler = HyperBand(time_attr="training_iteration", metric="loss", mode="min", max_t=3, reduction_factor=3)
    controller: Any = Controller()
    first, second = Trial("a"), Trial("b")
    for trial in (first, second):
        scheduler.on_trial_add(controller, trial)
    result = {"training_iteration": 3, "loss": 1.0}
    assert scheduler.on_trial_result(controller, first, result) == TrialScheduler.PAUSE
    first.is_saving = True  # Tune saves it before it pauses, and meanwhile the other one comes to the end
    assert scheduler.on_trial_result(controller, second, result) == TrialScheduler.STOP
    assert not controller.stopped
    first.status, first.is_saving = "PAUSED", False
    assert scheduler.choose_trial_to_run(controller) is None
    assert controller.stopped == [first]


def hyperband(mode: str = "min") -> HyperBand:
    return HyperBand(time_attr="training_iteration", metric="loss", mode=mode, max_t=9, reduction_factor=3)


@pytest.mark.parametrize(("mode", "worst"), [("min", math.inf), ("max", -math.inf)])
def test_a_trial_without_the_metric_is_compared_by_its_last(
    monkeypatch: pytest.MonkeyPatch, mode: str, worst: float
) -> None:
    compared: list[float] = []
    monkeypatch.setattr(
        schedulers.HyperBandScheduler, "on_trial_result", lambda self, _, trial, result: compared.append(result["loss"])
    )
    inner = hyperband(mode)
    for told in ({}, {"loss": math.nan}, {"loss": 2}, {}, {"loss": math.nan}, {"loss": 3.0}):
        inner.on_trial_result(None, "a", {"training_iteration": 1, **told})
    inner.on_trial_result(None, "b", {"training_iteration": 1})
    assert compared == [worst, worst, 2, 2, 2, 3.0, worst]


def test_what_a_scheduler_raises_is_told_and_the_trials_go_on() -> None:
    told: list[str] = []
    careful = Careful(hyperband(), told.append)
    unknown: Any = Trial("a")  # it was never added
    controller: Any = Controller()
    assert careful.on_trial_result(controller, unknown, {"training_iteration": 1, "loss": 1}) == TrialScheduler.CONTINUE
    careful.on_trial_complete(controller, unknown, {})
    careful.on_trial_remove(controller, unknown)
    careful.on_trial_error(controller, unknown)
    assert len(told) == 4
    assert all(text.startswith("early_stopping: HyperBand failed (KeyError") for text in told)


def test_a_text_is_no_value_to_compare_by() -> None:
    for kind in ("asha", "median", "hyperband"):
        told: list[str] = []
        chosen = scheduler(spec({"lr": 1, "epochs": 9}, early_stopping={"type": kind}), told.append)
        assert chosen is not None and chosen.metric == COMPARED
        trial: Any = Trial("a")
        chosen.on_trial_add(Controller(), trial)
        for epoch in (1, 2, 3):
            chosen.on_trial_result(Controller(), trial, {"training_iteration": epoch, COMPARED: "high"})
        assert told == []
        assert type(pickle.loads(pickle.dumps(chosen))).__name__ == "FIFOScheduler"


def ended(id: str, losses: list[float | str], state: State = State.DONE) -> TrialResult:
    reports = tuple(Report(n, 0.0, 1.0, float(n), {"loss": loss}) for n, loss in enumerate(losses, start=1))
    return TrialResult(1, id, id, {"lr": 1}, state, None, reports, None, Path(id))


@pytest.mark.parametrize("early", [{"type": "asha", "reduction": 2}, {"type": "median"}])
def test_new_trials_are_held_against_those_of_earlier_runs(early: dict[str, Any]) -> None:
    sweep = spec({"lr": 1, "epochs": 9}, early_stopping=early)
    before = [ended(str(n), [0.1 * n, "text", 0.1 * n]) for n in range(1, 6)]
    before += [
        ended("failed", [9.0], State.FAILED),
        ended("new", [], State.NEW),
        ended("stopped", [0.9], State.STOPPED),
    ]
    for known, loss, decision in ((before, 5.0, "STOP"), (before, 0.05, "CONTINUE"), ([], 5.0, "CONTINUE")):
        chosen = scheduler(sweep, pytest.fail, ended=known)
        assert chosen is not None
        controller: Any = SimpleNamespace(get_live_trials=list)
        trial: Any = Trial("a")
        chosen.on_trial_add(controller, trial)
        assert chosen.on_trial_result(controller, trial, {"training_iteration": 1, COMPARED: loss}) == decision


@pytest.mark.parametrize(
    ("early", "decision"), [({}, TrialScheduler.CONTINUE), ({"max_epochs": 2}, TrialScheduler.STOP)]
)
def test_epochs_end_no_trial_that_reports_more_often(early: dict[str, Any], decision: str) -> None:
    chosen = scheduler(spec({"lr": 1, "epochs": 2}, early_stopping={"type": "asha", **early}), print)
    assert chosen is not None
    trial: Any = Trial("a")
    chosen.on_trial_add(Controller(), trial)
    told = [chosen.on_trial_result(Controller(), trial, {"training_iteration": n, COMPARED: 1.0}) for n in (1, 2, 3)]
    assert told == [TrialScheduler.CONTINUE, decision, decision]
