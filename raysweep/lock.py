"""A lock on a directory, without a file that could be left behind; it goes with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock(directory: Path) -> int:
    """Lock a directory for as long as the handle that is returned is open.

    Raises:
        BlockingIOError: it is locked already.
        OSError: it is not there, or cannot be opened.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
