"""One of several trials in a process, from the side of Ray's worker: what it has reported, its time, its end."""

from __future__ import annotations

import time

from raysweep.plan.reconciliation import Standing
from raysweep.plan.run import Run
from raysweep.store.records import Report, TrialError, TrialRecord
from raysweep.transfer.mirror import Here, place
from raysweep.worker.attempt import GRACE, Told, is_ended
from raysweep.worker.ending import Ending, Reports
from raysweep.worker.output import last_output
from raysweep.worker.process import DiedError
from raysweep.worker.recording import record_end


class Member:
    """One of the trials.

    Attributes:
        where: its folder, or the copy of it.
        notice: what a person may want to know, told with the next report.
        expires: when its time is up, on the monotonic clock; None while it does not count, or has no end.
        record: of its end; None while it trains.
        deaths: how many processes of its own have died.
    """

    def __init__(self, run: Run, standing: Standing) -> None:
        self._run, self.standing = run, standing
        self.where: Here = place(standing.folder.path, run.receiver, run.lease)
        self.reports = Reports(run.metric)
        self.news: list[Report] = []  # which the driver has not been told of
        self.notice: str | None = None
        self.expires: float | None = None
        self.record: TrialRecord | None = None
        self.deaths = 0
        self._is_told = False
        self._has_reported = False

    def begun(self, reports: Reports) -> None:
        """It is recorded as running."""
        self.reports = reports
        self.where.written()

    def reported(self, report: Report) -> None:
        """It has reported."""
        self.reports = self.reports.plus(report)
        self.news.append(report)
        self._has_reported = True
        self.move_expiry(GRACE + 2 * report.epoch_duration)
        self.where.reported(report.checkpoint is not None)

    def finished(self, record: TrialRecord) -> None:
        """It has ended."""
        self.where.written()
        self.record, self.expires = record, None
        if not self._has_reported and self.reports.last is not None and record.state.is_finished:
            self.news = [self.reports.last]  # it had ended before

    def move_expiry(self, grace: float) -> None:
        """From now on it has so many seconds more than is left of its time."""
        if "time" in self._run.limits:
            left = self._run.limits["time"][1] - self.reports.run_duration
            self.expires = time.monotonic() + max(0.0, left + grace)

    def expire(self) -> None:
        """Record that its time was up; its process is gone."""
        self._end(Ending.timed_out(self.reports, self._run.limits["time"][1]))

    def die(self, error: DiedError) -> None:
        """Its own process has died: once more than it may, and it has failed."""
        self.deaths += 1
        if self.deaths > self._run.retries:
            printed = last_output(self.where.folder.output_file)
            text = f"{error}\n" + (f"\nIts last output:\n{printed}\n" if printed else "")
            self._end(Ending.failed(TrialError(error.kind, error.reason), text))

    def _end(self, ending: Ending) -> None:
        record = record_end(self.where.folder, ending)
        assert record is not None  # written when the trial began
        self.finished(record)

    def stopped(self) -> bool:
        """Whether the driver has ended it meanwhile."""
        return self.record is None and is_ended(self.where)

    def told(self) -> Told | None:
        """What the driver is told of it; None where nothing is new."""
        if self._is_told or (self.record is None and not self.news):
            return None
        reports, self.news = tuple(self.news), []
        notice, self.notice = self.notice, None
        if self.record is None:
            return Told(reports, notice=notice)
        self._is_told = True
        return Told(reports, self.record.state, self.record.error, notice=notice)
