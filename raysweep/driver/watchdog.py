"""The end of a run whose Ray has died: the driver would wait for ever, or until Ray ends it without a word."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from types import TracebackType

from raysweep.driver.progress import Progress
from raysweep.engine.processes import Processes
from raysweep.errors import BROKEN_OFF

INTERVAL = 1.0  # seconds between looks at Ray's processes
GRACE = 20.0  # seconds for the sweep to end by itself; Tune waits 10 for workers that do not answer


class _Left(BaseException):
    """Raised in the block's thread to leave it; no Exception, after which Tune would ask the dead to clean up."""


class Watchdog:
    """Tells `progress` when the Ray of this process has died, for as long as the block lasts.

    A call that waits for a dead GCS cannot be interrupted: it fails after a minute, and Ray itself ends the process at
    that time, with exit code 1. So a process that may be ended is, sooner and with the reason. In one that may not, its
    caller's, Ray was told to let it live, and the block is left when the call comes back.

    Args:
        progress: is told.
        processes: of the Ray that was started here; None for another, which is not watched.
        may_exit: whether the process may be ended.
    """

    def __init__(self, progress: Progress, processes: Processes | None, may_exit: bool) -> None:
        self._progress = progress
        self._processes = processes
        self._may_exit = may_exit
        self._over = threading.Event()
        self._leaving = threading.Lock()
        self._barked = False

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        if self._processes is not None:
            threading.Thread(target=self._watch, args=(self._processes,), daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Swallow the error that follows from Ray's death: `progress` has the reason."""
        while not self._over.is_set():
            with contextlib.suppress(_Left), self._leaving:  # what was raised at the last moment comes here
                self._over.set()
        return self._barked and isinstance(error, (Exception, _Left))

    def _watch(self, processes: Processes) -> None:
        while not (name := processes.dead()):
            if self._over.wait(INTERVAL):
                return
        if self._over.is_set():
            return
        self._barked = True
        self._progress.fault = f"Ray's {name} has died; see that this machine has memory left"
        if not self._over.wait(GRACE):
            if self._may_exit:
                self._end(processes)
            self._leave()

    def _end(self, processes: Processes) -> None:
        self._progress.__exit__(None, None, None)
        sys.stderr.write(f"raysweep: {self._progress.reason}\n")  # not buffered
        processes.kill()
        os._exit(BROKEN_OFF)

    def _leave(self) -> None:
        """Leave the block as soon as the call that it waits in comes back; it may begin another one before."""
        while not self._over.wait(INTERVAL):
            with self._leaving:
                if not self._over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Left))
