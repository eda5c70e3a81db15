"""What a worker makes of an attempt that cannot be recorded: the trial's own failure, or the end of the sweep."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysweep.driver.listener import Listener
from raysweep.driver.progress import Progress
from raysweep.errors import StoreError
from raysweep.plan.reconciliation import Standing, reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import plan
from raysweep.store.directory import RunDirectory
from raysweep.store.lease import LEASE, TakenOverError
from raysweep.store.records import State, TrialRecord
from raysweep.sweepfile.members import Metric, Resources
from raysweep.transfer.receiver import UnreachableError
from raysweep.worker import attempt as attempt_module
from raysweep.worker.attempt import Attempt
from raysweep.worker.process import DiedError, Process
from tests.sweeps import spec

SWEEP = spec({"x": [1]})
RUN = Run(Reference("train.py:train", Path()), None, Metric(name="loss", goal="minimize"), {}, 1, Resources(), 0)


@pytest.fixture
def standing(store: RunDirectory) -> Standing:
    return reconcile(SWEEP, plan(SWEEP), store).standings[0]


def never() -> Process:
    raise AssertionError("no process is started")


def raising(error: Exception) -> Callable[..., Any]:
    def place(*arguments: object) -> Any:
        raise error

    return place


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnreachableError("x=1: the head does not answer: timeout"), "UnreachableError: x=1: the head does not answer"),
        (OSError(errno.EMFILE, "Too many open files"), "OSError: [Errno 24] Too many open files"),
    ],
)
def test_what_concerns_this_attempt_is_tried_again_elsewhere(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, told: str
) -> None:
    monkeypatch.setattr(attempt_module, "place", raising(error))
    with pytest.raises(DiedError) as died:
        Attempt(RUN, standing, never, tmp_path, {}).advance()
    assert str(died.value).startswith(told)


def test_what_concerns_all_trials_ends_the_sweep(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attempt_module, "place", raising(StoreError("the disk is gone; see to the disk")))
    told = Attempt(RUN, standing, never, tmp_path, {}).advance()
    assert (told.state, told.fault) == (State.INTERRUPTED, "the disk is gone; see to the disk")


def test_an_attempt_of_a_run_that_was_taken_over_does_not_begin(
    store: RunDirectory, standing: Standing, tmp_path: Path
) -> None:
    run = Run(**{**vars(RUN), "lease": "ours"})
    with store.lock():  # by another
        told = Attempt(run, standing, never, tmp_path, {}).advance()
    assert told.fault is not None and "another run has taken over" in told.fault
    assert not standing.folder.path.exists()


class Ended:
    """A trial of Tune's that was lost for good."""

    def __init__(self, standing: Standing, error_file: Path) -> None:
        self.config, self.error_file = {"trial": standing.trial.id}, str(error_file)
        error_file.write_text("raysweep.worker.process.DiedError: UnreachableError: the head does not answer")


@pytest.fixture
def progress(standing: Standing) -> Progress:
    made = Progress()
    made.planned(SWEEP, SimpleNamespace(standings=[standing], counts=dict), 1)  # type: ignore[arg-type]  # all it needs
    made.started(standing.trial)
    return made


def lose(progress: Progress, standing: Standing, tmp_path: Path) -> None:
    Listener(progress, {standing.trial.id: standing}, {}, None).on_trial_error(
        1, [], Ended(standing, tmp_path / "error")
    )


@pytest.mark.parametrize("before", [None, State.RUNNING, State.INTERRUPTED])
def test_a_trial_that_could_not_be_recorded_has_failed_with_the_reason(
    progress: Progress, standing: Standing, tmp_path: Path, before: State | None
) -> None:
    trial = standing.trial
    if before is not None:
        standing.folder.write(TrialRecord(trial.id, trial.name, "train.py:train", trial.config, before))
    lose(progress, standing, tmp_path)
    record = standing.folder.record()
    assert record is not None
    assert (record.state, str(record.error)) == (State.FAILED, "UnreachableError: the head does not answer")
    assert progress.fault is None and progress.counts[State.FAILED] == 1


def test_a_record_that_is_damaged_meanwhile_is_set_aside(
    progress: Progress, standing: Standing, tmp_path: Path
) -> None:
    standing.folder.create()
    (standing.folder.path / "trial.json").write_text("{")
    lose(progress, standing, tmp_path)
    record = standing.folder.record()
    assert record is not None and record.state is State.FAILED
    assert Path(f"{standing.folder.path}.unreadable-1", "trial.json").read_text() == "{"
    assert progress.fault is None


def test_a_driver_that_cannot_write_ends_the_sweep_and_says_why(
    progress: Progress, standing: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    lose(progress, standing, tmp_path)
    run = standing.folder.path.parent
    assert progress.fault == f"{run}: cannot be written: No space left on device; make room"
    assert progress.waiting == 1  # for the next run


def test_a_driver_that_was_taken_over_writes_nothing_and_says_so(
    store: RunDirectory, progress: Progress, tmp_path: Path
) -> None:
    with store.lock() as lease:
        ours = RunDirectory(store.path, lease.check)
        (standing,) = reconcile(SWEEP, plan(SWEEP), ours).standings
        store.write_attempt(standing.trial.name, "of theirs")
        (store.path / LEASE).write_text((store.path / LEASE).read_text().replace(lease.holder.token, "theirs"))
        with pytest.raises(TakenOverError):
            ours.write_sweep({}, [])
        lose(progress, standing, tmp_path)
        assert progress.fault is not None and "another run has taken over" in progress.fault
        assert store.attempt(standing.trial.name) == "of theirs"
        assert not standing.folder.path.exists()
