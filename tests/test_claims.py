"""Who may write: one run and one attempt, on whatever machine, where the disk's locks keep nobody out."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from raysweep.errors import StoreError
from raysweep.plan.reconciliation import reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import plan
from raysweep.store import lease
from raysweep.store.claim import SupersededError
from raysweep.store.directory import RunDirectory
from raysweep.store.lease import TakenOverError
from raysweep.store.records import State
from raysweep.sweepfile.members import Metric, Resources
from raysweep.transfer.mirror import Here, place
from raysweep.worker.ending import Ending
from raysweep.worker.recording import Recording
from tests.sweeps import spec

SWEEP = spec({"x": [1], "epochs": 3})
(TRIAL,) = plan(SWEEP)
RUN = Run(Reference("train.py:train", Path()), None, Metric(name="loss", goal="minimize"), {}, 1, Resources(), 0)
TERM = 2.0  # seconds


def no_lock(handle: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def machine(name: str, path: Path, pipe: Connection[Any, Any]) -> None:
    """A process that believes to be a machine of its own, and does what it is asked to."""
    believes = (
        mock.patch.object(platform, "node", lambda: name),
        mock.patch.object(lease, "numbering", lambda: name),
        mock.patch.object(fcntl, "flock", no_lock),
        mock.patch.object(lease, "TERM", TERM),
        mock.patch.object(lease, "RENEWAL", TERM / 5),
    )
    for patch in believes:
        patch.start()
    work = Work(RunDirectory(path))
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        try:
            pipe.send(getattr(work, asked[0])(*asked[1:]))
        except Exception as error:
            pipe.send(error)


class Work:
    """What one machine does in a run directory."""

    def __init__(self, store: RunDirectory) -> None:
        self.store = store

    def lock(self) -> str:
        """Begin a run; returns the token of its lease."""
        self.block = self.store.lock()
        self.lease = self.block.__enter__()
        self.store = RunDirectory(self.store.path, self.lease.check)
        return self.lease.holder.token

    def lock_patiently(self) -> str:
        """As `lock`, waiting for a sign of life of another machine; returns what was told of that."""
        told: list[str] = []
        self.block = self.store.lock(told.append)
        self.lease = self.block.__enter__()
        return " ".join(told)

    def sleep(self) -> None:
        """Give no sign of life from now on, as a machine does that hangs."""
        mock.patch.object(os, "utime", lambda *_: None).start()

    def end(self) -> None:
        self.block.__exit__(None, None, None)

    def journal(self) -> None:
        self.store.write_sweep(SWEEP.model_dump(mode="json", exclude_unset=True), [{"pid": 1, "host": platform.node()}])

    def begin(self, token: str) -> None:
        """Begin an attempt at the trial, as a worker does."""
        self.place: Here = place(self.store.trial(TRIAL.name).path, None, token)
        self.place.open()
        self.recording = Recording(RUN, TRIAL, self.place.folder)

    def report(self) -> int:
        return self.recording.add({"loss": 1.0}, 1.0, None).epoch

    def save(self) -> str:
        source = self.store.path.parent / "source"
        source.mkdir(exist_ok=True)
        return self.recording.save_checkpoint(source)

    def finish(self) -> None:
        self.recording.end(Ending.complete(self.recording.reports))

    def is_at_work(self) -> bool:
        return self.store.is_locked()

    def states(self) -> list[State]:
        at_work = self.store.is_locked()
        return [standing.state for standing in reconcile(SWEEP, plan(SWEEP), self.store, at_work).standings]


@dataclass
class Machine:
    """Another machine, which sees the same disk."""

    pipe: Connection[Any, Any]

    def __call__(self, *call: str) -> Any:
        self.pipe.send(call)
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def new(store: RunDirectory) -> Iterator[Callable[[str], Machine]]:
    context, all_of_them = get_context("spawn"), []

    def made(name: str) -> Machine:
        here, there = context.Pipe()
        child = context.Process(target=machine, args=(name, store.path, there), daemon=True)
        child.start()
        all_of_them.append((here, child))
        assert here.recv() == "ready"
        return Machine(here)

    yield made
    for here, child in all_of_them:
        here.send(None)
        child.join()


def contents(store: RunDirectory) -> dict[str, bytes]:
    """All that counts of the trial."""
    folder = store.trial(TRIAL.name).path
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if "tfevents" not in name}


@pytest.mark.parametrize("step", ["report", "save", "finish"])
def test_a_run_that_was_taken_over_writes_nothing_that_counts(
    store: RunDirectory, new: Callable[[str], Machine], step: str
) -> None:
    one, other = new("one"), new("other")
    token = one("lock")
    one("begin", token)
    assert one("report") == 1
    one("sleep")
    with pytest.raises(StoreError, match=r"another run is at work here \(process \d+ on one\); wait for it"):
        other("lock")
    time.sleep(TERM + 0.5)
    assert not other("is_at_work")
    other("begin", other("lock"))
    assert other("report") == 1
    other("journal")
    before, journal = contents(store), store.sweep()
    for attempted in (step, "journal"):
        with pytest.raises(TakenOverError, match=r"another run has taken over \(process \d+ on other\)"):
            one(attempted)
    one("end")
    assert (contents(store), store.sweep()) == (before, journal)
    assert other("report") == 2
    other("finish")
    assert other("states") == [State.DONE]
    record = store.trial(TRIAL.name).record()
    assert record is not None and record.host == "other"


@pytest.mark.parametrize("step", ["report", "save", "finish"])
def test_an_attempt_that_was_superseded_writes_nothing_that_counts(
    store: RunDirectory, new: Callable[[str], Machine], step: str
) -> None:
    """Of one run, whose driver has given a worker up; its machine was only unplugged for a while."""
    one, other = new("one"), new("other")
    with store.lock() as held:
        one("begin", held.holder.token)
        assert one("report") == 1
        other("begin", held.holder.token)
        assert other("report") == 1
        before = contents(store)
        with pytest.raises(SupersededError, match="another attempt at this trial has begun"):
            one(step)
        assert contents(store) == before
        other("finish")
    assert [standing.state for standing in reconcile(SWEEP, plan(SWEEP), store).standings] == [State.DONE]


def test_what_is_left_of_a_run_that_has_ended_writes_nothing_that_counts(
    store: RunDirectory, new: Callable[[str], Machine]
) -> None:
    one = new("one")
    with store.lock() as held:
        one("begin", held.holder.token)
    before = contents(store)
    with pytest.raises(TakenOverError, match="sweep: the run that this is part of has ended"):
        one("report")
    with store.lock(), pytest.raises(TakenOverError):
        one("report")
    assert contents(store) == before


def test_of_a_directory_that_is_gone_the_cure_is_told(store: RunDirectory) -> None:
    with store.lock() as held:
        shutil.rmtree(store.path)
        with pytest.raises(TakenOverError, match=r"sweep: cannot be written: No such file .*; put the directory back"):
            held.check()


def test_a_run_at_work_is_seen_from_everywhere(store: RunDirectory, new: Callable[[str], Machine]) -> None:
    one, other = new("one"), new("other")
    one("begin", one("lock"))
    time.sleep(2 * TERM)  # it gives signs of life
    assert (other("is_at_work"), other("states")) == (True, [State.RUNNING])
    with pytest.raises(StoreError, match=r"another run is at work here \(process \d+ on one\)"):
        other("lock")
    one("end")
    assert (other("is_at_work"), other("states")) == (False, [State.INTERRUPTED])


def test_a_machine_that_may_be_lost_is_waited_for(store: RunDirectory, new: Callable[[str], Machine]) -> None:
    """Such as this one, before its power was cut: its number is another's now."""
    one, other = new("one"), new("other")
    one("lock")
    with pytest.raises(StoreError, match="another run is at work"):
        other("lock_patiently")
    one("sleep")
    assert re.match(r"process \d+ on one has this run directory and cannot be seen", other("lock_patiently"))
    assert other("is_at_work")


def test_the_dead_of_this_machine_are_not_waited_for(store: RunDirectory, new: Callable[[str], Machine]) -> None:
    """Though another process has their number now; of another machine's nobody knows that they are dead."""
    one, other = new("one"), new("other")
    dead = lease.Holder("one", os.getpid(), "another/1", "one", "token")
    path, fresh = store.path / lease.LEASE, time.time() + 60  # however long it takes until somebody looks
    path.write_text(json.dumps(asdict(dead)))
    os.utime(path, (fresh, fresh))
    with pytest.raises(StoreError, match="another run is at work"):
        other("lock")
    assert (one("is_at_work"), other("is_at_work")) == (False, True)
    one("lock")
    assert other("is_at_work")
