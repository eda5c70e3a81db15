"""The one writer of files: whole or not at all, and on the disk before anything says so.

What is written gets a temporary name, is synced, and is renamed; then the directory is synced, which has the name. So
after a power cut a file is what it was, or what it was to be. Reports are appended, each synced, and a line counts once
its newline is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from raysweep.errors import TrainableError

TEMPORARY = ".tmp"  # what the names of files that are not whole yet end with, and they begin with "."
ASIDE = ".unreadable-"  # what the names of what was set aside end with, and a number
PIECE = 2**20  # bytes in memory at a time
YOUNG = 5.0  # seconds in which what another machine writes has not been left behind

# what the system says of what has a file's name, and is none; or of one whose content the disk has lost
NO_FILE = (errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EIO)

Fence = Callable[[], None]  # asked before each step that counts; raises where this process may write no more


def unfenced() -> None:
    """The fence of what only one process writes."""


@contextlib.contextmanager
def replacing(path: Path, fence: Fence = unfenced, lasting: bool = True) -> Iterator[Path]:
    """A name to write a file or a directory under; when the block ends it has the name `path`, whole, on the disk.

    The name is one that no other process has. Where the block raises, what was there before stays.

    Args:
        path: the file or directory to be replaced; its parent is there.
        fence: is asked at the last moment whether it may be.
        lasting: whether it must outlast a power cut; without, this takes a quarter of the time.

    Raises:
        OSError: it cannot be written.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        if lasting:
            sync(temporary)
        fence()
        if path.is_dir() and not path.is_symlink():
            remove(path)
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise
    if lasting:
        sync_directory(path.parent)


def _temporary(path: Path) -> Path:
    """A name beside it that no other process has; of a long name the beginning, since a file system takes 255 bytes."""
    return path.with_name(f".{path.name[:50]}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}")


def read(path: Path) -> bytes:
    """A file's content; what only looks like a file, such as a named pipe, is not waited for.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.readall()


def write_text(path: Path, text: str, fence: Fence = unfenced, lasting: bool = True) -> None:
    """Write a small file; see `replacing`."""
    with replacing(path, fence, lasting) as temporary:  # an exception's text can be anything
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def create_text(path: Path, text: str) -> None:
    """Write a small file that is not there yet; of several processes that do so at once one can. It need not last.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    temporary = _temporary(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # some disks have no links
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    finally:
        remove(temporary)


class Lines:
    """A file to which lines are appended, each of which is on the disk when `add` returns.

    Args:
        path: the file, which is made where it is missing; it ends with a newline, or is empty.
        fence: is asked before each line.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, fence: Fence = unfenced) -> None:
        self._fence = fence
        is_new = not path.exists()
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if is_new:
            sync_directory(path.parent)

    def add(self, line: str, lasting: bool = True) -> None:
        """Append a line; without `lasting` it is on the disk once `sync_disk` has returned.

        Raises:
            OSError: it cannot be written; then nothing of it is in the file, as far as the disk allows.
        """
        self._fence()
        size = os.fstat(self._handle).st_size
        try:
            _write(self._handle, f"{line}\n".encode())
            if lasting:
                os.fdatasync(self._handle)
        except OSError:
            with contextlib.suppress(OSError):  # part of a line would spoil the next one
                os.ftruncate(self._handle, size)
            raise

    def close(self) -> None:
        """Close the file; what was added is on the disk already."""
        os.close(self._handle)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def make_directory(path: Path) -> None:
    """Make a directory where it is missing, and have it on the disk; its parent is there.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    sync_directory(path.parent)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what a user's code gave, a directory, into an empty one; a link is copied as what it points to.

    Raises:
        TrainableError: something in it cannot be read, or is neither a file nor a directory.
        OSError: `target` cannot be written.
    """
    _copy(source, target, ())


def _copy(source: Path, target: Path, above: tuple[tuple[int, int], ...]) -> None:
    with _readable(source):
        entries, found = sorted(source.iterdir()), source.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise TrainableError(f"{source}: is a link to a folder that it is in, and cannot be copied")
    for entry in entries:
        with _readable(entry):
            mode = entry.stat().st_mode
        if stat.S_ISDIR(mode):
            (target / entry.name).mkdir()
            _copy(entry, target / entry.name, (*above, here))
        elif stat.S_ISREG(mode):
            _copy_file(entry, target / entry.name)
        else:
            raise TrainableError(f"{entry}: is neither a file nor a folder, and cannot be copied")


def _copy_file(source: Path, target: Path) -> None:
    with _readable(source):
        reader = source.open("rb", buffering=0)
    with reader, target.open("wb", buffering=0) as writer:
        shutil.copyfileobj(reader, writer, PIECE)


@contextlib.contextmanager
def _readable(source: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        link = "is a link to something that is not there" if source.is_symlink() else "cannot be copied"
        raise TrainableError(f"{source}: {link} ({error.strerror})") from None


def sync(path: Path) -> None:
    """Have a file, or a directory with all that is in it, on the disk.

    Raises:
        OSError: it cannot be written.
    """
    if not path.is_dir():
        _sync_file(path)
        return
    for place, _, files in os.walk(path):
        for name in files:
            _sync_file(Path(place, name))
        sync_directory(Path(place))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_disk(path: Path) -> None:
    """Have all that was written to the disk that a directory is on, on that disk: of many files in one go.

    Raises:
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Have a directory's names on the disk, where its file system can say so.

    Raises:
        OSError: they cannot be written.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some shares know no such call
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it, as far as that can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file or a directory that cannot be used, so that another can have its name; nothing is deleted.

    Returns:
        What it is called now: `NAME.unreadable-1`, or the next number that is free.

    Raises:
        OSError: it cannot be renamed.
    """
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}{ASIDE}{number}")):
        number += 1
    path.rename(aside)
    sync_directory(path.parent)
    return aside


def is_aside(name: str) -> bool:
    """Whether a file or directory of that name was set aside."""
    return re.search(rf"{re.escape(ASIDE)}\d{{1,4}}$", name) is not None


def is_temporary(name: str) -> bool:
    """Whether a file or directory of that name is one that is not whole yet, or was left by a process that died."""
    return name.startswith(".") and name.endswith(TEMPORARY)


def remove_left(directory: Path, alone: bool) -> None:
    """Remove what processes that died left in a directory.

    Args:
        directory: which one.
        alone: whether no other process writes there.
    """
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if is_temporary(entry.name) and (alone or _is_left(entry)):
                remove(Path(entry.path))


def _is_left(entry: os.DirEntry[str]) -> bool:
    pid = entry.name.removesuffix(TEMPORARY).rpartition(".")[2].partition("-")[0]
    is_old = time.time() - entry.stat(follow_symlinks=False).st_mtime > YOUNG
    return is_old and not Path("/proc", pid).exists()
