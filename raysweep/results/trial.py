"""What is known of one planned trial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raysweep.store.folder import CHECKPOINT
from raysweep.store.records import Report, State, TrialError
from raysweep.sweepfile.parameters import flat


@dataclass(frozen=True)
class TrialResult:
    """What is known of one planned trial.

    Attributes:
        number: its place in the plan, from 1.
        id: the hash of its configuration.
        name: what is different about it, and its id.
        config: what the training function is called with.
        state: NEW where it never ran.
        error: why it failed.
        reports: one per epoch.
        best: the report with the best metric, of those with a checkpoint where there are any.
        path: its folder.
        started, ended: seconds since 1970, of its last attempt; None where there was none, or it has not ended.
        host: where that ran.
        is_complete: whether it ended by itself, and not at a limit or by early stopping.
    """

    number: int
    id: str
    name: str
    config: Mapping[str, Any]
    state: State
    error: TrialError | None
    reports: tuple[Report, ...]
    best: Report | None
    path: Path
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    is_complete: bool = False

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The configuration with dotted names."""
        return flat(self.config)

    @property
    def last(self) -> Report | None:
        """The last report."""
        return self.reports[-1] if self.reports else None

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the best epoch's checkpoint, where it is there."""
        return self.checkpoint_of(self.best)

    def checkpoint_of(self, report: Report | None) -> Path | None:
        """The folder of the checkpoint that came with a report, where it is there."""
        name = checkpoint_name(report)
        path = self.path / name if name else None
        return path if path is not None and path.is_dir() and not path.is_symlink() else None


def checkpoint_name(report: Report | None) -> str | None:
    """What the folder of a report's checkpoint is called; None where a record names none in the trial's."""
    name = report.checkpoint if report else None
    return name if isinstance(name, str) and re.fullmatch(rf"{CHECKPOINT}\w+", name) else None
