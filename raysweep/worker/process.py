"""The process of one trial, from the side of Ray's worker: started, listened to, ended, and asked what it died of."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from raysweep.worker.forkserver import ANSWER, STARTED, WORD, connected, probe_address
from raysweep.worker.messages import Probe

START = "import sys; from raysweep.worker.forkserver import main; main(sys.argv[1])"
PATIENCE = 60.0  # seconds that a fork server may take to start, on a loaded machine with a cold disk


class ForkServer:
    """A fork server of this process, which ends with it.

    Args:
        modules: what it imports; see `worker.preload`.
        environment: its environment variables; None for this process's own.

    Attributes:
        address: where it listens; other processes of this machine may use it, too.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="raysweep-"))  # only this user may enter it
        self.address = self._directory / "forks"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the server lives
        given = json.dumps({"address": str(self.address), "modules": list(modules), "path": sys.path})
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, given],
            stdin=subprocess.PIPE,  # its end is what the server sees of this process's death
            stdout=self._log,
            stderr=self._log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the driver
        )

    def connect(self) -> socket.socket:
        """A connection to the server, once it listens.

        Raises:
            ChildProcessError: it does not start.
        """
        return self._connected(self.address)

    def ask(self, question: Probe) -> str | None:
        """Whether a trainable can be imported: what is wrong, or None; once, and before the server is ready for trials.

        Raises:
            ChildProcessError: the server does not start.
            EOFError: the process has ended that was to import it.
        """
        connection: Connection[Any, Any] = Connection(self._connected(probe_address(self.address)).detach())
        try:
            connection.send(question)
            wrong: str | None = connection.recv()
        finally:
            connection.close()
        return wrong

    def _connected(self, address: Path) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                return connected(address)
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                told = self._log.read().decode(errors="replace").strip().splitlines()
                raise ChildProcessError(f"the fork server does not start: {told[-1] if told else 'no reason is known'}")
            time.sleep(0.01)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # a pipe
        self._process.stdin.close()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)


class DiedError(Exception):
    """A trial's process has ended without recording the trial's end.

    Attributes:
        kind: what its record is to say, "ProcessDied" or "MemoryError".
        reason: in words.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)  # as it comes back from a pickle
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class Process(Protocol):
    """What runs one trial."""

    connection: Connection[Any, Any]

    def receive(self, timeout: float | None) -> Any:
        """The next message; None where none comes in so many seconds.

        Raises:
            DiedError: it has ended.
        """

    def end(self, patience: float) -> None:
        """See that it ends, at the latest in so many seconds.

        Raises:
            RuntimeError: it does not end.
        """

    def opened(self, handle: int) -> int:
        """Open a file that the process has open; returns a handle of this process's."""


class ForkedProcess:
    """A process that a fork server makes for one trial.

    Args:
        server: a connection to it, used by one trial at a time.

    Raises:
        ChildProcessError: the server is gone.
    """

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._status: int | None = None
        self._killed_before = _memory_kills()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(server, [WORD], [theirs.fileno()])
                self._pid = self._await_start()
            except OSError as error:
                ours.close()
                raise ChildProcessError(f"the fork server is gone: {error}") from None
        self.connection: Connection[Any, Any] = Connection(ours.detach())

    def _await_start(self) -> int:
        while (answer := self._answer())[1] != STARTED:
            pass  # the end of one before, which nobody waited for
        return answer[0]

    def _answer(self) -> tuple[int, int]:
        data = b""
        while len(data) < ANSWER.size:
            if not (piece := self._server.recv(ANSWER.size - len(data))):
                raise ConnectionResetError("it has ended")
            data += piece
        pid, status = ANSWER.unpack(data)
        return pid, status

    def receive(self, timeout: float | None) -> Any:
        """See `Process.receive`."""
        is_silent = self._status is None and self.connection not in wait([self.connection, self._server], timeout)
        if is_silent and not self._has_ended(0):
            return None
        try:  # what it said before it ended is heard, too
            if self._status is None or self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError):  # it has closed its end, or died with it
            self._has_ended(PATIENCE)
        raise self._died()

    def _has_ended(self, timeout: float) -> bool:
        """Whether the process has ended, or ends within so many seconds."""
        deadline = time.monotonic() + timeout
        while self._status is None and wait([self._server], max(0.0, deadline - time.monotonic())):
            try:
                pid, status = self._answer()
            except OSError:
                pid, status = self._pid, signal.SIGKILL  # with the server
            if pid == self._pid:
                self._status = status
        return self._status is not None

    def _died(self) -> DiedError:
        status = self._status
        if status is None:
            return DiedError("ProcessDied", "the trial's process has closed its connection to raysweep")
        if not os.WIFSIGNALED(status):
            code = os.waitstatus_to_exitcode(status)
            return DiedError("ProcessDied", f"the trial's process ended with exit code {code}")
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and _memory_kills() > self._killed_before:
            return DiedError("MemoryError", "the machine ran out of memory, and the system killed the trial's process")
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return DiedError("ProcessDied", f"the trial's process was killed by {name} ({signal.strsignal(number)})")

    def end(self, patience: float) -> None:
        """See `Process.end`."""
        if not self._has_ended(patience):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            self._has_ended(PATIENCE)
        elif self._status is not None and os.WIFSIGNALED(self._status):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)  # what it had started, and could not end
        self.connection.close()

    def opened(self, handle: int) -> int:
        """See `Process.opened`."""
        return os.open(f"/proc/{self._pid}/fd/{handle}", os.O_RDONLY)


class ThreadProcess:
    """A thread of this process, in which a trial runs that calls Ray; the process is for this one trial.

    Args:
        work: what the thread is to do with its end of the connection.
    """

    def __init__(self, work: Any) -> None:
        ours, theirs = socket.socketpair()
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        self._thread = threading.Thread(
            target=work, args=(Connection(theirs.detach()),), daemon=True, name="raysweep-training"
        )
        self._thread.start()

    def receive(self, timeout: float | None) -> Any:
        """See `Process.receive`."""
        if not self.connection.poll(timeout):
            return None
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise DiedError("ProcessDied", "the trial's thread has ended without a word") from None

    def end(self, patience: float) -> None:
        """See `Process.end`."""
        self._thread.join(patience)
        if self._thread.is_alive():
            raise RuntimeError("the training function did not return when it was stopped")
        self.connection.close()

    def opened(self, handle: int) -> int:
        """See `Process.opened`."""
        return os.dup(handle)


def _memory_kills() -> int:
    """How many processes the system has killed since it started because memory had run out."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
