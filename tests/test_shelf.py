"""Data that trials share: processes that meet in a directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raysweep.errors import TrainableError
from raysweep.training.reporting import TrialContext, running, shared
from raysweep.training.shelf import Shelf
from tests.fake_session import FakeSession

SIZE = 64_000_000  # bytes
HOLDER = """\
import os, sys, time
from pathlib import Path
from raysweep.training.shelf import Shelf
from tests.test_shelf import hold, load

data = Shelf(Path(sys.argv[1]), hold).get(load, (sys.argv[2], {size}), {{}})
assert int(data["images"].sum()) == {size}
if len(sys.argv) > 3:
    data["images"][:] = 7
print("ready", flush=True)
time.sleep(600)
"""


def hold(name: str, handle: int) -> tuple[int, int]:
    """This process holds it itself."""
    return os.getpid(), os.dup(handle)


def load(log: str, size: int) -> dict[str, Any]:
    """An array of ones; that it was loaded is written down."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return {"images": np.ones(size, np.uint8), "classes": ("a", "b")}


def fail() -> None:
    raise ValueError("no such data")


class Processes:
    """Processes that hold the data."""

    def __init__(self, folder: Path) -> None:
        self.shelf, self.log = folder / "shelf", folder / "log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER.format(size=SIZE), str(self.shelf), str(self.log), *arguments]
        self.started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self.started[-1]

    def ready(self, *arguments: str) -> int:
        process = self.start(*arguments)
        wait_until_ready(process)
        return process.pid

    def loads(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()]


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def memory(process: subprocess.Popen[str], shelf: Path) -> int:
    """A process's proportional share of what is mapped from the shelf, in bytes."""
    lines = Path(f"/proc/{process.pid}/smaps").read_text().splitlines()
    mapped, share = False, 0
    for line in lines:
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            mapped = str(shelf) in line
        elif mapped and line.startswith("Pss:"):
            share += int(line.split()[1]) * 1024
    return share


def test_it_is_loaded_once_and_in_memory_once(processes: Processes) -> None:
    several = [processes.start() for _ in range(3)]
    for process in several:
        wait_until_ready(process)
    assert len(processes.loads()) == 1
    together = sum(memory(process, processes.shelf) for process in several)
    assert together == pytest.approx(SIZE, rel=0.05)


def test_it_outlives_the_process_that_loaded_it(processes: Processes) -> None:
    first = processes.ready()
    second = processes.ready()
    os.kill(first, signal.SIGKILL)
    processes.started[0].wait()
    processes.ready()
    assert processes.loads() == [first]
    for process in processes.started[1:]:
        process.kill()
        process.wait()
    assert processes.ready() != second
    assert len(processes.loads()) == 2  # it had gone with the last process


def test_a_process_that_is_killed_while_it_loads(processes: Processes) -> None:
    os.mkfifo(processes.log)  # so that loading waits here
    first = processes.start()
    while not processes.shelf.is_dir() or not any(processes.shelf.iterdir()):
        time.sleep(0.01)
    first.kill()
    first.wait()
    processes.log.unlink()
    second = processes.ready()
    assert processes.loads() == [second]


def test_what_a_process_writes_is_its_own(processes: Processes) -> None:
    processes.ready("write")
    processes.ready()  # which finds ones
    assert len(processes.loads()) == 1


@pytest.mark.parametrize(
    "data",
    [
        torch.arange(6, dtype=torch.float32).reshape(2, 3),
        torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).t(),
        torch.tensor([True, False]),
        torch.tensor(3.5, dtype=torch.float64),
        torch.zeros(0, 5),
        torch.complex(torch.ones(2), torch.ones(2)),
        torch.ones(3, requires_grad=True),
        np.arange(6, dtype=">i4").reshape(2, 3).T,
        np.array(["a", "bc"]),
        np.array([], np.float32),
        None,
    ],
)
def test_data_comes_back_as_it_was(data: object, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, hold)
    for _ in range(2):
        found = shelf.get(lambda: (data, "text"), (), {})
        assert repr(found) == repr((data, "text"))


def test_trials_of_one_process_do_not_see_each_others_writes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, hold)
    one = shelf.get(torch.ones, (3,), {})
    one += 1
    assert shelf.get(torch.ones, (3,), {}).tolist() == [1, 1, 1]
    assert one.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("other", "arguments"), [(np.zeros, (3,)), (np.ones, (4,)), (lambda size: np.ones(size) * 2, (3,))]
)
def test_other_functions_and_arguments_are_other_data(
    other: Callable[..., Any], arguments: tuple[int], tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path, hold)
    shelf.get(np.ones, (3,), {})
    assert shelf.get(other, arguments, {}).tolist() == other(*arguments).tolist()


def test_loading_may_fail_and_be_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, hold)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such data"):
            shelf.get(fail, (), {})


def test_what_cannot_be_pickled(tmp_path: Path) -> None:
    with pytest.raises(TrainableError, match=r"shared\(\): what was loaded cannot be pickled"):
        Shelf(tmp_path, hold).get(lambda: (one for one in "abc"), (), {})


def test_outside_a_sweep_it_just_loads(tmp_path: Path) -> None:
    data = shared(load, str(tmp_path / "log"), size=3)
    assert data["images"].tolist() == [1, 1, 1]


def test_in_a_trial_it_is_on_the_shelf(tmp_path: Path) -> None:
    log = tmp_path / "log"
    session = FakeSession(tmp_path)
    trial = TrialContext("one", tmp_path, None, session, shelf=Shelf(tmp_path / "shelf", hold))  # type: ignore[arg-type]
    with running(trial):
        for _ in range(2):
            assert shared(load, str(log), size=3)["classes"] == ("a", "b")
    assert len(log.read_text().split()) == 1
