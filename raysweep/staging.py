"""Where on a node the copies of trials' folders are, how those of killed workers go away, and where data is shared."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from raysweep.lock import lock

YOUNG = 5.0  # seconds in which a new copy may not be locked yet


def staging() -> Path:
    """The directory of all copies on this node: with Ray's own files, which are not in memory."""
    from ray._private import worker

    return Path(worker._global_node.get_session_dir_path(), "raysweep")


def shelves() -> Path:
    """Where the processes of this run on this node find the data that they share."""
    import ray

    job: str = ray.get_runtime_context().get_job_id()
    return staging().with_name("raysweep-shared") / job


def occupy(copy: Path) -> int:
    """Make a directory that is locked while this process lives, and remove those whose process was killed.

    Returns:
        The lock, to be closed when the directory is no longer used.
    """
    copy.mkdir(parents=True, mode=0o700)
    handle = lock(copy)
    for other in copy.parent.iterdir():
        with contextlib.suppress(OSError):  # in use, or another process removes it
            if time.time() - other.stat().st_mtime > YOUNG:
                os.close(lock(other))
                shutil.rmtree(other, ignore_errors=True)
    return handle
