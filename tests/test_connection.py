"""Which Ray a run uses: the one in use, the one that RAY_ADDRESS names or `ray start` began here, or a new one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import raysweep
from raysweep.driver.progress import Progress
from raysweep.engine.connection import _is_there
from raysweep.engine.nodes import Cluster
from tests.conftest import SweepFile

LOOK = """\
import os, raysweep
from helper import VALUE
def train(config):
    found = sorted(f"{at}/{name}"[2:] for at, _, names in os.walk(".") for name in names if "pycache" not in at)
    raysweep.report({"loss": VALUE, "files": " ".join(found), "arena": os.environ["MALLOC_ARENA_MAX"]})
"""


@dataclass
class Started:
    """What `ray start` began, with its files in a folder of its own."""

    folder: Path
    address: str


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    folder = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))  # a short path: Ray's sockets are below it
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--num-cpus=1",
               "--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats"]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        file, deadline = folder / "ray/ray_current_cluster", time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        yield Started(folder, file.read_text().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


class Connected(Progress):
    """Keeps what the run was connected to."""

    def ready(self, cluster: Cluster, slots: int) -> None:
        super().ready(cluster, slots)
        self.found = cluster


def run(sweep_file: SweepFile) -> tuple[raysweep.TrialResult, Cluster]:
    path = sweep_file(parameters={"lr": 0.1})
    (path.parent / "train.py").write_text(LOOK)
    (path.parent / "helper.py").write_text("VALUE = 0.5\n")
    (path.parent / ".env").write_text("SECRET=1\n")
    (trial,) = raysweep.run(path, runs=path.parent / "runs", progress=(progress := Connected())).trials
    assert trial.state is raysweep.State.DONE, trial.error
    return trial, progress.found


def test_the_one_that_ray_address_names_gets_the_code(
    started: Started, sweep_file: SweepFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", started.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    trial, cluster = run(sweep_file)
    assert cluster.has_code and not cluster.is_private and cluster.processes is None
    assert trial.last is not None
    assert trial.last.metrics["files"] == "helper.py sweep.json train.py"
    assert trial.last.metrics["arena"] == "1"


def test_the_one_that_ray_start_began_is_found(
    started: Started, sweep_file: SweepFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(started.folder))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    _, cluster = run(sweep_file)
    assert cluster.has_code and not cluster.is_private


@pytest.fixture
def answering() -> Iterator[str]:
    """The address of somebody's Ray."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_only_ones_own_that_answers_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: str) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not _is_there()
    file = tmp_path / "ray/ray_current_cluster"
    file.parent.mkdir()
    for text, found in [(answering, True), (f"{answering}\n", True), ("127.0.0.1:1", False), ("", False), ("x", False)]:
        file.write_text(text)
        assert _is_there() is found
    file.write_text(answering)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)  # it is another user's
    assert not _is_there()
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    assert _is_there()
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert not _is_there()
