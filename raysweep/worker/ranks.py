"""The processes of a trial that several train together: the trial's own, which is rank 0, and those that it forks.

They find each other as under torchrun, by the variables that `torch.distributed.init_process_group` reads. What the
others report is dropped, and where one of them fails the trial has failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from raysweep.store.records import State, TrialError
from raysweep.training.ranks import RANK
from raysweep.worker.ending import Ending, Reports

AT_ONCE = 0.3  # seconds in which it is known whether another's failure has made rank 0 fail
PATIENCE = 10.0  # seconds that the others have to come to their end, and rank 0 when one of them has failed
ALONE = (RANK, "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
PR_SET_PDEATHSIG = 1  # of prctl(2): the signal at the parent's death


@dataclass
class _Other:
    """A process that trains with rank 0.

    Attributes:
        rank, pid: its numbers.
        connection: on which it says how it has ended; closed where it died.
        ending: how, once it is known.
    """

    rank: int
    pid: int
    connection: Connection[Any, Any]
    ending: Ending | None = None


class Ranks:
    """The processes of a trial, as one of them sees them.

    Attributes:
        rank: this one's.
    """

    def __init__(self, rank: int, others: list[_Other], leader: Connection[Any, Any] | None) -> None:
        self.rank = rank
        self._others, self._leader = others, leader
        self._turn = threading.Lock()
        self._is_over = False

    def complete(self, reports: Reports) -> Ending:
        """The end that a training has come to which returned; only rank 0 is to have reported."""
        return Ending(State.DONE) if self.rank else Ending.complete(reports)

    def watch(self, fail: Callable[[Ending], None]) -> None:
        """Of rank 0: end the trial where another process has failed and this one does not notice, in a collective.

        Args:
            fail: records the ending; then this process ends.
        """
        if self._others:
            threading.Thread(target=self._watch, args=(fail,), daemon=True, name="raysweep-ranks").start()

    def _watch(self, fail: Callable[[Ending], None]) -> None:
        while (ending := self._failed(1.0)) is None:
            if self._is_over or all(other.ending is not None for other in self._others):
                return
        time.sleep(PATIENCE)
        if not self._is_over:
            fail(ending)
            os._exit(0)

    def ending(self, own: Ending) -> Ending:
        """How the trial has ended, the others considered; the first of them that failed took it along.

        Another than rank 0 tells how it has ended itself, and its process ends here.
        """
        if self._leader is not None:
            self._tell(self._leader, own)
        deadline = time.monotonic() + (PATIENCE if own.error is None else AT_ONCE)
        while (failed := self._failed(0.1)) is None and time.monotonic() < deadline:
            if all(other.ending is not None for other in self._others):
                break
        return own if failed is None else failed

    def _tell(self, leader: Connection[Any, Any], ending: Ending) -> NoReturn:
        with contextlib.suppress(OSError):
            leader.send(ending)
        sys.stderr.write(ending.text)
        sys.stderr.flush()
        os._exit(0)

    def _failed(self, timeout: float) -> Ending | None:
        """The ending of a process that has failed, which may come in so many seconds."""
        with self._turn:
            waiting = {other.connection: other for other in self._others if other.ending is None}
            said = wait([*waiting], timeout)
            for other in [other for connection, other in waiting.items() if connection in said]:
                other.ending = _heard(other)
        return next((other.ending for other in self._others if other.ending and other.ending.error), None)

    def close(self) -> None:
        """Of rank 0: end the others, however far they are."""
        self._is_over = True
        for other in self._others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(other.pid, 0)


def _heard(other: _Other) -> Ending:
    try:
        ending: Ending = other.connection.recv()
    except (EOFError, OSError):
        reason = f"the process of rank {other.rank} has died; its last output is in output.log"
        return Ending.failed(TrialError("ProcessDied", reason))
    return ending


@contextmanager
def several(count: int, leave_to_leader: Callable[[], None]) -> Iterator[Ranks]:
    """Within the block there are so many processes; only rank 0's comes to its end.

    Args:
        count: how many, 1 for the trial's own alone.
        leave_to_leader: called in each of the others: closes what only rank 0 is to have.
    """
    for name in ALONE:
        os.environ.pop(name, None)  # what a launcher of the sweep was told is not for its trials
    ranks = _forked(count, leave_to_leader) if count > 1 else Ranks(0, [], None)
    try:
        yield ranks
    finally:
        if ranks.rank:
            os._exit(1)  # what comes after the training is rank 0's to do
        ranks.close()


def hold(_: str, handle: int) -> tuple[int, int]:
    """Of another than rank 0: keep a file open for those after it; see `training.shelf`."""
    return os.getpid(), os.dup(handle)


def _forked(count: int, leave_to_leader: Callable[[], None]) -> Ranks:
    port, leader, others = _free_port(), os.getpid(), list[_Other]()
    for number in range(1, count):
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():  # of threads: the child needs none that it has lost
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != leader:
                os._exit(1)
            ours.close()
            for other in others:
                other.connection.close()
            leave_to_leader()
            _announce(number, count, port)
            return Ranks(number, [], theirs)
        theirs.close()
        others.append(_Other(number, pid, ours))
    _announce(0, count, port)
    return Ranks(0, others, None)


def _announce(rank: int, count: int, port: int) -> None:
    told = {RANK: rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    os.environ.update({name: str(value) for name, value in told.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
