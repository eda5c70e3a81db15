"""The end of a run whose Ray has died: the driver would wait for ever, or until Ray ends it without a word."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType

from raysweep import cluster
from raysweep.errors import BROKEN_OFF
from raysweep.progress import Progress

INTERVAL = 1.0  # seconds between looks at Ray's processes
GRACE = 20.0  # seconds for the sweep to end by itself; Tune waits 10 for workers that do not answer


class Watchdog:
    """Tells `progress` when the Ray of this process has died, for as long as the block lasts.

    A call that waits for a dead GCS cannot be interrupted, and Ray itself ends the process one to two minutes later,
    with exit code 1. So a block that does not end is ended with the process, sooner and with the reason.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._over = threading.Event()
        self._barked = False

    def __enter__(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Swallow the error that follows from Ray's death: `progress` has the reason."""
        self._over.set()
        return self._barked and isinstance(error, Exception)

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            if (name := cluster.dead()) and not self._over.is_set():
                self._barked = True
                self._progress.fault = f"Ray's {name} has died; see that this machine has memory left"
                if not self._over.wait(GRACE):
                    self._end()
                return

    def _end(self) -> None:
        self._progress.__exit__(None, None, None)
        sys.stderr.write(f"raysweep: {self._progress.reason}\n")  # not buffered
        cluster.kill()
        os._exit(BROKEN_OFF)
