"""One attempt at a trial, from the side of Ray's worker: it starts the trial's process, listens to it, and ends it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, NoReturn

from raysweep.errors import StoreError
from raysweep.plan.reconciliation import Standing
from raysweep.plan.run import Run
from raysweep.store.fault import AttemptError
from raysweep.store.records import Report, State, TrialError, TrialRecord
from raysweep.transfer.mirror import Here, Mirror, place
from raysweep.worker.ending import Ending, Reports
from raysweep.worker.messages import Begun, Fault, Finished, Hold, Reported, Request, Training, Word
from raysweep.worker.output import last_output
from raysweep.worker.process import DiedError, Process
from raysweep.worker.recording import record_end

GATHER = 0.05  # seconds that the driver is not bothered again for, while a trial reports fast
GRACE = 1.0  # seconds, and two epochs, that a trial may take to report after its time is up
PATIENCE = 5.0  # seconds that a trial may take to leave after its end
IDLE = 0.5  # seconds in which the driver can see that the run is to stop, before it starts the next trial


@dataclass(frozen=True)
class Told:
    """What the driver is told of a trial.

    Attributes:
        reports: those since it was last told.
        state: RUNNING while the trial trains; else how it has ended, INTERRUPTED where the next run goes on with it.
        error: what it failed with.
        fault: why the sweep cannot go on, where that is so.
        notice: what a person may want to know.
    """

    reports: tuple[Report, ...] = ()
    state: State = State.RUNNING
    error: TrialError | None = None
    fault: str | None = None
    notice: str | None = None

    def plain(self) -> list[Any]:
        """As lists and text: Tune writes each trial's last result down, and pickles what is no JSON at length."""
        error = (self.error.type, self.error.message) if self.error else None
        return [[asdict(report) for report in self.reports], str(self.state), error, self.fault, self.notice]

    @classmethod
    def of(cls, plain: list[Any]) -> Told:
        """What `plain` returned."""
        reports, state, error, fault, notice = plain
        known = tuple(Report(**report) for report in reports)
        return cls(known, State(state), TrialError(*error) if error else None, fault, notice)


class Phase(Enum):
    """Where an attempt stands."""

    NEW = auto()
    TRAINING = auto()  # until its next report
    WAITING = auto()  # for the word after a report
    OVER = auto()


