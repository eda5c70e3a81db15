"""One trial while it runs: the one writer of its folder.

Order is what makes a crash harmless: a checkpoint is complete before the report that names it is
appended, and older checkpoints go only after that.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from raysweep.errors import StoreError
from raysweep.records import Report, State, TrialError, TrialRecord
from raysweep.reporting import TrialContext
from raysweep.spec import Metric, flat
from raysweep.store import TrialFolder, write_text
from raysweep.tensorboard import EventLog

PATIENCE = 30.0  # seconds to wait for the worker of a killed run to let go of a trial's folder


@dataclass(frozen=True)
class Job:
    """What a worker is told of a trial; plain data, so that it travels as JSON.

    Attributes:
        folder: the absolute path of the trial's folder.
        id, name, config: as planned.
        trainable: the sweep file's text, and `directory` what it is relative to.
        metric, goal: what trials are compared by.
        stop: limits of "epoch", "time" (seconds) and metrics, each as (comparison, number).
        threads: of torch and OpenMP.
        seed: what the random generators start from.
    """

    folder: str
    id: str
    name: str
    config: dict[str, Any]
    trainable: str
    directory: str
    metric: str
    goal: str
    stop: dict[str, tuple[str, float]]
    threads: int
    seed: int


class Recording:
    """Records a trial from its start, or from its last checkpoint, to its end.

    Args:
        job: the trial.

    Raises:
        StoreError: another process is still writing to the folder.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = TrialFolder(Path(job.folder))
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self._metric = Metric(name=job.metric, goal=job.goal)  # type: ignore[arg-type]  # from a checked file
        self._lock = _locked(self.folder.path)
        self.record = self._started()
        if self.record.state.is_finished:
            return
        reports = self._resumable()
        self._open(reports)

    def _started(self) -> TrialRecord:
        """The record of this attempt; unchanged where an earlier attempt of this run finished it."""
        before = self.folder.record()
        if before is not None and before.state.is_finished:
            return before
        job = self.job
        return TrialRecord(
            id=job.id,
            name=job.name,
            trainable=job.trainable,
            config=job.config,
            state=State.RUNNING,
            attempts=before.attempts + 1 if before and before.state is not State.NEW else 1,
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
        self.best = self._metric.best(reports)
        self.last: Report | None = reports[-1] if reports else None
        if not reports:
            self.folder.clear()
        self.folder.keep_reports(reports)
        self.folder.write(self.record)
        self._results: IO[str] = self.folder.result_file.open("a", encoding="utf-8")
        self.output: IO[str] = self.folder.output_file.open("a", buffering=1, encoding="utf-8")
        self.events = EventLog(self.folder.path, self.epoch or None)
        self.events.session_start(flat(self.job.config), self.folder.path.name)

    @property
    def epoch(self) -> int:
        """The last epoch that was reported."""
        return self.last.epoch if self.last else 0

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from."""
        return self.folder.path / self.last.checkpoint if self.last and self.last.checkpoint else None

    @property
    def context(self) -> TrialContext:
        """What the training function may know of the trial."""
        run_duration = self.last.run_duration if self.last else 0.0
        return TrialContext(self.job.id, self.folder.path, self.events, self.epoch, run_duration)

    def add(self, metrics: Mapping[str, float | str], duration: float, checkpoint: str | None) -> Report:
        """Record one report.

        Args:
            metrics: as reported.
            duration: of the epoch, in seconds.
            checkpoint: the folder of the checkpoint that came with it.
        """
        total = duration + (self.last.run_duration if self.last else 0.0)
        report = Report(self.epoch + 1, time.time(), duration, total, metrics, checkpoint)
        self._results.write(report.to_json() + "\n")
        self._results.flush()
        self.last = report
        self.best = self._metric.best([self.best, report] if self.best else [report])
        if checkpoint:
            kept = (report.checkpoint, self.best.checkpoint if self.best else None)
            self.folder.prune_checkpoints(name for name in kept if name)
        scalars = {name: value for name, value in metrics.items() if not isinstance(value, str)}
        self.events.scalars(scalars, report.epoch)
        return report

    def limit(self) -> str | None:
        """The limit of `stop` that the last report reached."""
        if self.last is None:
            return None
        epoch = self.last.epoch  # Ray Tune calls it training_iteration
        known = {
            **self.last.metrics,
            "epoch": epoch,
            "training_iteration": epoch,
            "time": self.last.run_duration,
        }
        for name, (comparison, bound) in self.job.stop.items():
            value = known.get(name)
            if not isinstance(value, (int, float)):
                continue
            if value >= bound if comparison == ">=" else value <= bound:
                return name
        return None

    def missing_metric(self) -> TrialError | None:
        """What is wrong with the reports as a whole, when the training function has returned."""
        if self.last is None:
            return TrialError("NoReport", "the training function returned without reporting; call raysweep.report()")
        if self.best is None:
            told = ", ".join(sorted(self.last.metrics)) or "nothing"
            return TrialError("MetricMissing", f"the metric {self.job.metric!r} was never reported; reported: {told}")
        return None

    def finish(self, error: TrialError | None = None, traceback: str = "") -> None:
        """Record the trial's end; does nothing where it has one."""
        if self.record.state.is_finished:
            return
        if error is not None:
            write_text(self.folder.error_file, traceback or f"{error}\n")
        state = State.FAILED if error else State.DONE
        self.events.session_end(succeeded=error is None)
        self.events.flush()
        self.record = replace(self.record, state=state, error=error, ended=time.time())
        self.folder.write(self.record)

    def close(self) -> None:
        """Let go of the folder, whether the trial has ended or not."""
        if hasattr(self, "events"):
            self.events.close()
            self._results.close()
            self.output.close()
        os.close(self._lock)


def _locked(path: Path) -> int:
    """A lock on a trial's folder; it goes with the process."""
    handle = os.open(path, os.O_RDONLY)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise StoreError(f"{path}: another process still writes here; end it and run again") from None
            time.sleep(0.05)
