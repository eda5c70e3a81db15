"""A disk that forgets: what was not synced is lost, torn or kept by chance when the power is cut."""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

Names = dict[str, int]  # of a directory: what each name stands for


class FakeDisk:
    """Watches what is written below a directory, and tells what a power cut at this moment can leave of it.

    A file's content is on the disk once the file was synced, and a name once its directory was. What was not may be
    there all the same, in part, or as zeros; each name and each file by itself.

    Args:
        root: the directory, which counts as synced with all that is in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = threading.RLock()
        self._is_looking = False
        self._names: dict[int, Names] = {}  # of directories, as they were when they were last synced
        self._contents: dict[int, bytes] = {}  # of files, likewise
        self._held: dict[int, int] = {}  # handles that keep a number from being given to another file
        for place, _, files in os.walk(root):
            self._sync(os.open(place, os.O_RDONLY))
            for name in files:
                self._sync(os.open(Path(place, name), os.O_RDONLY))

    @contextmanager
    def watching(self, moment: Callable[[], None]) -> Iterator[None]:
        """Within the block `moment` is called whenever something may be cut off: before each step, and at the end."""
        with ExitStack() as stack:
            for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "ftruncate"):
                stack.enter_context(mock.patch.object(os, name, self._step(moment, getattr(os, name))))
            for name in ("fsync", "fdatasync"):
                stack.enter_context(mock.patch.object(os, name, self._step(moment, self._sync_opened)))
            yield
        moment()

    def close(self) -> None:
        """Close what is held."""
        for handle in self._held.values():
            os.close(handle)

    def _step(self, moment: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            with self._guard:  # of several threads that write, one at a time
                if not self._is_looking:  # else this is what `cut` writes
                    self._is_looking = True
                    moment()
                    self._is_looking = False
                return call(*arguments, **options)

        return step

    def _sync_opened(self, handle: int) -> None:
        self._sync(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY))  # it may have been opened for writing only

    def _sync(self, handle: int) -> None:
        """Have a file or directory on the disk; takes the handle over."""
        found = os.fstat(handle)
        if not stat.S_ISDIR(found.st_mode):
            self._contents[found.st_ino] = _content(handle)
        else:
            self._names[found.st_ino] = names = _names(handle)
            for name, number in names.items():
                if number not in self._held:
                    self._hold(number, os.open(name, os.O_RDONLY, dir_fd=handle))
        self._hold(found.st_ino, handle)

    def _hold(self, number: int, handle: int) -> None:
        if number in self._held:
            os.close(handle)
        else:
            self._held[number] = handle

    def cut(self, target: Path, chance: random.Random) -> None:
        """Write what a power cut now leaves into a new directory."""
        self._leave(self._root.stat().st_ino, self._root, target, chance)

    def _leave(self, number: int, now: Path | None, target: Path, chance: random.Random) -> None:
        """Leave a directory: `now` is where it is, if it still is anywhere."""
        target.mkdir()
        synced, current = self._names.get(number, {}), _names_at(now)
        for name in sorted(synced.keys() | current.keys()):
            kept = chance.choice([synced.get(name), current.get(name)])
            if kept is None:
                continue
            place = now / name if now is not None and current.get(name) == kept else None
            if self._is_directory(kept, place):
                self._leave(kept, place, target / name, chance)
            else:
                (target / name).write_bytes(self._left(kept, place, chance))

    def _is_directory(self, number: int, place: Path | None) -> bool:
        return stat.S_ISDIR((place.lstat() if place is not None else os.fstat(self._held[number])).st_mode)

    def _left(self, number: int, place: Path | None, chance: random.Random) -> bytes:
        """What is left of a file: at least what was synced, where it was only appended to since."""
        synced = self._contents.get(number, b"")
        current = place.read_bytes() if place is not None else _content(self._held[number])
        if not current.startswith(synced):
            return chance.choice([synced, current])
        tail = current[len(synced) :]
        end, start = chance.randint(0, len(tail)), chance.randint(0, len(tail))
        zeros, part = bytes(len(tail)), tail[:end]
        return synced + chance.choice([b"", tail, part, zeros, bytes(start) + tail[start:], part + zeros[end:]])


def _names(handle: int) -> Names:
    return {entry.name: entry.inode() for entry in os.scandir(handle)}


def _names_at(path: Path | None) -> Names:
    return {} if path is None else {entry.name: entry.inode() for entry in os.scandir(path)}


def _content(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size, 0)
