"""One trial while it runs: the one writer of its folder.

Order is what makes a crash harmless: a checkpoint is complete before the report that names it is
appended, and older checkpoints go only after that.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from raysweep.errors import TrainableError
from raysweep.plan.run import Run
from raysweep.plan.trials import Trial
from raysweep.store.fault import AttemptError, telling
from raysweep.store.folder import CHECKPOINT, TrialFolder
from raysweep.store.lock import lock
from raysweep.store.records import Report, State, TrialRecord
from raysweep.sweepfile.limits import limit_reached
from raysweep.sweepfile.parameters import flat
from raysweep.training.reporting import Saving
from raysweep.worker.ending import Ending, Reports

TRIES = 600  # to lock a trial's folder, in half a minute: the worker of a killed run lets go of it


class Recording:
    """Records a trial from its start, or from its last checkpoint, to its end.

    Args:
        run: what the trial belongs to.
        trial: as planned.
        folder: where it is recorded; made where it is missing.

    Attributes:
        record: of the trial; finished where an attempt whose worker was lost had ended it.
        reports: what was reported.
        events: its event file.

    Raises:
        AttemptError: another process is still writing to the folder, or what it holds is damaged.
        StoreError: the run directory cannot be written.
        OSError: this folder cannot.
    """

    def __init__(self, run: Run, trial: Trial, folder: TrialFolder) -> None:
        self.run, self.trial, self.folder = run, trial, folder
        self._lock = _locked(folder)
        before = folder.record()
        reports = folder.reports()
        if before is not None and before.state.is_finished:
            self.record = before
            self.reports = Reports.of(run.metric, reports)
            return
        self.record = self._started(before)
        reports = self._resumable(reports)
        self.reports = Reports.of(run.metric, reports)
        with self._telling():
            self._open(reports)

    @property
    def is_over(self) -> bool:
        """Whether the attempt has ended."""
        return self.record.state is not State.RUNNING

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from."""
        last = self.reports.last
        return self.folder.path / last.checkpoint if last and last.checkpoint else None

    def _telling(self) -> AbstractContextManager[None]:
        return telling(self.folder.path.parent)

    def _started(self, before: TrialRecord | None) -> TrialRecord:
        goes_on = before is not None and before.state is not State.NEW
        return TrialRecord(
            id=self.trial.id,
            name=self.trial.name,
            trainable=self.run.reference.text,
            config=self.trial.config,
            state=State.RUNNING,
            code=before.code if before is not None and goes_on else self.run.code,
            attempts=before.attempts + 1 if before is not None and goes_on else 1,
            started=time.time(),
            host=platform.node(),
            pid=os.getpid(),
        )

    def _resumable(self, reports: list[Report]) -> list[Report]:
        """The reports up to the last checkpoint; all later ones will be made again."""
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
        self._results = self.folder.reporting()
        from raysweep.training.events import EventLog  # not where Ray's worker only ends what others have begun

        self.events = EventLog(self.folder.path, self.reports.epoch or None)
        self.events.session_start(flat(self.trial.config), self.folder.path.name)

    def save_checkpoint(self, source: Path | Saving, lasting: bool = True) -> str:
        """Copy a directory to be the checkpoint of the next report, or have it written; returns the folder's name.

        Without `lasting`, it and the logs are on the disk once `files.sync_disk` has returned.

        Raises:
            StoreError: the run directory cannot be written, or another attempt has begun.
            OSError: this folder cannot be.
        """
        if isinstance(source, Path) and not source.is_dir():
            raise TrainableError(f"the checkpoint {str(source)!r} must be a directory, and there is none")
        name = f"{CHECKPOINT}{self.reports.epoch + 1:06d}"
        with self._telling():
            if lasting:
                self._sync_logs()
            self.folder.save_checkpoint(source, name, lasting)
        return name

    def add(
        self, metrics: Mapping[str, float | str], duration: float, checkpoint: str | None, is_counted: bool = False
    ) -> Report:
        """Record one report, and the trial's end where it reaches a limit.

        Args:
            metrics: as reported.
            duration: of the epoch, in seconds.
            checkpoint: the folder of the checkpoint that came with it.
            is_counted: whether a `Recorder` has counted that this is one epoch.

        Raises:
            StoreError: the run directory cannot be written, or another attempt has begun.
            OSError: this folder cannot be.
        """
        report = self.append(metrics, duration, checkpoint, is_counted)
        self.follow(report)
        return report

    def append(
        self,
        metrics: Mapping[str, float | str],
        duration: float,
        checkpoint: str | None,
        is_counted: bool = False,
        lasting: bool = True,
    ) -> Report:
        """The first half of `add`: record a report; without `lasting` it is once `files.sync_disk` has returned."""
        total = duration + self.reports.run_duration
        report = Report(self.reports.epoch + 1, time.time(), duration, total, metrics, checkpoint, is_counted)
        with self._telling():
            self._results.add(report.to_json(), lasting)
            self.reports = self.reports.plus(report)
        return report

    def follow(self, report: Report) -> None:
        """The second half of `add`, once the report lasts: what comes with it, and the end where it reaches a limit."""
        with self._telling():
            if report.checkpoint:
                self._prune()
            scalars = {name: value for name, value in report.metrics.items() if not isinstance(value, str)}
            self.events.scalars(scalars, report.epoch)
        if (limit := limit_reached(report, self.run.limits)) is not None:
            self.end(Ending.complete(self.reports, limit))

    def _sync_logs(self) -> None:
        """Have on the disk what was logged, which reports and records that follow may rest on."""
        self.events.flush()
        self.folder.sync()

    def _prune(self) -> None:
        kept = [path.name for path in self.folder.checkpoints()][-self.run.keep_last :]
        best = self.reports.best
        self.folder.prune_checkpoints([*kept, best.checkpoint or ""] if best else kept)

    def end(self, ending: Ending) -> None:
        """Record the attempt's end; does nothing where it has one.

        Raises:
            StoreError: the run directory cannot be written, or another attempt has begun.
            OSError: this folder cannot be.
        """
        if not self.is_over:
            with self._telling():
                self._end(ending)

    def _end(self, ending: Ending) -> None:
        if ending.state.is_finished:
            self.events.session_end(succeeded=ending.error is None)
            self._sync_logs()
        self.record = _write_end(self.folder, self.record, ending)

    def close(self, stopped: bool = False) -> None:
        """Let go of the folder, whether the trial has ended or not.

        Args:
            stopped: whether the driver has recorded that early stopping ended it.
        """
        if hasattr(self, "events"):
            if stopped and not self.is_over:
                self.events.session_end(succeeded=True)
            for close in (self.events.close, self._results.close):
                with contextlib.suppress(OSError):  # a full disk; what counts was told when it was written
                    close()
        os.close(self._lock)


