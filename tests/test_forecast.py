"""Forecasts: the pace of what ran, the slots, and a rehearsal of what never did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.cli.program import main
from raysweep.forecast.estimate import Basis, estimate
from raysweep.forecast.pace import Pace, paces, shape
from raysweep.forecast.slots import makespan
from raysweep.plan.reconciliation import Standing
from raysweep.results.trial import TrialResult
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, State
from tests.sweeps import content, planned, spec

TRAIN = """\
import time
import raysweep

def train(config):
    if config["width"] == 3:
        raise RuntimeError("CUDA out of memory")
    for epoch in range(config["epochs"]):
        time.sleep(0.4 * config["width"])
        raysweep.report({"loss": config["lr"]})
"""


def trained(seconds: list[float], started: float = 100.0, **known: Any) -> TrialResult:
    """A trial with epochs of so many seconds, which took 2 seconds besides."""
    total = 0.0
    reports = []
    for epoch, taken in enumerate(seconds, start=1):
        total += taken
        reports.append(Report(epoch, 0.0, taken, total))
    state = {"state": State.DONE, "error": None, "best": None, "path": Path("none"), **known}
    return TrialResult(1, "x", "x", {"width": 1}, reports=tuple(reports), started=started,
                       ended=started + total + 2, is_complete=True, **state)  # fmt: skip


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=30), st.integers(1, 8))
def test_slots_are_never_idle_while_trials_wait(seconds: list[float], slots: int) -> None:
    span = makespan(seconds, slots)
    least = max(sum(seconds) / slots, *seconds)
    assert least <= span * (1 + 1e-9)
    assert span <= (2 - 1 / slots) * least * (1 + 1e-9)  # Graham's bound


def test_slots_are_taken_in_the_order_of_the_plan() -> None:
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([1.0, 1.0, 1.0, 3.0], 2) == 4.0
    assert makespan([], 2) == 0.0


def test_a_shape_is_all_but_what_changes_no_costs() -> None:
    one = {"width": 1, "lr": 0.1, "epochs": 3, "data": {"seed": 0, "name": "digits"}}
    assert shape(one) == shape({**one, "lr": 1.0, "epochs": 5, "data": {"seed": 7, "name": "digits"}})
    assert shape(one) != shape({**one, "width": 2})
    assert shape(one) != shape({**one, "data": {"seed": 0, "name": "mnist"}})


def test_the_first_epoch_warms_up() -> None:
    (pace,) = paces([trained([5.0, 1.0, 1.0]), trained([7.0, 1.0, 3.0])]).values()
    assert (pace.before, pace.first, pace.later, pace.epochs) == (2.0, 6.0, 1.0, 3)
    assert pace.spread == (1.0, 3.0)
    assert pace.seconds(4) == 2 + 6 + 3
    assert pace.seconds(4, done=3) == 2 + 6
    assert pace.seconds(4, done=4) == 2
    assert paces([trained([])]) == {}


def expected(pace: Pace | None, slots: int = 2, coming: int = 0, **keys: Any) -> Any:
    sweep = {"width": [1], "lr": [0.1, 0.2, 0.3], "epochs": 10}
    trials = planned(sweep, **keys)
    missing = [Standing(trial, TrialFolder(Path("none")), State.NEW, None) for trial in trials]
    known = {} if pace is None else {shape(trials[0].config): pace}
    return estimate(spec(sweep, **keys), missing, Basis(known, (), slots, before=8.0), coming)


def test_what_is_missing_is_put_on_the_slots() -> None:
    pace = Pace(before=1.0, first=2.0, later=1.0, spread=(0.8, 1.4), epochs=None, size=10**6)
    told = expected(pace)
    assert told.likely == pytest.approx(8 + 2 * 12)
    assert (told.low, told.high) == (pytest.approx(8 + 2 * 12 * 0.9), pytest.approx(8 + 2 * 12 * 1.2))
    assert list(told.told(price=3.6)) == [
        "about 32s (30s to 37s) for 3 trials, 2 at once",
        "disk: about 3 MB",
        "cost: 0.03 to 0.04 at 3.6 an hour",
    ]
    assert expected(pace, coming=3).likely == pytest.approx(8 + 3 * 12)
    assert next(expected(pace, stop={"time": 60}).told()).startswith("at most about")


def test_where_nothing_is_known_nothing_is_said() -> None:
    told = expected(None)
    assert list(told.told(price=1.0)) == [
        "nothing can be said of 3 trials: how many reports they make is known once one has ended"
    ]


def sweep(folder: Path, **parameters: Any) -> str:
    (folder / "train.py").write_text(TRAIN)
    grid = folder / "grid.json"
    axes = {"lr": [0.1, 0.2, 0.3], "width": [1, 2], "epochs": 4, **parameters}
    grid.write_text(json.dumps(content(parameters=axes, resources={"cpu": 1})))
    return str(grid)


def test_a_rehearsal_tells_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", sweep(tmp_path), "--estimate", "--json", "--runs", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    estimate = json.loads(told.out)["estimate"]
    assert "rehearsing 2 of 6 trials, one of each shape" in told.err
    assert (estimate["trials"], estimate["unknown"]) == (6, 0)
    at_least = 3 * 4 * (0.4 + 0.8) / estimate["slots"]
    assert at_least < estimate["likely"] < at_least + 60  # and what a start takes on a busy machine
    assert estimate["low"] < estimate["likely"] < estimate["high"]
    assert not (tmp_path / "runs").exists()


def test_a_preflight_refuses_what_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = sweep(tmp_path, width=[1, 3], epochs=1)
    assert main(["run", grid, "--preflight", "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert "1 of the rehearsed trials cannot run, so nothing is started:" in told
    assert "width=3" in told and "CUDA out of memory" in told
    assert not (tmp_path / "runs").exists()
