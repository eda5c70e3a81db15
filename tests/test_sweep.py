"""Sweeps run for real: what runs, what does not run again, and how trials end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.driver.progress import Progress
from raysweep.driver.schedulers import HyperBand
from raysweep.driver.sweep import RunOptions
from raysweep.errors import BrokenOffError, SpecError, StoreError
from raysweep.plan.reconciliation import Again
from raysweep.plan.trials import Trial
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State
from raysweep.sweepfile.spec import check

pytestmark = pytest.mark.usefixtures("ray_2_cpus")
HERE = Path(__file__).parent


@dataclass
class Sweep:
    """A sweep of tests/functions.py in a folder of its own."""

    folder: Path
    progress: Progress

    def run(
        self,
        parameters: dict[str, Any],
        *,
        options: RunOptions | None = None,
        function: str = "functions.py:counted",
        progress: Progress | None = None,
        **keys: Any,
    ) -> Results:
        content = {
            "name": "sweep",
            "trainable": function,
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"log": str(self.folder / "log"), **parameters},
            **keys,
        }
        self.progress = progress or Progress()
        return raysweep.run(
            check(content, "test"),
            runs=self.folder,
            directory=HERE,
            progress=self.progress,
            options=options or RunOptions(),
        )

    @property
    def path(self) -> Path:
        return self.folder / "sweep"

    def epochs(self) -> list[str]:
        """Every epoch that was trained: `x epoch`."""
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path, Progress())


def states(results: Results) -> Counter[State]:
    return Counter(trial.state for trial in results.trials)


def again(*which: Again) -> RunOptions:
    return RunOptions(again=frozenset(which))


def test_only_the_difference_runs(sweep: Sweep) -> None:
    first = sweep.run({"x": [1, 2], "epochs": 2})
    assert states(first) == {State.DONE: 2}
    assert sorted(sweep.epochs()) == ["1 1", "1 2", "2 1", "2 2"]

    assert sweep.run({"x": [1, 2], "epochs": 2}).frame().equals(first.frame())
    assert len(sweep.epochs()) == 4

    grown = sweep.run({"x": [1, 2, 3], "epochs": 2})
    assert [trial.config["x"] for trial in grown.trials] == [1, 2, 3]
    assert sweep.epochs()[4:] == ["3 1", "3 2"]

    shrunk = sweep.run({"x": [3, 2], "epochs": 2})
    assert [trial.config["x"] for trial in shrunk.trials] == [3, 2]
    assert len(shrunk.dropped) == 1
    assert (shrunk.dropped[0] / "result.json").exists()
    assert len(sweep.epochs()) == 6


def test_an_axis_added_with_a_default_keeps_earlier_trials(sweep: Sweep) -> None:
    sweep.run({"x": [1], "epochs": 1})
    grown = sweep.run({"x": [1], "epochs": 1, "opt": {"momentum": [0, 0.9]}}, defaults={"opt.momentum": 0})
    assert [trial.config["opt"]["momentum"] for trial in grown.trials] == [0, 0.9]
    assert sweep.epochs() == ["1 1", "1 1"]
    with pytest.raises(SpecError, match=r"defaults\.opt\.momentum: was 0 when"):
        sweep.run({"x": [1], "epochs": 1, "opt": {"momentum": [0, 0.9]}}, defaults={"opt.momentum": 0.9})


def test_an_exclude_loosened_runs_what_it_left_out(sweep: Sweep) -> None:
    sweep.run({"x": [1, 2, 3], "epochs": 1}, exclude=[{"x": 2}, {"x": 3}])
    sweep.run({"x": [1, 2, 3], "epochs": 1}, exclude=[{"x": 3}])
    assert sweep.epochs() == ["1 1", "2 1"]


def test_more_epochs_go_on_and_fewer_are_shown(sweep: Sweep) -> None:
    sweep.run({"x": [1], "epochs": 2})
    longer = sweep.run({"x": [1], "epochs": 4})
    assert sweep.epochs() == ["1 1", "1 2", "1 3", "1 4"]
    assert [report.epoch for report in longer.trials[0].reports] == [1, 2, 3, 4]
    shorter = sweep.run({"x": [1], "epochs": 3})
    assert [report.epoch for report in shorter.trials[0].reports] == [1, 2, 3]
    assert len(sweep.epochs()) == 4


def test_epochs_can_be_part_of_the_identity(sweep: Sweep) -> None:
    sweep.run({"x": [1], "epochs": 1}, continues=None)
    sweep.run({"x": [1], "epochs": 2}, continues=None)
    assert sweep.epochs() == ["1 1", "1 1", "1 2"]


def test_failed_trials_are_kept_and_retried_when_asked(sweep: Sweep) -> None:
    parameters = {"x": [1, 2], "epochs": 3, "bad": "raise", "bad_x": 1, "once": str(sweep.folder / "once")}
    results = sweep.run(parameters)
    assert states(results) == {State.FAILED: 1, State.DONE: 1}
    failed = results.failed[0]
    assert str(failed.error) == "ValueError: no luck with 1"
    text = (failed.path / "error.txt").read_text()
    assert text.startswith("Traceback") and "functions.py" in text and "trainable.py" not in text
    assert [report.epoch for report in failed.reports] == [1]

    before = sweep.epochs()
    assert states(sweep.run(parameters)) == {State.FAILED: 1, State.DONE: 1}
    assert sweep.epochs() == before

    assert states(sweep.run(parameters, options=again(Again.FAILED))) == {State.DONE: 2}
    assert sweep.epochs()[len(before) :] == ["1 2", "1 3"]  # it goes on from its checkpoint
    assert not (failed.path / "error.txt").exists()


def test_an_exception_is_not_retried(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 3, "bad": "raise"}, retries=3)
    assert states(results) == {State.FAILED: 1}
    assert sweep.epochs() == ["1 1"]


def test_a_lost_worker_is_retried_from_the_checkpoint(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 3, "bad": "die", "once": str(sweep.folder / "once")})
    assert states(results) == {State.DONE: 1}
    assert sweep.epochs() == ["1 1", "1 2", "1 3"]
    assert '"attempts": 2' in (results.trials[0].path / "trial.json").read_text()


def test_a_worker_lost_too_often_fails_its_trial(sweep: Sweep) -> None:
    results = sweep.run({"x": [1, 2], "epochs": 3, "bad": "die", "bad_x": 1}, retries=1)
    assert states(results) == {State.FAILED: 1, State.DONE: 1}
    assert str(results.failed[0].error).startswith("ProcessDied: the trial's process was killed by SIGKILL")
    assert Counter(sweep.epochs())["1 1"] == 1


def test_out_of_memory_is_a_state_of_its_own(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 3, "bad": "memory"})
    assert states(results) == {State.OUT_OF_MEMORY: 1}
    assert results.failed == list(results.trials)


def test_a_time_limit_ends_a_trial_that_never_reports(sweep: Sweep) -> None:
    started = time.monotonic()
    results = sweep.run({"x": [1]}, function="functions.py:silent", stop={"time": "2s"})
    assert states(results) == {State.FAILED: 1}
    assert str(results.failed[0].error) == "TimeLimit: nothing was reported within 2 s (stop.time)"
    assert time.monotonic() - started < 60


def test_a_time_limit_ends_a_trial_that_hangs(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 3, "bad": "hang"}, stop={"time": "2s"})
    assert states(results) == {State.DONE: 1}
    assert sweep.epochs() == ["1 1"]


def test_limits_of_metrics_and_epochs(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 9}, stop={"loss": 0.25})
    assert [report.epoch for report in results.trials[0].reports] == [1, 2, 3, 4]
    assert states(sweep.run({"x": [1], "epochs": 9}, stop={"loss": 0.3})) == {State.DONE: 1}  # reached before
    assert len(sweep.epochs()) == 4
    results = sweep.run({"x": [1], "epochs": 9}, stop={"epoch": 6})
    assert [report.epoch for report in results.trials[0].reports] == [1, 2, 3, 4, 5, 6]
    assert len(sweep.epochs()) == 6


class Slow(Progress):
    """A driver that is busy with the first report it hears of until all are written, or for `patience` seconds."""

    def __init__(self, log: Path, patience: float) -> None:
        super().__init__()
        self.log, self.patience = log, patience
        self.heard: list[int] = []
        self.written: list[int] = []

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        self.heard.append(epoch)
        deadline = time.monotonic() + self.patience
        while self._count() < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.written.append(self._count())
        super().reported(trial, epoch, seconds, metrics)

    def _count(self) -> int:
        return len(self.log.read_text().splitlines())


def test_a_report_does_not_wait_for_the_driver(sweep: Sweep) -> None:
    slow = Slow(sweep.folder / "log", patience=60)
    sweep.run({"x": [1], "epochs": 4, "pause": 0.2}, progress=slow)
    assert slow.heard == [1, 2, 3, 4]
    assert slow.written[0] == 4


def test_a_report_waits_for_a_scheduler(sweep: Sweep) -> None:
    slow = Slow(sweep.folder / "log", patience=1)
    sweep.run({"x": [1], "epochs": 4}, progress=slow, early_stopping={"type": "asha"})
    assert slow.heard == slow.written == [1, 2, 3, 4]


def test_early_stopping_leaves_the_stopped_alone_until_asked(sweep: Sweep) -> None:
    parameters = {"x": [1, 2, 3, 4, 5, 6, 7, 8], "epochs": 8}
    early = {"type": "asha", "grace": 2, "reduction": 2}
    counts = states(sweep.run(parameters, early_stopping=early, max_concurrent=1))
    assert counts[State.STOPPED] > 0 and counts[State.DONE] > 0 and counts.total() == 8
    before = len(sweep.epochs())
    assert before < 8 * 8
    assert states(sweep.run(parameters, early_stopping=early)) == counts
    assert len(sweep.epochs()) == before
    assert states(sweep.run(parameters, options=again(Again.STOPPED))) == {State.DONE: 8}
    assert len(sweep.epochs()) == 8 * 8


@pytest.mark.parametrize("kind", ["median", "hyperband"])
def test_other_early_stopping(sweep: Sweep, kind: str) -> None:
    early = {"type": kind, "grace": 1, "reduction": 2}
    results = sweep.run({"x": [1, 2, 3, 4], "epochs": 4}, early_stopping=early)
    assert all(trial.state in (State.DONE, State.STOPPED) for trial in results.trials)
    assert max(Counter(sweep.epochs()).values()) == 1


@pytest.mark.parametrize("kind", ["asha", "median", "hyperband"])
def test_early_stopping_by_a_metric_that_is_not_in_each_report(sweep: Sweep, kind: str) -> None:
    early = {"type": kind, "grace": 1, "reduction": 2}
    results = sweep.run({"x": [1, 2, 3, 4], "epochs": 6}, function="functions.py:sparse", early_stopping=early)
    assert set(states(results)) <= {State.DONE, State.STOPPED} and states(results)[State.DONE] >= 1
    assert results.best.config["x"] == 1


def test_early_stopping_by_a_metric_that_is_called_as_a_key_of_tunes(sweep: Sweep) -> None:
    early = {"type": "asha", "grace": 1, "reduction": 2}
    metric = {"name": "done", "goal": "minimize"}
    parameters = {"x": [1, 2, 3, 4], "epochs": 6}
    results = sweep.run(
        parameters, function="functions.py:named", early_stopping=early, metric=metric, max_concurrent=1
    )
    assert states(results) == {State.DONE: 1, State.STOPPED: 3}
    assert results.best.config["x"] == 1


def test_an_error_of_a_scheduler_ends_the_run_in_order(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"x": [1, 2, 3, 4], "epochs": 4}
    early = {"type": "hyperband", "grace": 1, "reduction": 2}
    with monkeypatch.context() as patch:
        patch.setattr(HyperBand, "on_trial_result", lambda *arguments: vars(Progress)["no such bracket"])
        with pytest.raises(BrokenOffError, match=r"HyperBand failed \(KeyError: 'no such bracket'\); .*run again"):
            sweep.run(parameters, early_stopping=early)
    assert (sweep.path / "results.csv").exists()
    assert states(raysweep.load("sweep", sweep.folder))[State.FAILED] == 0
    assert set(states(sweep.run(parameters, early_stopping=early))) == {State.DONE, State.STOPPED}
    assert max(Counter(sweep.epochs()).values()) == 1


def test_a_budget_drains_and_the_next_run_goes_on(sweep: Sweep) -> None:
    parameters = {"x": [1, 2, 3, 4], "epochs": 4, "pause": 0.7}
    results = sweep.run(parameters, budget=2)
    assert states(results)[State.DONE] < 4
    assert sweep.progress.halted is not None and "budget" in sweep.progress.halted
    assert states(sweep.run(parameters)) == {State.DONE: 4}
    assert max(Counter(sweep.epochs()).values()) == 1  # every epoch that was begun was finished and kept


@contextlib.contextmanager
def asked_to_stop(sweep: Sweep, trials: int) -> Iterator[None]:
    """Ask the run inside to stop once so many trials have trained an epoch."""

    def ask() -> None:
        while len({line.split()[0] for line in sweep.epochs()}) < trials:
            time.sleep(0.05)
        RunDirectory(sweep.path).request_stop()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield
    thread.join()


def test_a_run_asked_to_stop_drains(sweep: Sweep) -> None:
    parameters = {"x": [1, 2, 3, 4], "epochs": 10, "pause": 0.5}
    with asked_to_stop(sweep, trials=2):
        results = sweep.run(parameters)
    assert states(results) == {State.INTERRUPTED: 2, State.NEW: 2}
    assert sweep.progress.halted is not None and "asked to stop" in sweep.progress.halted
    assert not RunDirectory(sweep.path).stop_requested()
    assert states(sweep.run(parameters)) == {State.DONE: 4}
    assert max(Counter(sweep.epochs()).values()) == 1


def test_a_run_that_has_drained_before_that_was_looked_for_says_why(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raysweep.driver.halt.INTERVAL", 1000)
    with asked_to_stop(sweep, trials=1):
        results = sweep.run({"x": [1], "epochs": 10, "pause": 0.5})
    assert states(results) == {State.INTERRUPTED: 1}
    assert sweep.progress.halted == "asked to stop"


def test_a_hopeless_sweep_ends_early(sweep: Sweep) -> None:
    results = sweep.run({"x": list(range(1, 30)), "epochs": 3, "bad": "memory"})
    assert 5 <= len(results.failed) <= 10
    assert sweep.progress.halted is not None and "same way" in sweep.progress.halted


def test_max_failures(sweep: Sweep) -> None:
    parameters = {"x": list(range(1, 13)), "epochs": 3, "bad": "raise"}
    assert 2 <= len(sweep.run(parameters, options=RunOptions(max_failures=2)).failed) <= 5
    assert len(sweep.run(parameters, options=RunOptions(max_failures=0)).failed) == 12


@pytest.mark.parametrize("isolate", [False, True])
def test_each_trial_finds_a_process_as_new(sweep: Sweep, isolate: bool) -> None:
    history = sweep.run(
        {"x": [1, 2, 3, 4]}, function="surroundings.py:surroundings", options=RunOptions(isolate=isolate)
    ).history()
    assert history["loss"].nunique() == 1  # equal seeds, equal random numbers
    assert set(history["threads"]) == {1} and set(history["grad"]) == {1} and set(history["double"]) == {0}
    assert set(history["deterministic"]) == {0}
    assert set(history["cwd"]) == {str(Path.cwd())}
    assert history["process"].nunique() == 4


def test_what_a_trial_prints_is_in_its_folder(sweep: Sweep) -> None:
    results = sweep.run({"x": [7]}, function="surroundings.py:surroundings")
    assert (results.trials[0].path / "output.log").read_text() == "hello from 7\n"


def test_a_class_trainable_goes_on_from_its_checkpoint(sweep: Sweep) -> None:
    sweep.run({"x": [1]}, function="stepper.py:Stepper", stop={"training_iteration": 2})
    results = sweep.run({"x": [1]}, function="stepper.py:Stepper", stop={"training_iteration": 4})
    assert sweep.epochs() == ["1 1", "1 2", "1 3", "1 4"]
    assert results.history()["nested/count"].tolist() == [1, 2, 3, 4]


def test_the_best_and_the_last_checkpoints_are_kept(sweep: Sweep) -> None:
    results = sweep.run({"x": [-1], "epochs": 6}, checkpoints={"last": 2})  # the first epoch is the best
    folders = sorted(path.name for path in results.trials[0].path.glob("checkpoint_*"))
    assert folders == ["checkpoint_000001", "checkpoint_000005", "checkpoint_000006"]
    assert results.best.checkpoint is not None and results.best.checkpoint.name == "checkpoint_000001"


def test_changed_code_is_noticed_and_repeated_when_asked(sweep: Sweep, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    spec = check(
        {"name": "sweep", "trainable": "train.py:train", "metric": {"name": "loss", "goal": "minimize"},
         "parameters": {"x": [1, 2]}}, "test",
    )  # fmt: skip

    def losses(*which: Again) -> list[float]:
        results = raysweep.run(spec, runs=tmp_path, directory=tmp_path, options=RunOptions(again=frozenset(which)))
        told: list[float] = results.frame()["loss"].tolist()
        return told

    script.write_text("def train(config):\n    return {'loss': config['x']}\n")
    assert losses() == [1, 2]
    script.write_text("def train(config):\n    return {'loss': -config['x']}\n")
    assert losses() == [1, 2]
    assert losses(Again.OTHER_CODE) == [-1, -2]


def test_two_runs_at_once_are_refused(sweep: Sweep) -> None:
    sweep.run({"x": [1], "epochs": 1})
    with RunDirectory(sweep.path).lock(), pytest.raises(StoreError, match=r"another run is at work here \(process \d+"):
        sweep.run({"x": [1], "epochs": 1})


def test_nothing_of_ray_tune_is_left(sweep: Sweep) -> None:
    results = sweep.run({"x": [1], "epochs": 1})
    names = {path.name for path in sweep.path.iterdir()}
    assert names == {"sweep.json", results.trials[0].path.name} | {
        f"{table}.{kind}" for table in ("results", "history") for kind in ("csv", "json", "parquet")
    }
    assert not list(sweep.path.rglob("*.pkl")) and not list(sweep.path.rglob("*.tmp"))


def test_a_training_without_torch_does_not_wait_for_it(tmp_path: Path) -> None:
    source = """\
import sys, raysweep
NAME = "to" + "rch"  # spelt out, a process would import it beforehand
def train(config):
    raysweep.report({"imported": float(NAME in sys.modules)})
    raysweep.report({"imported": float(NAME in sys.modules)})
"""
    (tmp_path / "light.py").write_text(source)
    content = {
        "name": "light",
        "trainable": "light.py:train",
        "metric": {"name": "imported", "goal": "minimize"},
        "parameters": {"x": 1},
    }
    (trial,) = raysweep.run(
        check(content, "test"), runs=tmp_path, directory=tmp_path, options=RunOptions(isolate=True)
    ).trials
    assert [report.metrics["imported"] for report in trial.reports] == [0.0, 0.0]
