"""`raysweep run` as a user sees it when things go wrong: processes of its own, killed, stopped, out of disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raysweep
from benchmarks import faults
from benchmarks.processes import MARK, end, marked, send
from raysweep.store.records import State

ROOT = Path(__file__).parent.parent
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root")


@dataclass
class Command:
    """The command line in a folder of its own."""

    folder: Path

    def grid(self, **parameters: Any) -> Path:
        content = {
            "name": "sweep",
            "trainable": f"{ROOT / 'tests/functions.py'}:counted",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"log": str(self.folder / "log"), **parameters},
            "untracked": ["log"],
        }
        path = self.folder / "sweep.json"
        path.write_text(json.dumps(content))
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT)}
        # in the background of a shell SIGINT is ignored, and this is inherited
        command = ["env", "--default-signal=INT", sys.executable, "-m", "raysweep", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def wait_for_epochs(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.epochs()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def epochs(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def states(self) -> Counter[State]:
        return Counter(trial.state for trial in raysweep.load("sweep", self.folder / "runs").trials)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_goes_on(command: Command, number: signal.Signals) -> None:
    grid = str(command.grid(x=[1, 2, 3], epochs=6, pause=0.3))
    process = command.start("run", grid)
    command.wait_for_epochs(5)
    sent = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 15  # a second or two where the machine is idle
    if number is not signal.SIGKILL:
        assert process.returncode == 130, err
        assert "interrupted; the state is saved, and the same command goes on" in err
    code, _, err = command.run("run", grid)
    assert code == 0, err
    assert command.states() == {State.DONE: 3}
    counts = Counter(command.epochs())
    assert counts.total() <= 18 + 2 and len(counts) == 18  # at most one epoch again for each running trial


@pytest.mark.slow
@pytest.mark.parametrize(("process", "path"), [("raylet", "/raylet/raylet"), ("gcs_server", "/gcs/gcs_server")])
def test_a_run_whose_ray_dies_ends_and_goes_on(
    command: Command, monkeypatch: pytest.MonkeyPatch, process: str, path: str
) -> None:
    monkeypatch.setenv(MARK, mark := uuid.uuid4().hex)
    grid = str(command.grid(x=[1, 2, 3], epochs=20, pause=0.3))
    run = command.start("run", grid)
    command.wait_for_epochs(4)
    (target,) = [pid for pid, line in marked(mark).items() if path in line]
    assert send(target, signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 3, err
    assert f"raysweep: Ray's {process} has died" in err and "Traceback" not in err
    end(mark, patience=30)
    assert command.run("run", grid)[0] == 0
    assert command.states() == {State.DONE: 3}
    assert len(set(command.epochs())) == 60


def test_stop_drains_and_a_second_stop_ends(command: Command) -> None:
    grid = str(command.grid(x=[1, 2, 3, 4], epochs=4, pause=1))
    process = command.start("run", grid)
    command.wait_for_epochs(1)
    assert command.run("status", "sweep")[1].count("x=") == 2
    code, out, _ = command.run("stop", "sweep")
    assert code == 0 and "running trials finish their epoch" in out
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert command.states() == {State.INTERRUPTED: 2, State.NEW: 2}

    process = command.start("run", str(command.grid(x=[1, 2], epochs=4, pause=30)))
    while "sweep: 2 running" not in command.run("status", "sweep")[2]:
        time.sleep(0.2)
    assert command.run("stop", "sweep")[0] == 0
    assert "ended process" in command.run("stop", "sweep")[1]
    process.communicate(timeout=30)
    assert process.returncode == 130
    code, _, err = command.run("stop", "sweep")
    assert code == 2 and "no run is at work here" in err


def test_a_second_run_is_refused_and_readers_are_not(command: Command) -> None:
    grid = str(command.grid(x=[1, 2], epochs=40, pause=1))
    process = command.start("run", grid)
    command.wait_for_epochs(2)
    began = time.monotonic()
    code, _, err = command.run("run", grid)
    assert code == 2 and f"another run is at work here (process {process.pid} on" in err
    assert time.monotonic() - began < 5
    assert command.run("plan", grid)[1].startswith("running")
    assert "running" in command.run("results", "sweep")[1]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_cut_off_line_is_trained_again(command: Command) -> None:
    grid = str(command.grid(x=[1], epochs=3))
    assert command.run("run", grid)[0] == 0
    folder = next((command.folder / "runs/sweep").glob("*-*"))
    record = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps({**record, "state": "running"}))
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text[:-20])
    assert [report.epoch for report in raysweep.load("sweep", command.folder / "runs").trials[0].reports] == [1, 2]
    # the checkpoint of epoch 2 is pruned, so the trial starts afresh; what it left is not mixed in
    assert command.run("run", grid)[0] == 0
    reports = raysweep.load("sweep", command.folder / "runs").trials[0].reports
    assert [report.metrics["loss"] for report in reports] == [1, 1 / 2, 1 / 3]


def test_a_directory_deleted_under_a_run_is_told(command: Command) -> None:
    process = command.start("run", str(command.grid(x=[1, 2], epochs=50, pause=0.2)))
    command.wait_for_epochs(2)
    shutil.rmtree(command.folder / "runs", ignore_errors=True)
    shutil.rmtree(command.folder / "runs", ignore_errors=True)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "cannot be written: No such file or directory" in err and "Traceback" not in err


@pytest.fixture
def small_disk(command: Command) -> Iterator[Callable[[str], None]]:
    """A disk of one megabyte under the runs; call it to mount it with other options."""
    runs = command.folder / "runs"
    runs.mkdir()
    mount = shutil.which("mount") or "mount"

    def remount(options: str) -> None:
        subprocess.run([mount, "-o", f"remount,{options}", str(runs)], check=True)

    subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)], check=True)
    try:
        yield remount
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", str(runs)], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_loses_nothing(command: Command, small_disk: Callable[[str], None]) -> None:
    assert command.run("run", str(command.grid(x=[1, 2], epochs=2)))[0] == 0
    before = raysweep.load("sweep", command.folder / "runs").frame()
    filler = command.folder / "runs/filler"
    with filler.open("wb") as file:
        file.truncate(0)
        left = shutil.disk_usage(filler).free
        file.write(b"x" * max(0, left - 16384))
    grid = str(command.grid(x=[1, 2, 3, 4], epochs=40))
    code, _, err = command.run("run", grid)
    assert code == 3 and "No space left on device" in err, err
    after = raysweep.load("sweep", command.folder / "runs").frame()
    kept = after[after["x"].isin([1, 2])]
    assert (kept["epoch"] >= 2).all() and len(before) == 2
    filler.unlink()
    small_disk("size=50m")
    assert command.run("run", grid)[0] == 0
    assert command.states() == {State.DONE: 4}


@pytest.mark.root
@needs_root
def test_a_read_only_disk_is_told_before_anything_starts(command: Command, small_disk: Callable[[str], None]) -> None:
    grid = str(command.grid(x=[1], epochs=1))
    assert command.run("run", grid)[0] == 0
    small_disk("ro")
    code, _, err = command.run("run", str(command.grid(x=[1, 2], epochs=1)))
    assert code == 2 and "cannot be written (Read-only file system)" in err
    assert command.run("results", "sweep")[0] == 0


@pytest.mark.slow
def test_a_killed_vision_training_gives_the_very_numbers(command: Command) -> None:
    grid = command.folder / "digits.json"
    content = json.loads((ROOT / "grid.json").read_text())
    content["parameters"] |= {"lr": 0.01, "batch_size": 16, "shuffle": True, "seed": [0, 1], "epochs": 8}
    content["parameters"]["network"] = "lenet_bn"
    grid.write_text(json.dumps(content))
    process = command.start("run", str(grid))
    results = command.folder / "runs/digits"
    while not any(len(path.read_text().splitlines()) >= 3 for path in results.glob("*/result.json")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert command.run("run", str(grid))[0] == 0
    assert command.run("run", str(grid), "--runs", "calm")[0] == 0
    disturbed = raysweep.load("digits", command.folder / "runs")
    assert any('"attempts": 2' in (trial.path / "trial.json").read_text() for trial in disturbed.trials)
    faults.check(disturbed, raysweep.load("digits", command.folder / "calm"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_kills_change_no_result() -> None:
    tally = faults.main(["--kills", "6", "--trials", "6", "--epochs", "25", "--seed", "3"])
    assert tally.kills.total() >= 6
