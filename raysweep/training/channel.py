"""Reports from the processes that a trial's program has started, on their way to the trial: over a socket."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import TrainableError

ADDRESS = "RAYSWEEP_REPORTS"  # the environment variable that says where a trial's program listens
LONGEST = 2**24  # bytes of one message


class Channel:
    """The trial, from within a process that its program has started."""

    def __init__(self, address: str) -> None:
        self._address = address

    @classmethod
    def here(cls) -> Channel | None:
        """The channel of this process; None where no program of a trial has started it."""
        address = os.environ.get(ADDRESS)
        return cls(address) if address else None

    @property
    def checkpoint(self) -> Path | None:
        """The directory of the last checkpoint."""
        found = self._ask({"checkpoint": True})["checkpoint"]
        return Path(found) if found else None

    def report(
        self,
        metrics: Mapping[str, float | str],
        checkpoint: Path | Callable[[Path], object] | None = None,
        is_counted: bool = False,
    ) -> None:
        """Hand a report on; the process ends where the trial does.

        Raises:
            TrainableError: the trial is gone, or could not take it.
        """
        if checkpoint is not None and not isinstance(checkpoint, Path):
            with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
                checkpoint(Path(folder))
                self.report(metrics, Path(folder), is_counted)
            return
        place = None if checkpoint is None else str(checkpoint.resolve())
        answer = self._ask({"metrics": dict(metrics), "place": place, "is_counted": is_counted})
        if answer.get("left"):
            raise SystemExit("raysweep: the trial is over")
        if "error" in answer:
            raise TrainableError(str(answer["error"]))

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self._address)
                client.sendall(json.dumps(message).encode() + b"\n")
                answer: dict[str, Any] = json.loads(client.makefile("rb").readline(LONGEST))
        except (OSError, ValueError):
            raise TrainableError("raysweep.report(): the trial that this process belongs to is gone") from None
        return answer
