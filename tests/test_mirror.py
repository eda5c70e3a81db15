"""Mirroring a trial's folder: in whichever moment it ends, the head's folder is one to go on from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import StoreError
from raysweep.store.claim import SupersededError
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.lock import lock
from raysweep.store.records import Report, State, TrialRecord
from raysweep.transfer import mirror as mirror_module
from raysweep.transfer import receiver as head_module
from raysweep.transfer.mirror import Here, Mirror
from raysweep.transfer.receiver import Bytes, Line, Receiver

TRIAL = "x=1-0123456789"


class Direct(Line):
    """Calls the head in this process; `calls` of them, and then no more."""

    def __init__(self, head: Receiver, trial: str = TRIAL, calls: int = 10**9) -> None:
        self.attempt = os.urandom(16).hex()
        self._head = head
        self._trial = trial
        self._left = calls

    def _send(self, call: tuple[Any, ...]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise StoreError("the head does not answer")
        return getattr(self._head, call[0])(*call[1:])

    def _wait(self, call: tuple[Any, ...], answer: Any) -> Any:
        return answer


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "sweep")
    directory.create()
    directory.mark("head")
    return directory


class Attempts:
    """Attempts at one trial, each on a node of its own, that write to one head."""

    def __init__(self, run: RunDirectory, folder: Path) -> None:
        self.run = run
        self.head = Receiver(str(run.path))
        self.folder = folder
        self.count = 0

    def new(self, calls: int = 10**9) -> Mirror:
        self.count += 1
        return Mirror(TrialFolder(self.folder / f"node{self.count}" / "copy" / TRIAL), Direct(self.head, calls=calls))

    @property
    def there(self) -> TrialFolder:
        """The trial's folder on the head."""
        return self.run.trial(TRIAL)


@pytest.fixture
def attempts(run: RunDirectory, tmp_path: Path) -> Attempts:
    return Attempts(run, tmp_path)


def record(state: State) -> TrialRecord:
    return TrialRecord(TRIAL, TRIAL, "train.py:train", {"x": 1}, state)


def checkpoint(folder: Path, epoch: int, size: int = 100) -> Path:
    """A checkpoint's files, before they are saved."""
    source = folder / f"source{epoch}"
    (source / "part").mkdir(parents=True)
    (source / "part" / "empty").touch()
    (source / "weights").write_bytes(bytes([epoch]) * size)
    return source


def train(mirror: Mirror, folder: Path, epochs: Iterable[int], size: int = 100) -> None:
    """Write what a recording writes."""
    mirror.folder.write(record(State.RUNNING))
    mirror.written()
    for epoch in epochs:
        name = f"checkpoint_{epoch:06d}"
        mirror.folder.save_checkpoint(checkpoint(folder, epoch, size), name)
        with mirror.folder.result_file.open("a") as file:
            file.write(Report(epoch, 0.0, 1.0, float(epoch), {"loss": 1 / epoch}, name).to_json() + "\n")
        mirror.folder.prune_checkpoints([name])
        mirror.reported(with_checkpoint=True)
    mirror.folder.write(record(State.DONE))
    mirror.written()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_heads_folder_is_a_copy(attempts: Attempts, tmp_path: Path) -> None:
    mirror = attempts.new()
    mirror.open()
    train(mirror, tmp_path, [1, 2, 3])
    assert contents(attempts.there.path) == contents(mirror.folder.path)
    copy = mirror.folder.path
    mirror.close()
    assert not copy.exists()