class Attempt:
    """One attempt at a trial.

    Args:
        run, standing: the trial.
        launch: starts a process that runs one trial.
        shelf: where the trials of the run on this node share data.
        held: the files that this process holds open for that, by the name of the data.

    The trial's folder is left alone until `advance`: Tune may still give the trial to another worker, which it does
    when one that is reused is free before this one has started.
    """

    def __init__(
        self, run: Run, standing: Standing, launch: Callable[[], Process], shelf: Path, held: dict[str, int]
    ) -> None:
        self._run, self._standing, self._launch = run, standing, launch
        self._shelf, self._held = shelf, held
        self._phase = Phase.NEW
        self._reports = Reports(run.metric)
        self._has_reported = False
        self._expires: float | None = None
        self._place: Here | None = None
        self._process: Process | None = None

    @property
    def id(self) -> str:
        """The trial's."""
        return self._standing.trial.id

    @property
    def is_over(self) -> bool:
        """Whether the attempt has ended."""
        return self._phase is Phase.OVER

    @property
    def last(self) -> Report | None:
        """The trial's last report."""
        return self._reports.last

    def advance(self) -> Told:
        """Let the trial train until it has reported, or ended.

        Raises:
            DiedError: its process has, or the attempt cannot be recorded.
        """
        try:
            if self._phase is Phase.NEW and not self._begin():
                return Told(state=State.INTERRUPTED)
            return self._listen()
        except (AttemptError, OSError) as error:
            self._die(DiedError(type(error).__name__, str(error)))
        except StoreError as error:
            self._phase = Phase.OVER
            return Told(state=State.INTERRUPTED, fault=str(error))

    def _begin(self) -> bool:
        """Start the trial, or go on with it, unless the run was asked to stop."""
        self._place = where = place(self._standing.folder.path, self._run.receiver, self._run.lease)
        if where.stop_requested():
            self._phase, self._place = Phase.OVER, None
            time.sleep(IDLE)
            return False
        where.open()
        self._process = self._launch()
        environment, directory = dict(os.environ), str(Path.cwd())
        self._process.connection.send(
            Request(
                self._run,
                self._standing.trial,
                where.folder,
                isinstance(where, Mirror),
                environment,
                directory,
                self._shelf,
            )
        )
        self._phase = Phase.TRAINING
        return True

    def _listen(self) -> Told:
        if self._phase is Phase.WAITING:
            self._say(Word.GO)
        reports: list[Report] = []
        until: float | None = None
        while self._phase is Phase.TRAINING and (until is None or time.monotonic() < until):
            message = self._heard(until)
            if isinstance(message, Reported):
                reports.append(message.report)
                if self._run.is_paced:
                    break
                until = until or time.monotonic() + GATHER
            elif isinstance(message, Finished):
                return self._finish(reports, message.record)
            elif isinstance(message, Fault):
                if message.concerns_all:
                    raise StoreError(message.text)
                self._die(DiedError(message.kind, message.text))
        return Told(tuple(reports))

    def _heard(self, until: float | None) -> object:
        """The next message, already acted upon; None where there is none until then."""
        assert self._process is not None and self._place is not None  # since it began
        ends = [moment for moment in (until, self._expires) if moment is not None]
        try:
            message: object = self._process.receive(max(0.0, min(ends) - time.monotonic()) if ends else None)
        except DiedError as error:
            self._die(error)
        if message is None and self._expires is not None and time.monotonic() >= self._expires:
            return Finished(self._expire())
        if isinstance(message, Begun):
            self._reports = message.reports
            self._place.written()
        elif isinstance(message, Training):
            self._move_expiry(0.0)
        elif isinstance(message, Reported):
            self._report(message.report)
        elif isinstance(message, Hold):
            if message.name not in self._held:
                self._held[message.name] = self._process.opened(message.handle)
            self._process.connection.send((os.getpid(), self._held[message.name]))
        return message

    def _report(self, report: Report) -> None:
        assert self._place is not None  # since it began
        self._reports = self._reports.plus(report)
        self._has_reported = True
        self._move_expiry(GRACE + 2 * report.epoch_duration)
        self._place.reported(report.checkpoint is not None)
        is_copy = isinstance(self._place, Mirror)
        if is_copy and self._place.stop_requested():
            self._say(Word.STOP)
        elif self._run.is_paced:
            self._phase = Phase.WAITING
        elif is_copy:
            self._say(Word.GO)

    def _say(self, word: Word) -> None:
        assert self._process is not None  # since it began
        self._phase = Phase.TRAINING
        with contextlib.suppress(OSError):  # it has ended, as is heard next
            self._process.connection.send(word)

    def _move_expiry(self, grace: float) -> None:
        if "time" in self._run.limits:
            left = self._run.limits["time"][1] - self._reports.run_duration
            self._expires = time.monotonic() + max(0.0, left + grace)

    def _finish(self, reports: list[Report], record: TrialRecord) -> Told:
        assert self._place is not None  # since it began
        self._place.written()
        self._phase = Phase.OVER
        if not self._has_reported and self.last is not None and record.state.is_finished:
            reports = [self.last]  # of a trial that had ended before
        return Told(tuple(reports), record.state, record.error)

    def _expire(self) -> TrialRecord:
        """End a trial that has not reported for too long."""
        assert self._process is not None and self._place is not None  # since it began
        folder = self._place.folder
        ending = Ending.timed_out(self._reports, self._run.limits["time"][1])
        try:
            self._process.end(patience=0)
        except RuntimeError:  # a thread, which goes with this process
            record_end(folder, ending, is_held=True)
            raise
        record = record_end(folder, ending)
        assert record is not None  # written when the trial began
        return record

    def _die(self, error: DiedError) -> NoReturn:
        """Keep in the trial's folder what the attempt has failed with, and the last of what it printed.

        Raises:
            DiedError: so that Tune tries again, as often as the sweep file says.
        """
        if self._place is not None:
            folder = self._place.folder
            printed = last_output(folder.output_file)
            with contextlib.suppress(OSError, StoreError):  # a full disk; the driver is told the reason all the same
                folder.write_error(f"{error}\n" + (f"\nIts last output:\n{printed}\n" if printed else ""))
                self._place.written()
        self._phase = Phase.OVER
        raise error from None

    def close(self) -> None:
        """End the trial, where it has not ended, and let go of its folder.

        Raises:
            RuntimeError: it does not end; this process cannot be used for another trial.
        """
        process, self._process = self._process, None
        where, self._place = self._place, None
        try:
            if process is not None:
                stopped = where is not None and self._phase is not Phase.OVER and is_ended(where)
                with contextlib.suppress(OSError):  # it has ended
                    process.connection.send(Word.STOPPED if stopped else Word.LEAVE)
                process.end(PATIENCE)
        finally:
            self._phase = Phase.OVER
            if where is not None:
                where.close()


def is_ended(where: Here) -> bool:
    """Whether the trial's end is on record, which the driver may have decided."""
    with contextlib.suppress(StoreError):
        record = where.record()
        return record is not None and record.state.is_finished
    return False
