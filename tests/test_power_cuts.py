"""Power cuts: whatever was told is there afterwards, and no command fails for what is not."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raysweep.driver.sweep import reopen
from raysweep.plan.reconciliation import reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import Trial, plan
from raysweep.results.reading import read
from raysweep.results.trial import TrialResult
from raysweep.store import lease
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import State, TrialError
from raysweep.sweepfile.members import Metric, Resources
from raysweep.transfer.mirror import Here, Mirror, place
from raysweep.transfer.receiver import Receiver
from raysweep.worker.ending import Ending
from raysweep.worker.recording import Recording
from tests.fake_disk import FakeDisk
from tests.sweeps import spec
from tests.test_mirror import Direct

CUTS = 1000
EPOCHS = 4
SWEEP = spec({"x": [1, 2, 3], "epochs": EPOCHS})
TRIALS = plan(SWEEP)
RUN = Run(Reference("train.py:train", Path()), None, Metric(name="loss", goal="minimize"), {}, 1, Resources(), 0)
CONTENT = SWEEP.model_dump(mode="json", by_alias=True, exclude_unset=True)


@dataclass
class Told:
    """What was said to be on the disk: how many runs, and of each trial so many reports, and how it ended."""

    runs: int = 0
    reports: dict[str, int] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)


def source(aside: Path, epoch: int) -> Path:
    """A checkpoint of two files, before it is saved."""
    made = aside / f"source{epoch}"
    if not made.exists():
        (made / "part").mkdir(parents=True)
        (made / "weights").write_bytes(bytes([epoch]) * 300)
        (made / "part" / "state").write_bytes(bytes([epoch]) * 30)
    return made


def is_whole(checkpoint: Path, epoch: int) -> bool:
    files = {str(path.relative_to(checkpoint)): path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    return files == {"weights": bytes([epoch]) * 300, "part/state": bytes([epoch]) * 30}


def train(trial: Trial, where: Here, aside: Path, told: Told) -> None:
    """What a worker and its trial's process write, in their order; the last trial fails."""
    where.open()
    recording = Recording(RUN, trial, where.folder)
    where.written()
    told.reports[trial.id] = recording.reports.epoch
    fails_after = 3 if trial.config["x"] == 3 else EPOCHS
    for epoch in range(recording.reports.epoch + 1, fails_after + 1):
        checkpoint = recording.save_checkpoint(source(aside, epoch)) if epoch % 2 == 0 else None
        recording.add({"loss": trial.config["x"] / epoch}, 1.0, checkpoint)
        where.reported(checkpoint is not None)
        if checkpoint or not isinstance(where, Mirror):  # a copy's other reports are sent in their own time
            told.reports[trial.id] = epoch
    error = TrialError("ValueError", "no luck")
    recording.end(Ending.failed(error) if fails_after < EPOCHS else Ending.complete(recording.reports))
    where.written()
    told.reports[trial.id], told.states[trial.id] = recording.reports.epoch, recording.record.state
    recording.close()
    where.close()


Places = Callable[[Path], Here]


def run(store: RunDirectory, places: Places, aside: Path, told: Told) -> None:
    """What a run does, with the real records and without Ray."""
    store.create()
    with store.lock():
        before = store.earlier()["runs"]
        todo = reconcile(SWEEP, TRIALS, store).missing()
        store.write_sweep(CONTENT, [*before, {"pid": 1}])
        told.runs = len(before) + 1
        reopen(todo, frozenset(), None)
        for standing in todo:
            train(standing.trial, places(standing.folder.path), aside, told)
        store.remove_scratch()


def here(store: RunDirectory, aside: Path) -> Places:
    """Workers that see the run directory."""
    return lambda folder: place(folder, None)


def elsewhere(store: RunDirectory, aside: Path) -> Places:
    """Workers on nodes that do not."""
    numbers = itertools.count()
    receiver = Receiver(str(store.path))
    return lambda folder: Mirror(
        TrialFolder(aside / f"copy{next(numbers)}" / folder.name), Direct(receiver, folder.name)
    )


def check(store: RunDirectory, told: Told, aside: Path) -> None:
    """See that all that was told is there, and that what was under way costs no more than its repetition."""
    if told.runs:
        assert len(store.sweep()["runs"]) >= told.runs
        for trial in read(store).trials:
            look(trial, told)
    again = Told()
    run(store, here(store, aside), aside, again)
    results = read(store)
    assert [trial.state for trial in results.trials] == [State.DONE, State.DONE, State.FAILED]
    assert [[r.epoch for r in trial.reports] for trial in results.trials] == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3]]
    assert not results.problems
    assert not again.reports.keys() & told.states.keys(), "a trial that had ended was trained again"


def look(trial: TrialResult, told: Told) -> None:
    reports = told.reports.get(trial.id, 0)
    assert [r.epoch for r in trial.reports[:reports]] == list(range(1, reports + 1))
    assert all(r.metrics["loss"] == trial.config["x"] / r.epoch for r in trial.reports)
    assert trial.state is told.states.get(trial.id, trial.state)
    if trial.id in told.states:
        assert logged(trial.path) == [r.epoch for r in trial.reports]
    last = [r for r in trial.reports[:reports] if r.checkpoint]
    if last:
        assert any(is_whole(trial.path / f"checkpoint_{epoch:06d}", epoch) for epoch in (last[-1].epoch, EPOCHS))


def logged(folder: Path) -> list[int]:
    """The epochs whose metric is in the event file."""
    return [event.step for event in EventAccumulator(str(folder)).Reload().Scalars("loss")]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of files are written and removed."""
    base = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=base if os.access(base, os.W_OK) else None) as folder:
        yield Path(folder)


def survived(places: Callable[[RunDirectory, Path], Places], memory: Path, rate: float, seed: int) -> int:
    """So many cuts at each moment of a run; after each of them the same command goes on, and comes to the end.

    Returns:
        How many cuts there were.
    """
    chance, told = random.Random(seed), Told()
    root, aside = memory / f"disk{seed}", memory / f"aside{seed}"
    root.mkdir()
    aside.mkdir()
    store, disk = RunDirectory(root / "sweep"), FakeDisk(root)
    cuts: list[tuple[Path, Told]] = []

    def cut() -> None:
        for _ in range(int(rate + chance.random())):
            cuts.append((memory / f"cut{seed}-{len(cuts)}", deepcopy(told)))
            disk.cut(cuts[-1][0], chance)

    with disk.watching(cut):
        run(store, places(store, aside), aside, told)
        read(store).write()
    disk.close()
    with (
        mock.patch.object(lease, "SETTLING", 0.0),  # nobody else takes over,
        mock.patch.object(lease, "TERM", -1.0),  # and a minute has gone by
        mock.patch.object(os, "fsync"),  # there are no more cuts
        mock.patch.object(os, "fdatasync"),
    ):
        for path, known in cuts:
            check(RunDirectory(path / "sweep"), known, aside)
            shutil.rmtree(path)
    return len(cuts)


@pytest.mark.parametrize("places", [here, elsewhere])
def test_nothing_told_is_lost(places: Callable[[RunDirectory, Path], Places], memory: Path) -> None:
    assert survived(places, memory, 0.2, seed=0) > 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_told_is_lost_in_1000_power_cuts(memory: Path) -> None:
    count, seed = 0, 1
    while count < CUTS:
        count += sum(survived(places, memory, 1, seed + k) for k, places in enumerate((here, elsewhere)))
        seed += 2
    print(f"{count} power cuts survived")
