"""The processes of trials: who ends with whom, what is heard of them, and what they are given."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import Trial
from raysweep.store.folder import TrialFolder
from raysweep.store.records import State
from raysweep.sweepfile.members import Metric, Resources
from raysweep.worker.forkserver import connected, listening
from raysweep.worker.messages import Begun, Fault, Finished, Probe, Reported, Request, Training, Word
from raysweep.worker.preload import ALWAYS
from raysweep.worker.process import DiedError, ForkedProcess, ForkServer, Process

TRAIN = """\
import os, time, raysweep
def train(config):
    print("in", os.getpid(), flush=True)
    child = os.fork() if config.get("fork") else None
    if child == 0:
        time.sleep(600)
    for epoch in range(config["epochs"]):
        time.sleep(config.get("pause", 0))
        raysweep.report({"loss": 1 / (epoch + 1), "child": child or 0})
    if config.get("hang"):
        while True:
            try: time.sleep(600)
            except BaseException: pass
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(ALWAYS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def line(server: ForkServer) -> Iterator[socket.socket]:
    with server.connect() as made:
        yield made


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "train.py").write_text(TRAIN)
    return Request(
        run=Run(
            reference=Reference("train.py:train", tmp_path),
            code=None,
            metric=Metric(name="loss", goal="minimize"),
            limits={},
            keep_last=1,
            resources=Resources(),
            sweep_seed=0,
        ),
        trial=Trial("0123456789", 1, "one-0123456789", {"epochs": 2}),
        folder=TrialFolder(tmp_path / "one-0123456789"),
        is_copy=False,
        environment={**os.environ, "MINE": "1"},
        directory=str(tmp_path),
        shelf=tmp_path / "shelf",
    )


def with_config(request: Request, **config: object) -> Request:
    return replace(request, trial=replace(request.trial, config={"epochs": 2, **config}))


def started(line: socket.socket, request: Request) -> ForkedProcess:
    process = ForkedProcess(line)
    process.connection.send(request)
    return process


def heard(process: Process, *kinds: type) -> list[object]:
    """The messages that follow, each of its kind."""
    told = []
    for kind in kinds:
        told.append(process.receive(30))
        assert isinstance(told[-1], kind), told
    return told


def printed(request: Request) -> int:
    """The process that the trial says it runs in."""
    return int(request.folder.output_file.read_text().split()[1])


def is_there(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_there(pid)


def test_a_trial_from_its_start_to_its_end(line: socket.socket, request_: Request) -> None:
    process = started(line, request_)
    told = heard(process, Begun, Training, Reported, Reported, Finished)
    assert isinstance(told[-1], Finished)
    assert told[-1].record.state is State.DONE
    process.end(10)
    assert gone(printed(request_))
    record = request_.folder.record()
    assert record is not None and record.state is State.DONE


def test_a_process_that_is_killed_takes_along_what_it_started(line: socket.socket, request_: Request) -> None:
    process = started(line, with_config(request_, fork=True, epochs=9, pause=0.2))
    (*_, report) = heard(process, Begun, Training, Reported)
    assert isinstance(report, Reported)
    child = int(report.report.metrics["child"])
    assert is_there(child)
    process.end(0)
    assert gone(printed(request_)) and gone(child)


def test_a_trial_that_does_not_leave_is_ended(line: socket.socket, request_: Request) -> None:
    process = started(line, with_config(request_, hang=True))
    heard(process, Begun, Training, Reported, Reported)
    process.connection.send(Word.LEAVE)
    began = time.monotonic()
    process.end(0.5)
    assert time.monotonic() - began < 5
    assert gone(printed(request_))


def test_a_trial_waits_for_the_word_after_a_report_where_it_is_paced(line: socket.socket, request_: Request) -> None:
    process = started(line, replace(request_, run=replace(request_.run, is_paced=True)))
    heard(process, Begun, Training, Reported)
    assert process.receive(0.3) is None
    process.connection.send(Word.GO)
    heard(process, Reported)
    process.connection.send(Word.LEAVE)
    process.end(10)
    record = request_.folder.record()
    assert record is not None
    assert record.state is State.RUNNING  # what it is, the driver says


def test_trials_end_with_their_worker(server: ForkServer, request_: Request) -> None:
    line = server.connect()
    process = ForkedProcess(line)
    process.connection.send(with_config(request_, epochs=99, pause=0.1))
    heard(process, Begun, Training, Reported)
    line.close()
    process.connection.close()
    assert gone(printed(request_))


def test_a_server_that_dies_takes_its_trials_along(request_: Request) -> None:
    own = ForkServer(ALWAYS)
    line = own.connect()
    process = started(line, with_config(request_, epochs=99, pause=0.1))
    heard(process, Begun, Training, Reported)
    own._process.kill()
    with pytest.raises(DiedError, match="ProcessDied: the trial's process was killed by SIGKILL"):
        while True:
            process.receive(10)
    assert gone(printed(request_))
    process.end(0)
    line.close()
    with pytest.raises(ChildProcessError, match="does not start"):
        own.connect()
    own.close()


def test_a_server_ends_with_the_process_that_started_it() -> None:
    code = (
        "import time; from raysweep.worker.process import ForkServer; server = ForkServer([]); server.connect();"
        "print(server._process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert gone(server)


def test_a_directory_that_is_gone_concerns_all_trials(line: socket.socket, request_: Request, tmp_path: Path) -> None:
    process = started(line, replace(request_, folder=TrialFolder(tmp_path / "gone" / "one-0123456789")))
    (fault,) = heard(process, Fault)
    assert isinstance(fault, Fault) and fault.concerns_all
    assert fault.text == f"{tmp_path}/gone: cannot be written: No such file or directory; put the directory back"
    process.end(10)


def test_a_folder_that_cannot_be_used_concerns_one(line: socket.socket, request_: Request) -> None:
    request_.folder.path.write_text("in the way")
    process = started(line, request_)
    (fault,) = heard(process, Fault)
    assert isinstance(fault, Fault) and not fault.concerns_all
    assert (fault.kind, str(request_.folder.path) in fault.text) == ("FileExistsError", True)
    process.end(10)


def test_a_record_that_is_damaged_concerns_one(line: socket.socket, request_: Request) -> None:
    request_.folder.create()
    (request_.folder.path / "trial.json").write_text("{")
    process = started(line, request_)
    (fault,) = heard(process, Fault)
    assert isinstance(fault, Fault) and not fault.concerns_all
    assert fault.kind == "UnreadableError"
    process.end(10)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("def train(config): ...", None),
        (
            "import no_such_module\ndef train(config): ...",
            "importing broken.py failed: ModuleNotFoundError: No module named",
        ),
        ("def other(config): ...", "has no 'train'"),
    ],
)
def test_whether_a_trainable_can_be_imported_is_found_out_elsewhere(
    tmp_path: Path, source: str, wrong: str | None
) -> None:
    (tmp_path / "broken.py").write_text(source)
    own = ForkServer(ALWAYS)
    told = own.ask(Probe(Reference("broken.py:train", tmp_path), dict(os.environ), str(tmp_path)))
    own.close()
    assert told is None if wrong is None else told is not None and wrong in told
    assert "broken" not in sys.modules


def test_an_import_that_ends_the_process_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import os\ndef train(config): ...\nos._exit(3)")
    own = ForkServer(ALWAYS)
    with pytest.raises(EOFError):
        own.ask(Probe(Reference("broken.py:train", tmp_path), dict(os.environ), str(tmp_path)))
    own.close()


def test_a_socket_may_have_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with listening(folder / "socket") as listener, connected(folder / "socket") as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
