"""Any sequence of edits and interrupted runs ends where running the last file once would have."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.driver.sweep import reopen
from raysweep.plan.reconciliation import Again, Reconciliation, Standing, reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import plan
from raysweep.results.reading import read
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State, TrialError
from raysweep.sweepfile.spec import SweepSpec, check
from raysweep.worker.ending import Ending
from raysweep.worker.recording import Recording

ALL = frozenset({Again.FAILED, Again.STOPPED})


def sweep(
    xs: list[int], epochs: int, momenta: list[float] | None, excluded: int | None, limit: float | None
) -> SweepSpec:
    parameters: dict[str, Any] = {"x": xs, "epochs": epochs}
    content: dict[str, Any] = {
        "name": "sweep",
        "trainable": "train.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": parameters,
    }
    if momenta is not None:
        parameters["opt"] = {"momentum": momenta}
        content["defaults"] = {"opt.momentum": 0}
    if excluded in xs and len(xs) > 1:
        content["exclude"] = [{"x": excluded}]
    if limit is not None:
        content["stop"] = {"loss": limit}
    return check(content, "sweep.json")


sweeps = st.builds(
    sweep,
    st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True),
    st.integers(1, 4),
    st.one_of(st.none(), st.lists(st.sampled_from([0, 0.5, 0.9]), min_size=1, max_size=2, unique=True)),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.sampled_from([0.6, 1.1])),
)
# how many reports a run makes before it is killed; None for until its end
runs = st.lists(st.tuples(sweeps, st.one_of(st.none(), st.integers(0, 12))), min_size=1, max_size=5)


def report(config: Mapping[str, Any], epoch: int) -> dict[str, float]:
    """As a Recorder reports, which knows whose epoch it is."""
    loss = float(config["x"] + config.get("opt", {}).get("momentum", 0)) / epoch
    return {"loss": loss, "epoch_duration": 1.0, "run_duration": float(epoch)}


class KilledError(Exception):
    """The run is dead."""


def run(spec: SweepSpec, store: RunDirectory, reports: int | None) -> None:
    """What a run does, with the real records and without Ray; dies after so many reports."""
    store.create()
    store.write_sweep(spec.model_dump(mode="json", by_alias=True, exclude_unset=True), [])
    left = [reports]
    todo = reconcile(spec, plan(spec), store).missing(ALL)
    reopen(todo, ALL, None)
    for standing in todo:
        recording = Recording(common(spec), standing.trial, standing.folder)
        try:
            train(spec, standing, recording, left)
            recording.end(Ending.complete(recording.reports))
        finally:
            recording.close()


def train(spec: SweepSpec, standing: Standing, recording: Recording, left: list[int | None]) -> None:
    config = standing.trial.config
    if config["x"] == 3 and recording.reports.epoch == 0:
        recording.add(report(config, 1), 1.0, save(recording))
        recording.end(Ending.failed(TrialError("ValueError", "once")))  # the first attempt at x=3 fails
        return
    for _ in range(recording.reports.epoch, config["epochs"]):
        if left[0] is not None:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
        recording.add(report(config, recording.reports.epoch + 1), 1.0, save(recording))
        if recording.is_over:
            return


def save(recording: Recording) -> str:
    name = f"checkpoint_{recording.reports.epoch + 1:06d}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "epoch.json").write_text(json.dumps(recording.reports.epoch + 1))
        recording.folder.save_checkpoint(Path(folder), name)
    return name


def common(spec: SweepSpec) -> Run:
    return Run(
        reference=Reference(spec.trainable, Path()),
        code=None,
        metric=spec.metric,
        limits=spec.limits,
        keep_last=1,
        resources=spec.resources,
        sweep_seed=0,
    )


def outcome(results: Results) -> list[tuple[Any, ...]]:
    return [
        (t.id, t.config, t.state, [(report.epoch, report.metrics["loss"]) for report in t.reports])
        for t in results.trials
    ]


def until_nothing_is_missing(spec: SweepSpec, store: RunDirectory) -> Reconciliation:
    for _ in range(3):  # the second run takes up what failed once
        run(spec, store, None)
    return reconcile(spec, plan(spec), store)


@settings(max_examples=40)
@given(runs)
def test_edits_and_interruptions_leave_no_trace(history: list[tuple[SweepSpec, int | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disturbed, calm = RunDirectory(Path(folder, "disturbed")), RunDirectory(Path(folder, "calm"))
        for spec, reports in history:
            try:
                run(spec, disturbed, reports)
            except KilledError:
                continue
        last = history[-1][0]
        assert not until_nothing_is_missing(last, disturbed).missing(ALL)
        until_nothing_is_missing(last, calm)
        ours = outcome(read(disturbed))
        assert ours == outcome(read(calm))
        assert all(trial[2] is State.DONE for trial in ours)
        assert not [path for path in Path(folder).rglob("*") if path.name.endswith(".tmp")]
