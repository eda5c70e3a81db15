"""Trainings that do nothing; see trials.py and scaling.py."""

from __future__ import annotations

import time
from typing import Any

from ray import tune

import raysweep


def train(config: dict[str, Any]) -> None:
    """Report `reports` times."""
    for step in range(config["reports"]):
        tune.report({"loss": config["x"] / (step + 1)})


def sleep(config: dict[str, Any]) -> None:
    """Report `reports` times, after a pause each."""
    for step in range(config["reports"]):
        time.sleep(config["pause"])
        raysweep.report({"loss": config["x"] / (step + 1)})
