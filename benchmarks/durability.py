"""What it costs that a report is on the disk before anything says so.

    python -m benchmarks.durability --reports 500 --rounds 5

A trial is recorded in a run directory below the current one, as a worker records it, with its lease, its claim and its
event file; of each report the recording is timed. Compared with the same where nothing is synced.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call, last_line
from benchmarks.table import Findings, Row
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import plan
from raysweep.store.directory import RunDirectory
from raysweep.sweepfile.spec import check
from raysweep.transfer.mirror import place
from raysweep.worker.recording import Recording

HERE = "benchmarks.durability"
PAUSE = 0.005  # seconds: a very short step of a training


def record(reports: int, syncs: bool) -> dict[str, Any]:
    """Record a trial; what a report of five numbers took in the median, in seconds."""
    if not syncs:
        for name in ("fsync", "fdatasync"):
            mock.patch.object(os, name, lambda handle: None).start()
    metric = {"name": "loss", "goal": "minimize"}
    sweep = check({"name": "sweep", "trainable": "train:train", "metric": metric, "parameters": {"x": 1}}, "sweep")
    (trial,) = plan(sweep)
    store, taken = RunDirectory(Path("runs", "sweep").resolve()), []
    store.create()
    with store.lock() as lease:
        where = place(store.trial(trial.name).path, None, lease.holder.token)
        where.open()
        run = Run(Reference(sweep.trainable, Path()), None, sweep.metric, {}, 1, sweep.resources, 0)
        recording = Recording(run, trial, where.folder)
        for step in range(reports):
            time.sleep(PAUSE)
            metrics = {"loss": 1 / (step + 1), "a": 0.5, "b": 1.5, "c": 2.5, "d": 3.5}
            started = time.perf_counter()
            recording.add(metrics, 1.0, None)
            taken.append(time.perf_counter() - started)
        recording.close()
        where.close()
    return {"median": median(taken)}


def measure(options: Namespace) -> Findings:
    """Both in turn."""
    names = {"synced": True, "not synced": False}
    contenders = [
        Contender(name, call(f"{HERE}:record", reports=options.reports, syncs=syncs), last_line)
        for name, syncs in names.items()
    ]
    measures = alternate(contenders, options.rounds)
    ours, theirs = ([measure.figures["median"] * 1000 for measure in measures[name]] for name in names)
    what = "a report recorded, on the disk when the call returns, median"
    return Findings([Row(what, ours, "not synced", theirs, "ms"), Row(what, ours, unit="ms", at_most=1.0)])


BENCHMARK = Benchmark(__doc__, {"reports": Option(500, 20, "of the trial")}, measure)

if __name__ == "__main__":
    BENCHMARK.main()
