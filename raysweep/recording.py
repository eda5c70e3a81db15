"""One trial while it runs: the one writer of its folder.

Order is what makes a crash harmless: a checkpoint is complete before the report that names it is
appended, and older checkpoints go only after that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar

from raysweep.deadline import Deadline
from raysweep.errors import StoreError, TrainableError
from raysweep.job import Job
from raysweep.limits import limit_reached
from raysweep.lock import lock
from raysweep.mirror import Here
from raysweep.records import Reached, Report, State, TrialError, TrialRecord
from raysweep.reporting import Reporter, TrialContext
from raysweep.shelf import Shelf
from raysweep.spec import Metric, flat
from raysweep.store import CHECKPOINT, write_text
from raysweep.tensorboard import EventLog

TRIES = 600  # to lock a trial's folder, in half a minute: the worker of a killed run lets go of it
GRACE = 1.0  # seconds, and two epochs, that a trial may take to report after its time is up

Value = TypeVar("Value")


class Recording:
    """Records a trial from its start, or from its last checkpoint, to its end.

    Args:
        job: the trial.
        place: where its folder is to be written.

    Raises:
        StoreError: the folder cannot be written, or another process is still writing to it.
    """

    def __init__(self, job: Job, place: Here) -> None:
        self.job = job
        self.place = place
        place.open()
        self.folder = place.folder
        self._metric = Metric(name=job.metric, goal=job.goal)  # type: ignore[arg-type]  # from a checked file
        self._guard = threading.RLock()  # the deadline has its own thread
        self._deadline: Deadline | None = None
        self._lock = _locked(self.folder.path)
        before = self.folder.record()
        self.is_over = before is not None and before.state.is_finished  # by an attempt whose worker was lost
        self.record = before if before is not None and self.is_over else self._started(before)
        reports = self.folder.reports() if self.is_over else self._resumable()
        self.last: Report | None = reports[-1] if reports else None
        self.best = self._metric.best(reports)
        if not self.is_over:
            self.storing(lambda: self._open(reports))

    def storing(self, write: Callable[[], Value]) -> Value:
        """Write something; that it cannot be written is no failure of the trial's.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            return write()
        except OSError as error:
            raise StoreError(f"{self.folder.path}: cannot be written: {error.strerror or error}") from error

    def _started(self, before: TrialRecord | None) -> TrialRecord:
        job = self.job
        goes_on = before is not None and before.state is not State.NEW
        return TrialRecord(
            id=job.id,
            name=job.name,
            trainable=job.trainable,
            config=job.config,
            state=State.RUNNING,
            code=before.code if before is not None and goes_on else job.code,
            attempts=before.attempts + 1 if before is not None and goes_on else 1,
            started=time.time(),
            host=platform.node(),
            pid=os.getpid(),
        )

    def _resumable(self) -> list[Report]:
        """The reports up to the last checkpoint; all later ones will be made again."""
        reports = self.folder.reports()
        there = {path.name for path in self.folder.checkpoints()}
        while reports and reports[-1].checkpoint not in there:
            reports.pop()
        return reports

    def _open(self, reports: list[Report]) -> None:
        if not reports:
            self.folder.clear()
        self.folder.keep_reports(reports)
        self.folder.error_file.unlink(missing_ok=True)
        self.folder.write(self.record)
        self._results: IO[str] = self.folder.result_file.open("a", encoding="utf-8")
        self.output: IO[str] = self.folder.output_file.open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        )
        self.events = EventLog(self.folder.path, self.epoch or None)
        self.events.session_start(flat(self.job.config), self.folder.path.name)
        self.place.written()

    def start_clock(self) -> None:
        """From now on the trial's time counts; what was imported before does not."""
        if (left := self._time_left()) is not None:
            self._deadline = Deadline(left, self._expire)

    @property
    def epoch(self) -> int:
        """The last epoch that was reported."""
        return self.last.epoch if self.last else 0

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from."""
        return self.folder.path / self.last.checkpoint if self.last and self.last.checkpoint else None

    def context(self, reporter: Reporter, shelf: Shelf) -> TrialContext:
        """What the training function may know of the trial, whom it reports to, and what it shares with others."""
        run_duration = self.last.run_duration if self.last else 0.0
        return TrialContext(self.job.id, self.folder.path, self.events, reporter, self.epoch, run_duration, shelf)

    @property
    def next_checkpoint(self) -> str:
        """The folder of the checkpoint that comes with the next report."""
        return f"{CHECKPOINT}{self.epoch + 1:06d}"

    def save_checkpoint(self, source: Path) -> str:
        """Copy a directory to be the next checkpoint; returns the folder's name.

        Raises:
            StoreError: it cannot be written.
        """
        if not source.is_dir():
            raise TrainableError(f"the checkpoint {str(source)!r} must be a directory, and there is none")
        return self.storing(lambda: self.folder.save_checkpoint(source, self.next_checkpoint)).name

    def add(self, metrics: Mapping[str, float | str], duration: float, checkpoint: str | None) -> None:
        """Record one report, and the trial's end where it reaches a limit.

        Args:
            metrics: as reported.
            duration: of the epoch, in seconds.
            checkpoint: the folder of the checkpoint that came with it.

        Raises:
            StoreError: it cannot be written.
        """
        total = duration + (self.last.run_duration if self.last else 0.0)
        report = Report(self.epoch + 1, time.time(), duration, total, metrics, checkpoint)
        with self._guard:
            if self.is_over:
                return
            self.storing(lambda: self._append(report))
            if (limit := limit_reached(report, self.job.stop)) is not None:
                self.finish(self.missing_metric(), limit=limit)
            elif self._deadline is not None:
                self._deadline.move((self._time_left() or 0.0) + GRACE + 2 * duration)

    def _append(self, report: Report) -> None:
        self._results.write(report.to_json() + "\n")
        self._results.flush()
        self.last = report
        self.best = self._metric.best([self.best, report] if self.best else [report])
        if report.checkpoint:
            kept = [path.name for path in self.folder.checkpoints()][-self.job.keep_last :]
            self.folder.prune_checkpoints([*kept, self.best.checkpoint or ""] if self.best else kept)
        scalars = {name: value for name, value in report.metrics.items() if not isinstance(value, str)}
        self.events.scalars(scalars, report.epoch)
        self.place.reported(report.checkpoint is not None)

    def _time_left(self) -> float | None:
        if "time" not in self.job.stop:
            return None
        return self.job.stop["time"][1] - (self.last.run_duration if self.last else 0.0)

    def _expire(self) -> None:
        """End a trial that has not reported for too long; only its process can be ended, so that goes."""
        with self._guard:
            if self.is_over:
                return
            seconds = self.job.stop["time"][1]
            if self.last is None:
                self.finish(TrialError("TimeLimit", f"nothing was reported within {seconds:g} s (stop.time)"))
            else:
                self.finish(self.missing_metric(), limit=Reached("time", seconds))
            os._exit(1)

    def missing_metric(self) -> TrialError | None:
        """What is wrong with the reports as a whole, when there will be no more."""
        if self.last is None:
            return TrialError("NoReport", "the training function returned without reporting; call raysweep.report()")
        if self.best is None:
            told = ", ".join(sorted(self.last.metrics)) or "nothing"
            if isinstance(self.last.metrics.get(self.job.metric), str):
                told = f"the metric {self.job.metric!r} was reported as text, and never as a number"
                return TrialError("MetricMissing", told)
            return TrialError("MetricMissing", f"the metric {self.job.metric!r} was never reported; reported: {told}")
        return None

    def fail(self, error: BaseException) -> None:
        """Record that user code raised an exception, which ends the trial.

        Raises:
            StoreError: it cannot be written, or what was raised is that the disk is full.
        """
        if isinstance(error, StoreError):
            raise error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise StoreError(f"{error.filename or 'the disk'}: cannot be written: {error.strerror}")
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.finish(TrialError.of(error), text)

    def finish(self, error: TrialError | None = None, text: str = "", limit: Reached | None = None) -> None:
        """Record the trial's end; does nothing where it has one.

        Raises:
            StoreError: it cannot be written.
        """
        with self._guard:
            if self.is_over:
                return
            self.storing(lambda: self._finish(error, text, limit))
            self.is_over = True

    def _finish(self, error: TrialError | None, text: str, limit: Reached | None) -> None:
        if error is not None:
            write_text(self.folder.error_file, text or f"{error}\n")
        self.events.session_end(succeeded=error is None)
        self.events.flush()
        state = error.state if error else State.DONE
        record = replace(self.record, state=state, error=error, limit=limit, ended=time.time())
        self.folder.write(record)
        self.place.written()
        self.record = record

    def interrupt(self) -> None:
        """Record that the trial waits for the next run, where it goes on from its last checkpoint.

        Raises:
            StoreError: it cannot be written.
        """
        with self._guard:
            if not self.is_over:
                self.record = replace(self.record, state=State.INTERRUPTED, ended=time.time())
                self.storing(lambda: self.folder.write(self.record))
                self.place.written()
                self.is_over = True

    def close(self) -> None:
        """Let go of the folder, whether the trial has ended or not."""
        if self._deadline is not None:
            self._deadline.cancel()
        if hasattr(self, "events"):
            for close in (self._close_events, self._results.close, self.output.close):
                with contextlib.suppress(OSError, StoreError):  # a full disk; what counts was told when it was written
                    close()
        self.place.close()
        os.close(self._lock)

    def _close_events(self) -> None:
        record = self.record if self.is_over else self.place.record()
        if not self.is_over and record is not None and record.state.is_finished:
            self.events.session_end(succeeded=True)  # early stopping is decided, and recorded, by the driver
        self.events.close()


def _locked(path: Path) -> int:
    """A lock on a trial's folder, which is made where it is missing; it goes with the process."""
    try:
        path.mkdir(exist_ok=True)
        return lock(path, tries=TRIES)
    except BlockingIOError:
        raise StoreError(f"{path}: another process still writes here; end it and run again") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
