"""A trial without Ray: what it reports is kept in the calling process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raysweep.training.events import EventLog
from raysweep.training.reporting import Saving, TrialContext, running


class TrialKilledError(Exception):
    """The trial was killed after a report."""


class FakeSession:
    """Keeps what a trial reports, and gives it its last checkpoint back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[dict[str, Any]] = []
        self.checkpoints: list[Path] = []
        self._dies_after = 0

    @contextmanager
    def trial(self, dies_after: int = 0) -> Iterator[None]:
        """Within the block a trial runs; killed after `dies_after` reports, the block ends quietly."""
        self._dies_after = dies_after
        done = len(self.checkpoints)
        events = EventLog(self.folder / "events", resumed_at=done or None)
        spent = self.reports[-1]["run_duration"] if done else 0.0
        trial = TrialContext("trial", self.folder, events, self, epoch=done, run_duration=spent)
        try:
            with running(trial):
                yield
        except TrialKilledError:
            pass
        finally:
            events.close()

    def column(self, metric: str) -> list[Any]:
        return [report[metric] for report in self.reports]

    def events(self) -> EventAccumulator:
        sizes = {"histograms": 0, "images": 0, "scalars": 0, "graph": 1}
        return EventAccumulator(str(self.folder / "events"), size_guidance=sizes).Reload()

    def report(
        self, metrics: Mapping[str, float | str], checkpoint: Path | Saving | None = None, is_counted: bool = False
    ) -> None:
        self.reports.append(dict(metrics))
        if checkpoint is not None:
            kept = self.folder / f"checkpoint_{len(self.reports)}"
            if isinstance(checkpoint, Path):
                shutil.copytree(checkpoint, kept)
            else:
                kept.mkdir()
                checkpoint(kept)
            self.checkpoints.append(kept)
        if len(self.reports) == self._dies_after:
            raise TrialKilledError

    @property
    def checkpoint(self) -> Path | None:
        return self.checkpoints[-1] if self.checkpoints else None


def without_times(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reports without what differs from one run to the next."""
    times = {"epoch_duration", "run_duration", "samples_per_second"}
    return [{name: value for name, value in report.items() if name not in times} for report in reports]