def test_files_of_many_chunks(attempts: Attempts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (head_module, mirror_module):
        monkeypatch.setattr(module, "CHUNK", 7)
    mirror = attempts.new()
    mirror.open()
    (mirror.folder.path / "large.bin").write_bytes(bytes(range(100)))
    train(mirror, tmp_path, [1], size=50)
    assert contents(attempts.there.path) == contents(mirror.folder.path)
    mirror.close()
    again = attempts.new()
    again.open()
    assert contents(attempts.there.path) == contents(again.folder.path)
    again.close()


def test_what_is_deleted_and_rewritten_here_is_so_there(attempts: Attempts, tmp_path: Path) -> None:
    mirror = attempts.new()
    mirror.open()
    train(mirror, tmp_path, [1, 2])
    mirror.folder.keep_reports(mirror.folder.reports()[:1])
    mirror.folder.error_file.write_text("no luck")
    mirror.written()
    assert [report.epoch for report in attempts.there.reports()] == [1]
    mirror.folder.clear()
    mirror.written()
    assert contents(attempts.there.path).keys() == {"trial.json"}
    mirror.close()


def test_the_driver_may_end_a_trial(attempts: Attempts, tmp_path: Path) -> None:
    """A scheduler's decision, which the driver records on the head, is read there and not overwritten."""
    mirror = attempts.new()
    mirror.open()
    mirror.folder.write(record(State.RUNNING))
    mirror.written()
    attempts.there.write(record(State.STOPPED))
    assert mirror.record() == record(State.STOPPED)
    (mirror.folder.path / "output.log").write_text("bye")
    mirror.close()
    assert attempts.there.record() == record(State.STOPPED)
    assert attempts.there.output_file.read_text() == "bye"


def test_an_attempt_that_was_superseded_cannot_write(attempts: Attempts, tmp_path: Path) -> None:
    first, second = attempts.new(), attempts.new()
    first.open()
    train(first, tmp_path, [1])
    second.open()
    before = contents(attempts.there.path)
    with pytest.raises(SupersededError, match="another attempt"):
        train(first, tmp_path, [2])
    assert contents(attempts.there.path) == before
    train(second, tmp_path, [3])
    second.close()
    with pytest.raises(SupersededError):
        train(first, tmp_path, [4])
    first.close()


def test_one_attempt_here_and_one_elsewhere(attempts: Attempts, tmp_path: Path) -> None:
    remote = attempts.new()
    remote.open()
    here = Here(attempts.there, Direct(attempts.head))
    here.open()
    remote.folder.write(record(State.DONE))
    with pytest.raises(SupersededError):
        remote.written()
    remote.close()
    assert attempts.there.record() is None


def test_a_head_that_was_started_again_knows_the_attempts(attempts: Attempts, tmp_path: Path) -> None:
    first, second = attempts.new(), attempts.new()
    first.open()
    second.open()
    attempts.head._let_go(TRIAL)  # as the end of its process does
    for mirror in (first, second):
        mirror._head._head = Receiver(str(attempts.run.path))
    train(second, tmp_path, [1])
    with pytest.raises(StoreError):
        train(first, tmp_path, [2])
    second.close()


def test_nothing_outside_the_folder_can_be_named(attempts: Attempts) -> None:
    mirror = attempts.new()
    mirror.open()
    nothing: Bytes = mirror._head.chunk("missing", 0)
    assert not len(nothing)
    for path in ("../sweep.json", "/etc/passwd", "a/../../b"):
        with pytest.raises(PermissionError, match="outside"):
            mirror._head.chunk(path, 0)
    mirror.close()


def test_copies_of_killed_workers_are_removed(attempts: Attempts) -> None:
    mirror = attempts.new()
    killed, alive = (mirror.folder.path.parent.parent / name for name in ("killed", "alive"))
    for path in (killed, alive):
        path.mkdir(parents=True)
        (path / "weights").touch()
        os.utime(path, (0, 0))
    handle = lock(alive)
    mirror.open()
    assert not killed.exists()
    assert alive.exists()
    os.close(handle)
    mirror.close()


@given(calls=st.integers(1, 60))
def test_it_can_end_at_any_moment(tmp_path_factory: pytest.TempPathFactory, calls: int) -> None:
    folder = tmp_path_factory.mktemp("ends")
    run = RunDirectory(folder / "sweep")
    run.create()
    run.mark("head")
    attempts = Attempts(run, folder)
    mirror = attempts.new(calls)
    try:
        mirror.open()
        train(mirror, folder, range(1, 5))
        ended = True
    except StoreError:
        ended = False
    there = attempts.there
    reports = there.reports()
    if reports:  # the last report's checkpoint is there, and whole
        last = there.path / str(reports[-1].checkpoint)
        assert contents(last) == {"part/empty": b"", "weights": bytes([reports[-1].epoch]) * 100}
    done = there.record() if there.path.exists() else None
    assert (done is not None and done.state is State.DONE) is ended
    again = attempts.new()
    again.open()
    assert [report.epoch for report in again.folder.reports()] == [report.epoch for report in reports]
    again.close()
    mirror._head = Direct(attempts.head)
    mirror.close()
