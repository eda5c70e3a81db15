"""The bookkeeping around a loop whose state a library saves: count, report, and go on where it stopped."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from raysweep.integrations.folder import saved
from raysweep.training.reporting import report_epoch

LOOP = "loop.json"  # how far the loop has come


class Loop(ABC):
    """Counts the epochs of a loop that stays a plain loop, and saves its state after each."""

    def __init__(self) -> None:
        self._metrics: dict[str, object] = {}

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the epochs 1 to `count`; the loop's body trains one, and its end saves and reports it.

        A trial that was interrupted goes on: what the loop was made with is restored from the last checkpoint, and
        the first epoch is the one after it. An epoch that is left with `break` is not reported.
        """
        done = self._resume()
        for epoch in range(done + 1, count + 1):
            self._metrics = {}
            yield epoch
            with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
                self._save(Path(folder))
                Path(folder, LOOP).write_text(json.dumps({"epoch": epoch}), encoding="utf-8")
                report_epoch(self._metrics, Path(folder))

    def metrics(self, **values: object) -> None:
        """Report these with the current epoch, such as `val_accuracy=...`."""
        self._metrics.update(values)

    def _resume(self) -> int:
        state = saved(LOOP)
        if state is None:
            return 0
        self._restore(state.parent)
        return int(json.loads(state.read_text(encoding="utf-8"))["epoch"])

    @abstractmethod
    def _save(self, folder: Path) -> None:
        """Save the state into an empty folder."""

    @abstractmethod
    def _restore(self, folder: Path) -> None:
        """Take up the state that `_save` left in a folder."""
