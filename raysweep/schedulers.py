"""Ray Tune's schedulers for `early_stopping`."""

from __future__ import annotations

from typing import Any

from ray.tune import schedulers
from ray.tune.schedulers import TrialScheduler

from raysweep.spec import SweepSpec


class HyperBand(schedulers.HyperBandScheduler):  # type: ignore[misc]  # Ray ships no types
    """HyperBand that also ends the trials which were about to pause when their bracket came to its end.

    Ray's own ends only those that have paused, as of 2.60, so that the others wait for ever, and the sweep with them.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that goes on next, if there is one; Tune asks at every step."""
        for bracket in [bracket for band in self._hyperbands for bracket in band if bracket.finished()]:
            bracket.cleanup_full(tune_controller)
        return super().choose_trial_to_run(tune_controller)


def scheduler(spec: SweepSpec) -> TrialScheduler | None:
    """The one that the sweep asks for; None where all trials train to their end."""
    early = spec.early_stopping
    if early is None:
        return None
    common: dict[str, Any] = {
        "time_attr": "training_iteration",
        "metric": spec.metric.name,
        "mode": "max" if spec.metric.goal == "maximize" else "min",
    }
    if early.type == "median":
        return schedulers.MedianStoppingRule(grace_period=early.grace, hard_stop=True, **common)
    if early.type == "hyperband":
        return HyperBand(max_t=spec.max_epochs, reduction_factor=early.reduction, **common)
    return schedulers.ASHAScheduler(
        max_t=spec.max_epochs, grace_period=early.grace, reduction_factor=early.reduction, **common
    )
