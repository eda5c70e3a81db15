"""What a trial's process and Ray's worker, which it belongs to, say to each other."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.plan.reference import Reference
from raysweep.plan.run import Run
from raysweep.plan.trials import Trial
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import AttemptError
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, TrialRecord
from raysweep.worker.ending import Reports


@dataclass(frozen=True)
class Request:
    """The trial that a process is to run.

    Attributes:
        run, trial: as planned.
        folder: where the trial is recorded, on this node; its fence is that of the attempt.
        is_copy: whether that is a copy of the folder, of which the worker brings each change to the head.
        environment: the worker's environment variables, GPUs among them.
        directory: the worker's working directory.
        shelf: where the trials of a run on this node find the data that they share.
    """

    run: Run
    trial: Trial
    folder: TrialFolder
    is_copy: bool
    environment: dict[str, str]
    directory: str
    shelf: Path


@dataclass(frozen=True)
class Requests:
    """The trials that a process is to run together, as one program where they are alike; of one run and one worker."""

    members: tuple[Request, ...]


@dataclass(frozen=True)
class Of:
    """What is said of one of several trials in a process: which one, from 0, and the message."""

    member: int
    message: object


@dataclass(frozen=True)
class Together:
    """What is said of several at once; where reports wait for words, the answer is one for each report, in order."""

    said: tuple[Of, ...]


@dataclass(frozen=True)
class Waiting:
    """The trial waits for others in its process, and its time does not count."""


@dataclass(frozen=True)
class Notice:
    """Something that a person may want to know."""

    text: str


@dataclass(frozen=True)
class Probe:
    """Asks a process whether a trainable can be imported; its answer is what is wrong, or None."""

    reference: Reference
    environment: dict[str, str]
    directory: str


@dataclass(frozen=True)
class Begun:
    """The trial is recorded as running; these are the reports of attempts before."""

    reports: Reports


@dataclass(frozen=True)
class Training:
    """All is imported, and the trial's time counts from now on."""


@dataclass(frozen=True)
class Reported:
    """A report is recorded."""

    report: Report


@dataclass(frozen=True)
class Finished:
    """The attempt has ended, and this is recorded of it."""

    record: TrialRecord


@dataclass(frozen=True)
class Fault:
    """The trial cannot be recorded, which is no failure of its own.

    Attributes:
        kind, text: what is wrong.
        concerns_all: whether no trial can be, which ends the sweep; else this attempt has failed as if its process had
            died.
    """

    kind: str
    text: str
    concerns_all: bool

    @classmethod
    def of(cls, error: StoreError | OSError, is_copy: bool) -> Fault:
        """What an error means; of a copy of the trial's folder it concerns this node alone."""
        concerns_all = isinstance(error, StoreError) and not isinstance(error, AttemptError) and not is_copy
        return cls(type(error).__name__, str(error), concerns_all)


@dataclass(frozen=True)
class Hold:
    """The worker is to hold a file of the trial's process open, for trials after it; see `training.shelf`.

    Attributes:
        name: of the data in it, which is held once.
        handle: the process's own.
    """

    name: str
    handle: int


class Word(Enum):
    """What the worker answers."""

    GO = auto()
    STOP = auto()  # the run was asked to stop: the attempt ends after this report
    LEAVE = auto()  # the attempt is over, whatever is under way
    STOPPED = auto()  # as LEAVE, and early stopping has ended the trial


class Left(BaseException):
    """Raised by a report where the attempt is over, to leave the function whatever exceptions it catches."""


class Link:
    """The trial's end of the connection to its worker; where the worker is gone, the trial is to leave.

    Args:
        connection: to the worker.
        request: the trial.

    Attributes:
        left: the last word of the worker, where the trial is to leave.
    """

    def __init__(self, connection: Connection[Any, Any], request: Request) -> None:
        self._connection = connection
        self._waits = request.is_copy or request.run.is_paced
        self._run = RunDirectory(request.folder.path.parent)
        self._is_copy = request.is_copy
        self._has_finished = False
        self.left: Word | None = None

    def tell(self, message: object) -> None:
        """Say something that needs no answer."""
        try:
            self._connection.send(message)
        except OSError:
            self.left = Word.LEAVE

    def close(self) -> None:
        """Leave the connection to another process that has it, too."""
        self._connection.close()

    def failed(self, error: StoreError | OSError) -> None:
        """Tell that the trial cannot be recorded."""
        self.tell(Fault.of(error, self._is_copy))

    def finished(self, record: TrialRecord) -> None:
        """Tell how the attempt has ended, once."""
        if not self._has_finished:
            self._has_finished = True
            self.tell(Finished(record))

    def reported(self, report: Report, is_last: bool) -> bool:
        """Tell of a report, and wait for the worker's word where there is something to wait for.

        Args:
            report: as recorded.
            is_last: whether the trial ends with it anyway.

        Returns:
            Whether the run was asked to stop.

        Raises:
            Left: the attempt is over.
        """
        self.tell(Reported(report))
        if is_last:
            return False
        word = self._hear() if self._waits or self._connection.poll() else Word.GO
        return word is Word.STOP or (not self._is_copy and self._run.stop_requested())

    def hold(self, name: str, handle: int) -> tuple[int, int]:
        """Have the worker hold a file open; returns its process, and its own handle of the file.

        Raises:
            Left: the attempt is over.
        """
        self.tell(Hold(name, handle))
        answer: tuple[int, int] = self._hear()
        return answer

    def wait(self) -> None:
        """Wait for the last word, where the trial has not heard it yet."""
        while self.left is None:
            with contextlib.suppress(Left):
                self._hear()

    def _hear(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = Word.LEAVE
        if answer in (Word.LEAVE, Word.STOPPED):
            self.left = answer
            raise Left
        return answer
