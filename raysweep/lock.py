"""A lock on a directory, without a file that could be left behind; it goes with the process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

PAUSE = 0.05  # seconds between two tries


def lock(directory: Path, shared: bool = False, tries: int = 1) -> int:
    """Lock a directory for as long as the handle that is returned is open.

    Args:
        directory: which one.
        shared: whether others may hold such a lock at the same time.
        tries: how often to try; whoever only looks lets go at once.

    Raises:
        BlockingIOError: it is locked already.
        OSError: it is not there, or cannot be opened.
    """
    handle = os.open(directory, os.O_RDONLY)
    while True:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return handle
        except OSError:
            tries -= 1
            if tries <= 0:
                os.close(handle)
                raise
        time.sleep(PAUSE)
