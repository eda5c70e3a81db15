"""`stop` reaches the run that is at work, whenever it is asked, and no other process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from raysweep.cli import work
from raysweep.cli.program import main
from raysweep.store.directory import RunDirectory
from raysweep.store.journal import logged
from raysweep.store.lease import LEASE, Holder
from raysweep.store.process import started


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    """A run directory that has been used before, and is at work now."""
    store = RunDirectory(tmp_path / "runs" / "sweep")
    store.create()
    with logged({"name": "sweep"}, store, tmp_path):
        pass
    with store.lock():
        yield store


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with a sweep."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def stop(run: RunDirectory) -> int:
    return main(["stop", "sweep", "--runs", str(run.path.parent)])


def test_a_run_that_has_not_yet_begun_its_journal_is_asked_all_the_same(run: RunDirectory, tmp_path: Path) -> None:
    run.request_stop()  # of a run that was killed
    codes: list[int] = []
    asking = threading.Thread(target=lambda: codes.append(stop(run)))
    asking.start()
    time.sleep(0.5)
    assert not codes
    with logged({"name": "sweep"}, run, tmp_path):
        asking.join()
        assert codes == [0] and run.stop_requested()
    assert not run.stop_requested()


def test_a_run_that_never_says_that_it_began_is_named(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PATIENCE", 0.2)
    assert stop(run) == 2
    assert "a run is just starting here, or ending; try again" in capsys.readouterr().err
    assert not run.stop_requested()


def at_work(run: RunDirectory, pid: int, changed: Mapping[str, object] = MappingProxyType({})) -> None:
    """Have the run be at work in that process, as it says itself."""
    holder = {**asdict(replace(Holder.me(), pid=pid, process=started(pid) or "")), **changed}
    (run.path / LEASE).write_text(json.dumps(holder))
    run.write_sweep({"name": "sweep"}, [{**holder, "ended": None}])


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"process": "another/1"}, id="of another process, which had the number before"),
        pytest.param({"process": ""}, id="that cannot be told"),
        pytest.param({"numbering": "another/pid:[1]"}, id="of another container, where the number is another's"),
        pytest.param({"host": "far"}, id="on another machine"),
        pytest.param({"pid": "1"}, id="of no number"),
        pytest.param({"pid": -1}, id="of all processes"),
    ],
)
def test_a_second_stop_ends_no_other_process(
    run: RunDirectory,
    sleeper: subprocess.Popen[bytes],
    changed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "PATIENCE", 0.2)
    at_work(run, sleeper.pid, changed)
    run.request_stop()
    assert stop(run) == 2
    assert str(run.path) in capsys.readouterr().err
    time.sleep(0.2)
    assert sleeper.poll() is None


def test_a_second_stop_ends_the_run(run: RunDirectory, sleeper: subprocess.Popen[bytes]) -> None:
    at_work(run, sleeper.pid)
    assert (stop(run), sleeper.poll()) == (0, None)
    assert stop(run) == 0
    assert sleeper.wait(30) != 0


def test_a_process_is_known_by_its_start(sleeper: subprocess.Popen[bytes]) -> None:
    here = started(os.getpid())
    assert here is not None and here == started(os.getpid())
    assert started(sleeper.pid) not in (here, None)
    sleeper.kill()
    sleeper.wait()
    assert started(sleeper.pid) is None


def test_a_run_on_another_machine_that_says_nothing_yet_is_waited_for(
    run: RunDirectory, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's last entry is that of a run that was killed there."""
    monkeypatch.setattr(work, "PATIENCE", 0.2)
    at_work(run, sleeper.pid)
    run.write_sweep({"name": "sweep"}, [{"pid": 42, "host": "far", "process": "x/1", "numbering": "x", "ended": None}])
    assert stop(run) == 2
    assert not run.stop_requested()
