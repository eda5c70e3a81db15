"""Who runs a sweep in a run directory: a lease, since a lock may keep out the processes of one machine only.

The lease is a file that says who holds it, and that is renewed while the run is at work. Whoever finds one that has
not been renewed for its term, or whose process has died on this machine, takes it over; the run that had it learns so
before it next writes something that counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from raysweep.errors import StoreError
from raysweep.store import files
from raysweep.store.fault import fault
from raysweep.store.process import numbering, started

LEASE = ".lease"  # in the run directory
RENEWAL = 10.0  # seconds between two signs of life
TERM = 60.0  # seconds without one, after which the machine is taken for lost
LOOK = 0.5  # seconds between two looks for a sign of life
SETTLING = 0.2  # seconds in which two that take over at once learn whose it is


class TakenOverError(StoreError):
    """Another run has taken the run directory over; this one may write no more."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes:
        host, pid: its process.
        process: by which the process is known again; see `process.started`.
        numbering: where the number is the process's; see `process.numbering`.
        token: what no other run has.
    """

    host: str
    pid: int
    process: str
    numbering: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @classmethod
    def me(cls) -> Holder:
        """This process, with a token that is new."""
        pid = os.getpid()
        return cls(platform.node(), pid, started(pid) or "", numbering(), os.urandom(16).hex())

    @classmethod
    def of(cls, directory: Path) -> Holder | None:
        """Who holds the lease of a run directory, or held it last; None where nobody does."""
        with contextlib.suppress(OSError):
            return cls.read(directory)
        return None

    @classmethod
    def read(cls, directory: Path) -> Holder | None:
        """Who holds it, or held it last; None where that is unreadable.

        Raises:
            FileNotFoundError: nobody does.
            OSError: that cannot be told.
        """
        try:
            holder = cls(**json.loads(files.read(directory / LEASE)))
        except (ValueError, TypeError):
            return None
        kinds = {name: int if name == "pid" else str for name in asdict(holder)}
        return holder if all(type(value) is kinds[name] for name, value in asdict(holder).items()) else None

    def is_same(self, other: Holder) -> bool:
        """Whether the other is the same process; the journal knows no token."""
        return replace(self, token="") == replace(other, token="")

    @property
    def is_alive(self) -> bool:
        """Whether it is a process that can be seen from here."""
        return self.numbering == numbering() and started(self.pid) == self.process != ""

    @property
    def has_died(self) -> bool:
        """Whether it was a process that could be seen from here, and is no more."""
        return self.numbering == numbering() and self.process not in ("", started(self.pid))


def is_held(directory: Path) -> bool:
    """Whether a run that may be on another machine is at work in a run directory, as far as its lease tells."""
    holder = Holder.of(directory)
    return holder is not None and not holder.has_died and not _has_expired(directory, time.time())


def _has_expired(directory: Path, now: float) -> bool:
    try:
        return now - (directory / LEASE).stat().st_mtime > TERM
    except FileNotFoundError:
        return True


@dataclass(frozen=True)
class Lease:
    """The lease of a run directory, in the hands of this process.

    Attributes:
        directory: the run directory.
        holder: this process.
    """

    directory: Path
    holder: Holder

    @property
    def is_ours(self) -> bool:
        """Whether no other run has taken it over."""
        return Holder.of(self.directory) == self.holder

    def check(self) -> None:
        """See that this run may still write; to be asked before whatever counts.

        Raises:
            TakenOverError: it may not.
        """
        check(self.directory, self.holder.token)

    def keep(self, is_over: threading.Event) -> None:
        """Renew it until the run is over."""
        while not is_over.wait(RENEWAL):
            with contextlib.suppress(OSError):  # the disk may be back the next time
                if self.is_ours:
                    os.utime(self.directory / LEASE)

    def take(self, waiting: Callable[[str], None] | None = None) -> None:
        """Take it, or take it over.

        Args:
            waiting: is told why this waits; None for not waiting.

        Raises:
            BlockingIOError: another run holds it.
            OSError: it cannot be written.
        """
        path, text = self.directory / LEASE, json.dumps(asdict(self.holder))
        try:
            files.create_text(path, text)
        except FileExistsError:
            self._take_over(path, text, waiting)

    def _take_over(self, path: Path, text: str, waiting: Callable[[str], None] | None) -> None:
        other = Holder.of(self.directory)
        if other is not None and not other.has_died and not _has_expired(self.directory, _now(self.directory)):
            if waiting is None or other.is_alive:
                raise BlockingIOError
            waiting(
                f"{other} has this run directory and cannot be seen from here: waiting for a sign of life, for "
                f"{TERM:.0f} s at most; then its machine is taken for lost"
            )
            self._outlive(other)
        files.write_text(path, text)
        time.sleep(SETTLING)
        if not self.is_ours:
            raise BlockingIOError

    def _outlive(self, other: Holder) -> None:
        """Wait until another machine's lease has expired.

        Raises:
            BlockingIOError: it was renewed, or somebody else has it.
        """
        path = self.directory / LEASE
        seen = path.stat().st_mtime_ns
        while not _has_expired(self.directory, _now(self.directory)):
            time.sleep(LOOK)
            with contextlib.suppress(FileNotFoundError):  # given back meanwhile: it has expired
                if path.stat().st_mtime_ns != seen or Holder.of(self.directory) != other:
                    raise BlockingIOError

    def give_back(self) -> None:
        """Let others have it."""
        if self.is_ours:
            files.remove(self.directory / LEASE)


def check(directory: Path, token: str) -> None:
    """See that the run with this token holds the lease of its run directory.

    Raises:
        TakenOverError: it does not.
        OSError: that cannot be told.
    """
    try:
        holder = Holder.read(directory)
    except FileNotFoundError as error:
        gone = fault(error, directory)  # with the directory
        raise TakenOverError(str(gone or f"{directory}: the run that this is part of has ended; see to it")) from None
    if holder is None:
        raise TakenOverError(f"{directory / LEASE}: is damaged, and does not say whose run this is; remove it")
    if holder.token != token:
        raise TakenOverError(
            f"{directory}: another run has taken over ({holder}), and this one writes no more; wait for it"
        )


def _now(directory: Path) -> float:
    """The time by the clock that dates the files of a directory, which on a shared disk is not this machine's."""
    with tempfile.TemporaryFile(dir=directory) as probe:
        return os.fstat(probe.fileno()).st_mtime


@contextlib.contextmanager
def leased(directory: Path, waiting: Callable[[str], None] | None = None) -> Iterator[Lease]:
    """Hold the lease of a run directory for the length of the block.

    Args:
        directory: the run directory.
        waiting: see `Lease.take`.

    Raises:
        BlockingIOError: another run holds it.
    """
    lease, is_over = Lease(directory, Holder.me()), threading.Event()
    lease.take(waiting)
    keeper = threading.Thread(target=lease.keep, args=(is_over,), daemon=True, name="raysweep-lease")
    keeper.start()
    try:
        yield lease
    finally:
        is_over.set()
        keeper.join()
        lease.give_back()
