"""The processes without which a Ray that this process has started does not go on, as the system tells of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VITAL = ("raylet", "gcs_server")  # without these the driver waits for what never comes


@dataclass(frozen=True)
class Processes:
    """Those of one Ray.

    Attributes:
        pids: of each kind's process; all are children of this one.
    """

    pids: Mapping[str, int]

    @classmethod
    def of_this_process(cls) -> Processes | None:
        """Those of the Ray that was started here; None where there is none, or a cluster's worth of them."""
        children = [(name, pid) for name, pid in _children() if name in VITAL]
        return cls(dict(children)) if sorted(name for name, _ in children) == sorted(VITAL) else None

    def dead(self) -> str | None:
        """Which of them has ended."""
        return next((name for name, pid in self.pids.items() if _has_ended(pid)), None)

    def kill(self) -> None:
        """End what is left of them at once; all others that Ray has started follow."""
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _children() -> Iterator[tuple[str, int]]:
    """The names and numbers of the living processes that this one has started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                name, _, rest = (entry / "stat").read_text().partition(" (")[2].rpartition(") ")
                state, parent = rest.split()[:2]
                if int(parent) == os.getpid() and state != "Z":
                    yield name, int(entry.name)


def _has_ended(pid: int) -> bool:
    try:  # looked at, and left for Ray to be told of
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # Ray was told
        return True
