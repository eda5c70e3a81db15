"""What is known of this machine without starting Ray: how many trials it runs at once, how long a start takes."""

from __future__ import annotations

import os

from raysweep.engine.nodes import Cluster
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.sweepfile.spec import SweepSpec

START = 8.0  # seconds from a run's start to its first trial's, where none is on record: see docs/speed.md


def slots(spec: SweepSpec) -> int:
    """How many trials run at once on this machine; 0 where it cannot run any."""
    gpus = 0
    if spec.resources.gpu:
        import torch

        gpus = torch.cuda.device_count()
    found = Cluster(({"CPU": float(os.cpu_count() or 1), "GPU": float(gpus)},)).slots(spec.resources)
    return min(found, spec.max_concurrent or found)


def before(trained: Results | None) -> float:
    """Seconds from the last run's start to its first trial's."""
    if trained is None:
        return START
    runs = RunDirectory(trained.directory).earlier()["runs"]
    began = runs[-1].get("started") if runs else None
    if not isinstance(began, (int, float)):
        return START
    started = [trial.started for trial in trained.trials if trial.started is not None and trial.started >= began]
    return min(started) - began if started else START
