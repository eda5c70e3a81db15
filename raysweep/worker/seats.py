"""One of several trials in a process: its function runs in a thread of its own, one at a time, until it waits in `fit`.

Each has its own recording, its own random generators and its own output file, which are put in place whenever it is at
work. Where it waits, others run up to that point; then all that are alike are trained as one program.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import StoreError
from raysweep.store.records import Report
from raysweep.training.reporting import Saving, running, take_up
from raysweep.training.shelf import Shelf
from raysweep.worker.calling import called, context_of
from raysweep.worker.ending import Ending
from raysweep.worker.messages import Begun, Left, Link, Of, Request, Training, Waiting, Word
from raysweep.worker.ranks import several
from raysweep.worker.recording import Recording
from raysweep.worker.reporter import Reporter

if TYPE_CHECKING:
    from raysweep.fusion.course import Course


class SeatLink(Link):
    """A trial's line to the worker, which several share: what is said says of whom it is.

    Args:
        connection: to the worker.
        request: the trial.
        number: which of them it is.
    """

    def __init__(self, connection: Connection[Any, Any], request: Request, number: int) -> None:
        super().__init__(connection, request)
        self.number = number

    def tell(self, message: object) -> None:
        """See `Link.tell`."""
        super().tell(Of(self.number, message))


class SeatReporter(Reporter):
    """Takes a trial's reports; those of a program's epoch are kept until those of the others are there, too.

    Attributes:
        waits: whether reports are to be kept.
        kept: the report that is.
    """

    waits = False
    kept: tuple[Mapping[str, float | str], float, str | None, bool] | None = None

    def _record(self, metrics: Mapping[str, float | str], checkpoint: Path | Saving | None, is_counted: bool) -> None:
        if not self.waits:
            super()._record(metrics, checkpoint, is_counted)
            return
        name = None if checkpoint is None else self.recording.save_checkpoint(checkpoint, lasting=False)
        self.kept = (metrics, self.elapsed, name, is_counted)


class Seat:
    """A trial's place in the process.

    Args:
        connection: to the worker.
        request: the trial.
        number: which of the process's trials it is, from 0.

    Attributes:
        course: what it waits for in `fit`; None while it does not wait.

    Raises:
        AttemptError, StoreError, OSError: see `Recording`.
    """

    def __init__(self, connection: Connection[Any, Any], request: Request, number: int) -> None:
        self.link = SeatLink(connection, request, number)
        self.recording = Recording(request.run, request.trial, request.folder)
        self.reporter = SeatReporter(self.recording, self.link)
        self.waiting: Course | None = None
        self._fault: StoreError | OSError | None = None
        self._error: BaseException | None = None
        self._is_done = False
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._states: tuple[Any, ...] | None = None
        if not self.recording.is_over:
            self._context = context_of(self.recording, self.reporter, Shelf(request.shelf, self.link.hold), self)
            self._output = os.open(self.recording.folder.output_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.link.tell(Begun(self.recording.reports))

    @property
    def course(self) -> Course:
        """What it waits for."""
        assert self.waiting is not None  # it is asked for while it waits
        return self.waiting

    @property
    def is_over(self) -> bool:
        """Whether the attempt has ended."""
        return self.recording.is_over or self.link.left is not None or self._error is not None

    def start(self) -> None:
        """Let the function run until it waits in `fit`, or has ended.

        Raises:
            StoreError, OSError: the end cannot be recorded.
        """
        threading.Thread(target=self._run, daemon=True, name=f"raysweep-{self.link.number}").start()
        self._hear()

    def go_on(self, is_done: bool) -> None:
        """Let it go on behind `fit`, or train alone there, until it waits again, or has ended.

        Raises:
            StoreError, OSError: the end cannot be recorded.
        """
        self.reporter.waits, self.reporter.kept = False, None
        self._is_done = is_done
        self._turn.release()
        self._hear()

    def _hear(self) -> None:
        self._back.acquire()
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            with self._in_place(), several(1, self.link.close) as ranks:
                ending = called(self.reporter, self.link, self._context, ranks)
                if ending is not None and self.link.left is None:
                    self.recording.end(ending)
        except (StoreError, OSError) as error:
            self._fault = error
        finally:
            self._back.release()

    def train(self, course: Course) -> bool:
        """Called by `fit` in this trial's thread; see `Companions`."""
        self.waiting = course
        self.link.tell(Waiting())
        self._leave()
        self._back.release()
        self._turn.acquire()
        self._enter()
        take_up(self._context)
        self.waiting = None
        if self._error is not None:
            raise self._error
        if self.recording.is_over or self.link.left is not None:
            raise Left
        if not self._is_done:
            self.begin()
        return self._is_done

    def begin(self) -> None:
        """From now on its time counts."""
        self.link.tell(Training())
        self.reporter.start_clock()

    def fail(self, error: BaseException) -> None:
        """It has failed by itself; its function is to raise this."""
        self._error = error

    def append(self) -> Report | None:
        """Append the report that is kept to the others, not lasting yet."""
        kept, self.reporter.kept = self.reporter.kept, None
        return None if kept is None else self.recording.append(*kept, lasting=False)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block the random generators, the output and the current trial are its own."""
        with self._in_place(), running(self._context):
            yield

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        for handle in (1, 2):
            os.dup2(self._output, handle)
        if self._states is not None:
            _set_states(self._states)

    def _leave(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._states = _states()

    def end(self, ending: Ending) -> None:
        """Record the attempt's end, where it has none, and tell it."""
        if self.link.left is None:
            self.recording.end(ending)
        self.end_if_over()

    def end_if_over(self) -> None:
        """Tell the attempt's end, where it has one."""
        if self.recording.is_over:
            self.link.finished(self.recording.record)

    def close(self) -> None:
        """Let go of the trial's folder."""
        self.recording.close(stopped=self.link.left is Word.STOPPED)


def _states() -> tuple[Any, ...]:
    """Of the generators that a function may draw from, where their modules are imported."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    return (
        random.getstate(),
        numpy.random.get_state() if numpy is not None else None,
        torch.get_rng_state() if torch is not None else None,
    )


def _set_states(states: tuple[Any, ...]) -> None:
    own, numpy, torch = states
    random.setstate(own)
    if numpy is not None:
        sys.modules["numpy"].random.set_state(numpy)
    if torch is not None:
        sys.modules["torch"].set_rng_state(torch)
