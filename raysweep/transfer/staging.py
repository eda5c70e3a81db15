"""Where on a node the copies of trials' folders are, how those of killed workers go away, and where data is shared."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from stat import S_IRWXG, S_IRWXO, S_ISDIR

from raysweep.errors import StoreError
from raysweep.store.lock import lock

YOUNG = 5.0  # seconds in which a new copy may not be locked yet


def node_directory() -> Path:
    """A directory on this node that is this user's alone, for what Ray's processes here leave each other.

    Raises:
        StoreError: it cannot be made, or another user made it, or can write to it.
    """
    path = Path(tempfile.gettempdir(), f"raysweep-{os.geteuid()}")
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise StoreError(f"{path}: cannot be made: {error.strerror}; set TMPDIR to a directory that can") from None
    if not S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & (S_IRWXG | S_IRWXO):
        raise StoreError(f"{path}: is not a directory that only this user can use; remove it, or set TMPDIR to another")
    return path


def staging() -> Path:
    """The directory of all copies on this node."""
    return node_directory() / "trials"


def shelves() -> Path:
    """Where the processes of this run on this node find the data that they share."""
    import ray

    context = ray.get_runtime_context()
    return node_directory() / "shared" / f"{context.get_session_name()}-{context.get_job_id()}"


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
