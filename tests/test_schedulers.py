"""What Ray Tune's schedulers are made to do beyond what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import TrialScheduler

from raysweep.schedulers import HyperBand


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
