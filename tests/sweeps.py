"""Sweep files for tests: a small correct one, and what is different about it."""

from __future__ import annotations

from typing import Any

from raysweep.plan.trials import Trial, plan
from raysweep.sweepfile.spec import SweepSpec, check

TRAIN = """\
def train(config):
    return {"loss": config["lr"]}
"""


def content(**keys: Any) -> dict[str, Any]:
    """A correct sweep file's content; None as a value leaves the key out."""
    base = {
        "trainable": "train.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": [0.1, 0.01]},
    }
    return {key: value for key, value in {**base, **keys}.items() if value is not None}


def spec(parameters: dict[str, Any], **keys: Any) -> SweepSpec:
    """A checked sweep over `parameters`."""
    return check(content(name="sweep", parameters=parameters, **keys), "sweep.json")


def planned(parameters: dict[str, Any], **keys: Any) -> tuple[Trial, ...]:
    """The trials of a sweep over `parameters`."""
    return plan(spec(parameters, **keys))


def configs(parameters: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
    """Their configurations."""
    return [dict(trial.config) for trial in planned(parameters, **keys)]


def ids(parameters: dict[str, Any], **keys: Any) -> list[str]:
    """Their ids."""
    return [trial.id for trial in planned(parameters, **keys)]


def names(parameters: dict[str, Any], **keys: Any) -> list[str]:
    """Their names."""
    return [trial.name for trial in planned(parameters, **keys)]