def record_end(folder: TrialFolder, ending: Ending, is_held: bool = False) -> TrialRecord | None:
    """Record the end of an attempt whose process is gone, unless it had recorded one itself; returns the record.

    Args:
        folder: the trial's.
        ending: how the attempt has ended.
        is_held: whether this process holds the folder's lock.

    Raises:
        StoreError: the run directory cannot be written, or another attempt has begun.
        OSError: this folder cannot be.
    """
    handle = None if is_held else _locked(folder)
    try:
        with telling(folder.path.parent):
            record = folder.record()
            if record is None or record.state is not State.RUNNING:
                return record
            from raysweep.training.events import EventLog

            events = EventLog(folder.path)
            events.session_end(succeeded=ending.error is None)
            events.close()
            folder.sync()
            return _write_end(folder, record, ending)
    finally:
        if handle is not None:
            os.close(handle)


def _write_end(folder: TrialFolder, record: TrialRecord, ending: Ending) -> TrialRecord:
    if ending.error is not None:
        folder.write_error(ending.text or f"{ending.error}\n")
    seal = folder.seal() if ending.state.is_finished else None
    ended = replace(record, state=ending.state, error=ending.error, limit=ending.limit, ended=time.time(), seal=seal)
    folder.write(ended)
    return ended


def _locked(folder: TrialFolder) -> int:
    """A lock on a trial's folder, which is made where it is missing; it goes with the process.

    Raises:
        AttemptError: another process holds it.
        StoreError: the run directory cannot be written.
        OSError: this folder cannot.
    """
    try:
        with telling(folder.path.parent):
            folder.create()
            return lock(folder.path, tries=TRIES)
    except BlockingIOError:
        raise AttemptError(f"{folder.path}: another process still writes here; end it and run again") from None
