"""A report on its way: recorded in the trial's folder, then told to the worker."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from raysweep.errors import StoreError, TrainableError
from raysweep.training.channel import Channel
from raysweep.training.ranks import rank
from raysweep.training.reporting import Saving
from raysweep.worker.ending import Ending
from raysweep.worker.messages import Left, Link
from raysweep.worker.recording import Recording


class Reporter:
    """Takes what a training reports, from whichever of its threads.

    Args:
        recording: of the trial.
        link: to its worker.
    """

    def __init__(self, recording: Recording, link: Link) -> None:
        self.recording, self._link = recording, link
        self._process = os.getpid()
        self._turn = threading.RLock()
        self._reported_at = time.perf_counter()

    def start_clock(self) -> None:
        """From now on time counts as the next report's."""
        self._reported_at = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the last report."""
        return time.perf_counter() - self._reported_at

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that the trial goes on from, or the last that was reported."""
        return self.recording.checkpoint

    def report(
        self, metrics: Mapping[str, float | str], checkpoint: Path | Saving | None = None, is_counted: bool = False
    ) -> None:
        """Record a report; of several processes that train together, one of rank 0.

        Raises:
            TrainableError: this is a process that the training has started.
            Left: the attempt is over.
        """
        if rank():
            return
        if os.getpid() != self._process:
            if (channel := Channel.here()) is not None:  # a program's, which may report wherever it likes
                channel.report(metrics, checkpoint, is_counted)
                return
            raise TrainableError(
                f"raysweep.report() was called in process {os.getpid()}, which the training function has started in "
                f"process {self._process}; hand the metrics to that one, and report them there"
            )
        with self._turn:
            if self.recording.is_over or self._link.left is not None:
                raise Left
            try:
                self._record(metrics, checkpoint, is_counted)
            except StoreError as error:
                self._link.failed(error)
                self._link.wait()
                raise Left from None
            self._reported_at = time.perf_counter()

    def end(self, ending: Ending) -> None:
        """Record the end of the attempt, in another thread than the training's."""
        with self._turn:
            if not self.recording.is_over:
                self.recording.end(ending)
                self._link.finished(self.recording.record)

    def _record(self, metrics: Mapping[str, float | str], checkpoint: Path | Saving | None, is_counted: bool) -> None:
        recording = self.recording
        name = None if checkpoint is None else recording.save_checkpoint(checkpoint)
        report = recording.add(metrics, self.elapsed, name, is_counted)
        if self._link.reported(report, is_last=recording.is_over):
            recording.end(Ending.interrupted())
        if recording.is_over:
            self._link.finished(recording.record)
            raise Left
