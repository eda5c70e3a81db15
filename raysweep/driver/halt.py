"""When a run as a whole ends before its last trial: it was asked to, its time is up, or it is hopeless."""

from __future__ import annotations

import time
from typing import Any

from ray import tune
from ray.tune.stopper import NoopStopper

from raysweep.driver.progress import Progress
from raysweep.errors import StoreError
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import reason
from raysweep.sweepfile.limits import seconds
from raysweep.sweepfile.spec import SweepSpec

ALIKE = 5  # so many first trials that all fail the same way make a sweep hopeless
INTERVAL = 0.5  # seconds between looks at the clock and at the run directory


class Halt(tune.Stopper):  # type: ignore[misc]  # Ray ships no types
    """Asked by Tune after each event whether to stop everything.

    A run that is to stop drains first: workers end their trials after the epoch at hand, and begin none.

    Args:
        spec: the sweep.
        store: its run directory.
        progress: knows which trials run and how others ended, and is told of the end.
        max_failures: stop after so many failed trials; None for when the first `ALIKE` all fail the same
            way, 0 for never.
    """

    def __init__(self, spec: SweepSpec, store: RunDirectory, progress: Progress, max_failures: int | None) -> None:
        self._store = store
        self._progress = progress
        self._max_failures = max_failures
        self._deadline = time.monotonic() + seconds(spec.budget) if spec.budget else None
        self._draining: set[str] | None = None
        self._next_look = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its stopper to restore it later, which is never done here."""
        return NoopStopper, ()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial is to stop: that is decided where it runs."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything now."""
        if self._progress.fault is not None or self._is_hopeless():
            return True
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + INTERVAL
        try:
            self._store.fence()
        except (StoreError, OSError) as error:
            self._progress.failing(reason(error, self._store.path))
            return True
        if self._draining is None:
            self._look()
        return self._draining is not None and not self._draining & self._progress.running.keys()

    def close(self) -> None:
        """Say why the run has ended, where its trials had drained before the next look."""
        if self._progress.waiting and self._store.stop_requested():
            self._progress.halting(self._progress.halted or "asked to stop")

    def _look(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._progress.halting("the budget is used up; running trials finish their epoch")
            self._store.request_stop()
        elif self._store.stop_requested():
            self._progress.halting("asked to stop; running trials finish their epoch")
        elif self._progress.has_reached_target:
            self._progress.halting("the metric's target is reached; running trials finish their epoch")
            self._store.request_stop()
        else:
            return
        self._draining = set(self._progress.running)

    def _is_hopeless(self) -> bool:
        errors = self._progress.errors
        if self._max_failures is None:
            alike = {str(error).partition("\n")[0] for _, error in errors}
            hopeless = len(errors) >= ALIKE and len(alike) == 1 and len(errors) == self._progress.ended_count
            reason = f"the first {len(errors)} trials all failed the same way (--max-failures 0 goes on regardless)"
        else:
            hopeless = 0 < self._max_failures <= len(errors)
            reason = f"{len(errors)} trials failed (--max-failures {self._max_failures})"
        if hopeless:
            self._progress.halting(reason)
        return hopeless
