"""Any sequence of edits and interrupted runs ends where running the last file once would have."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.job import Job
from raysweep.mirror import place
from raysweep.reconciliation import Again, Reconciliation, Standing, reconcile
from raysweep.recording import Recording
from raysweep.records import State, TrialError
from raysweep.results import Results, read
from raysweep.spec import SweepSpec, check
from raysweep.store import RunDirectory
from raysweep.sweep import reopen
from raysweep.trials import plan

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


def loss(config: Mapping[str, Any], epoch: int) -> float:
    return float(config["x"] + config.get("opt", {}).get("momentum", 0)) / epoch


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
        recording = Recording(job(spec, standing), place(standing.folder.path, None))
        try:
            train(spec, standing, recording, left)
            recording.finish(recording.missing_metric())
        finally:
            recording.close()


def train(spec: SweepSpec, standing: Standing, recording: Recording, left: list[int | None]) -> None:
    config = standing.trial.config
    if config["x"] == 3 and recording.epoch == 0:
        recording.add({"loss": loss(config, 1)}, 1.0, save(recording))
        recording.finish(TrialError("ValueError", "once"))  # the first attempt at x=3 fails
        return
    for _ in range(recording.epoch, config["epochs"]):
        if left[0] is not None:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
        recording.add({"loss": loss(config, recording.epoch + 1)}, 1.0, save(recording))
        if recording.is_over:
            return


def save(recording: Recording) -> str:
    name = f"checkpoint_{recording.epoch + 1:06d}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "epoch.json").write_text(json.dumps(recording.epoch + 1))
        recording.folder.save_checkpoint(Path(folder), name)
    return name


def job(spec: SweepSpec, standing: Standing) -> Job:
    return Job(
        folder=str(standing.folder.path),
        id=standing.trial.id,
        name=standing.trial.name,
        config=dict(standing.trial.config),
        trainable=spec.trainable,
        directory=".",
        metric="loss",
        goal="minimize",
        stop=spec.limits,
        keep_last=1,
        code=None,
        resources={},
        gpu=0,
        threads=1,
        seed=0,
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
