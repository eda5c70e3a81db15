"""A lock on a directory, without a file that could be left behind; it goes with the process.

By hand: `filelock` locks a file of its own, which it leaves behind, and on a disk without locks it never knows whether
whoever made that file is still there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

PAUSE = 0.05  # seconds between two tries
# what a disk says that knows no such locks, as many that are shared do: then leases and attempts keep others out
_UNKNOWN = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


def lock(directory: Path, shared: bool = False, tries: int = 1) -> int:
    """Lock a directory for as long as the handle that is returned is open.

    On a disk that several machines share it may keep out only the processes of this one.

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
        except OSError as error:
            if error.errno in _UNKNOWN:
                return handle
            tries -= 1
            if tries <= 0:
                os.close(handle)
                raise
        time.sleep(PAUSE)
