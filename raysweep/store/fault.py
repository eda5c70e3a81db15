"""Which errors of the disk concern every trial, and end a sweep, and which only the trial that met them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from raysweep.errors import StoreError

SCARCE = 2**20  # bytes free, of a disk that counts as full
_CURES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or get a larger quota",
    errno.EROFS: "make it writable",
}
_GONE = (
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT,
    errno.EHOSTDOWN, errno.EHOSTUNREACH,
)  # fmt: skip


class AttemptError(StoreError):
    """This attempt at a trial cannot go on, which says nothing of other trials, or of another attempt at this one."""


@contextlib.contextmanager
def telling(directory: Path) -> Iterator[None]:
    """Tell what concerns all trials from what concerns the one that the block writes something of.

    Args:
        directory: the run directory.

    Raises:
        StoreError: the disk cannot be written, which concerns all.
        OSError: of the other kind.
    """
    try:
        yield
    except OSError as error:
        if (told := fault(error, directory)) is not None:
            raise told from error
        raise


def fault(error: OSError, directory: Path, ours: bool = True) -> StoreError | None:
    """What an error says of the disk that a run directory is on; None where it is the trial's own failure.

    Args:
        error: what was raised.
        directory: the run directory.
        ours: whether raysweep itself was writing there; a user's code may have written to any disk.

    Returns:
        The error that ends the sweep; it says what to do.
    """
    if not ours and not _is_of(error, directory):
        return None
    cure = _cure(error, directory)
    return StoreError(f"{directory}: cannot be written: {error.strerror or error}; {cure}") if cure else None


def reason(error: StoreError | OSError, directory: Path) -> str:
    """Why a sweep cannot go on, where its driver cannot read or write the run directory."""
    if isinstance(error, StoreError):
        return str(error)
    return str(fault(error, directory) or f"{directory}: cannot be written: {error.strerror or error}; see to it")


def _cure(error: OSError, directory: Path) -> str | None:
    if error.errno in _CURES:
        return _CURES[error.errno]
    if error.errno in _GONE:
        return "see to the disk"
    if not directory.is_dir():
        return "put the directory back"
    return None if os.access(directory, os.W_OK | os.X_OK) else "make it writable"


def _is_of(error: OSError, directory: Path) -> bool:
    """Whether an error that a user's code met is one of the run directory's disk."""
    if isinstance(error.filename, (str, bytes)):
        return Path(os.fsdecode(error.filename)).absolute().is_relative_to(directory)
    try:
        disk = os.statvfs(directory)
    except OSError:
        return True
    is_full = disk.f_bavail * disk.f_frsize < SCARCE or (disk.f_files > 0 and not disk.f_favail)
    return is_full or bool(disk.f_flag & os.ST_RDONLY) or error.errno == errno.EDQUOT
