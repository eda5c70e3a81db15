"""A trial without Ray: what ray.tune.report and ray.tune.get_checkpoint do, in the calling process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raysweep.reporting import TrialContext, running
from raysweep.tensorboard import EventLog


class TrialKilledError(Exception):
    """The trial was killed after a report."""


class FakeSession:
    """Keeps what a trial reports, and gives it its last checkpoint back."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.reports: list[dict[str, Any]] = []
        self.checkpoints: list[Path] = []
        self._dies_after = 0
        monkeypatch.setattr(tune, "report", self._report)
        monkeypatch.setattr(tune, "get_checkpoint", self._get_checkpoint)

    @contextmanager
    def trial(self, dies_after: int = 0) -> Iterator[None]:
        """Within the block a trial runs; killed after `dies_after` reports, the block ends quietly."""
        self._dies_after = dies_after
        done = len(self.checkpoints)
        events = EventLog(self.folder / "events", resumed_at=done or None)
        spent = self.reports[-1]["run_duration"] if done else 0.0
        trial = TrialContext("trial", self.folder, events, epoch=done, run_duration=spent)
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

    def _report(self, metrics: Mapping[str, Any], checkpoint: tune.Checkpoint | None = None) -> None:
        self.reports.append(dict(metrics))
        if checkpoint is not None:
            kept = self.folder / f"checkpoint_{len(self.reports)}"
            shutil.copytree(checkpoint.path, kept)
            self.checkpoints.append(kept)
        if len(self.reports) == self._dies_after:
            raise TrialKilledError

    def _get_checkpoint(self) -> Any:
        return tune.Checkpoint.from_directory(str(self.checkpoints[-1])) if self.checkpoints else None


def without_times(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reports without what differs from one run to the next."""
    times = {"epoch_duration", "run_duration", "samples_per_second"}
    return [{name: value for name, value in report.items() if name not in times} for report in reports]
