"""A process that has imported what trials need, and forks a new one for each of them.

It runs in a fresh interpreter, imports torch and its like but nothing of the user's, and touches no GPU: a process that
it forks is as a new one would be once it had imported the same. One is forked ahead, so that a trial need not wait.

A client, which is a worker of Ray's, connects and sends one end of a socket pair for each trial. It is answered with
pairs of numbers: a process and STARTED when it has taken the socket, the process and its exit status when it has ended.
Whoever goes away takes with it: a client its trials, the server all of them, the server's parent the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

ANSWER = struct.Struct("!ii")  # a process, and its exit status as waitpid() has it
STARTED = -1
WORD = b"f"  # what a request consists of, beside the socket; a socket cannot be sent with nothing
PDEATHSIG = 1  # of prctl(2)


def main(text: str) -> None:
    """Serve until the standard input ends; `text` is JSON: the address, the modules to import, the search path."""
    given = json.loads(text)
    sys.path[:] = given["path"]
    address = Path(given["address"])
    listener = listening(address)  # clients may connect, and wait, from now on
    _answer_first(listening(probe_address(address)))
    preload(given["modules"])
    from raysweep.worker.child import main as work

    _Server(listener, work).serve()


def probe_address(address: Path) -> Path:
    """Where a server answers one question before it has imported anything; see `messages.Probe`."""
    return address.with_name(f"{address.name}.probe")


def _answer_first(listener: socket.socket) -> None:
    """Leave the first question to a process that imports beside this one."""
    parent = os.getpid()
    if not os.fork():
        try:
            _end_with(parent)
            from raysweep.worker.child import main as work

            client, _ = listener.accept()
            work(client)
        finally:
            os._exit(0)
    listener.close()


def _end_with(parent: int) -> None:
    """Let this process end when its parent does."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def listening(address: Path) -> socket.socket:
    """A socket that listens at a path, which may be longer than the 107 characters that a socket's address can have."""
    listener = socket.socket(socket.AF_UNIX)
    with _short(address) as path:
        listener.bind(path)
    listener.listen()
    return listener


def connected(address: Path) -> socket.socket:
    """A socket that is connected to the one that listens there.

    Raises:
        OSError: none does.
    """
    client = socket.socket(socket.AF_UNIX)
    try:
        with _short(address) as path:
            client.connect(path)
    except OSError:
        client.close()
        raise
    return client


@contextlib.contextmanager
def _short(address: Path) -> Iterator[str]:
    directory = os.open(address.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{directory}/{address.name}"
    finally:
        os.close(directory)


def preload(modules: Iterable[str]) -> None:
    """Import modules; one that cannot be imported is told of when a trial does so itself."""
    for name in modules:
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    if (torch := sys.modules.get("torch")) is not None:
        # the first optimizer of a process imports torch._dynamo, which takes a second
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    gc.collect()
    gc.freeze()  # else a collection in a child copies the pages of all that was imported


class _Server:
    """Forks a process for each request, and tells how each ends."""

    def __init__(self, listener: socket.socket, work: Callable[[socket.socket], None]) -> None:
        self._listener, self._work = listener, work
        self._selector = selectors.DefaultSelector()
        self._ended, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._wake = wake
        self._clients: dict[int, socket.socket] = {}  # by process
        self._spare: tuple[int, socket.socket] | None = None

    def serve(self) -> None:
        """Serve until the parent is gone."""
        for source in (sys.stdin, self._listener, self._ended):
            self._selector.register(source, selectors.EVENT_READ)
        while True:
            if self._spare is None:
                self._spare = self._fork()
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    self._end()
                elif key.fileobj is self._listener:
                    client, _ = self._listener.accept()
                    self._selector.register(client, selectors.EVENT_READ)
                elif key.fileobj is self._ended:
                    self._ended.recv(4096)
                    self._reap()
                elif isinstance(key.fileobj, socket.socket):
                    self._answer(key.fileobj)

    def _end(self) -> NoReturn:
        for pid in self._clients:
            _kill(pid)
        os._exit(0)  # the spare one ends with it

    def _answer(self, client: socket.socket) -> None:
        try:
            word, handles, _, _ = socket.recv_fds(client, 1, 1)
        except OSError:
            word, handles = b"", []
        if not word:
            self._selector.unregister(client)
            client.close()
            for pid in [pid for pid, owner in self._clients.items() if owner is client]:
                _kill(pid)
            return
        pid, pipe = self._spare or self._fork()
        self._spare = None
        self._clients[pid] = client
        socket.send_fds(pipe, [WORD], handles)
        pipe.close()
        for handle in handles:
            os.close(handle)
        self._tell(client, pid, STARTED)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if self._spare is not None and self._spare[0] == pid:
                    self._spare = None
                if (client := self._clients.pop(pid, None)) is not None:
                    self._tell(client, pid, status)

    def _tell(self, client: socket.socket, pid: int, status: int) -> None:
        with contextlib.suppress(OSError):  # it has gone, which is seen when it is read from
            client.sendall(ANSWER.pack(pid, status))

    def _fork(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            theirs.close()
            return pid, ours
        try:
            os.setsid()  # so that what the trial starts can be ended with it
            _end_with(parent)
            self._become(theirs, ours)
        finally:
            os._exit(1)

    def _become(self, pipe: socket.socket, *others: socket.socket) -> None:
        """In the new process: wait for a trial, and run it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for known in [*self._selector.get_map().values()]:
            if isinstance(known.fileobj, socket.socket):
                known.fileobj.close()
        for other in (*others, self._wake, *([self._spare[1]] if self._spare else [])):
            other.close()
        self._selector.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        _, handles, _, _ = socket.recv_fds(pipe, 1, 1)
        pipe.close()
        if handles:
            self._work(socket.socket(fileno=handles[0]))


def _kill(pid: int) -> None:
    """End a trial's process, and those that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
