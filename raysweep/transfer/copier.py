"""A trial's folder copied elsewhere: what has changed since the last time, in the order in which it matters.

Checkpoints come before the reports that name them, then come logs, and the trial's record last. So the copy is at any
moment one that the trial can go on from.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from stat import S_ISDIR
from typing import Protocol

from raysweep.store.files import is_temporary
from raysweep.store.folder import CHECKPOINT, RESULT, TRIAL

TRIES = 10  # to copy a folder that changes meanwhile


class Kind(IntEnum):
    """What a path in a trial's folder is; the lower is copied first."""

    CHECKPOINT, REPORTS, LOG, RECORD = range(4)

    @classmethod
    def of(cls, name: str) -> Kind:
        """The kind of a path that is relative to the folder."""
        known = {RESULT: cls.REPORTS, TRIAL: cls.RECORD}
        is_inside = name.startswith(CHECKPOINT) and "/" in name
        return cls.CHECKPOINT if is_inside else known.get(name, cls.LOG)


@dataclass(frozen=True)
class Version:
    """By which a file, or a checkpoint's directory, is told from what was there before.

    Attributes:
        size: in bytes; 0 of a directory.
        changed: the time, in nanoseconds.
        inode: 0 where it is not known.
    """

    size: int
    changed: int
    inode: int = field(default=0, compare=False)

    @classmethod
    def of(cls, path: Path) -> Version:
        """The version that is there.

        Raises:
            FileNotFoundError: nothing is.
        """
        stat = path.stat()
        return cls(0 if S_ISDIR(stat.st_mode) else stat.st_size, stat.st_mtime_ns, stat.st_ino)

    def differs(self, other: Version | None) -> bool:
        """Whether the other, which is None where there was nothing, was something else."""
        return self != other or bool(self.inode and other.inode and self.inode != other.inode)

    def continues(self, other: Version | None) -> bool:
        """Whether it is the same file, to which was only appended if that is all that is ever done to it."""
        return other is not None and self.inode == other.inode and self.size >= other.size


Found = Mapping[str, Version]  # by name, relative to the folder; a checkpoint's directory has a "/" at its end


class Target(Protocol):
    """Where a folder is copied to. Whatever fails raises; then the same is tried again the next time."""

    def put(self, whole: str, changed: Found, before: Version | None) -> None:
        """Copy a file, or what has changed in a checkpoint.

        Args:
            whole: the file, or the checkpoint's directory.
            changed: the file; or of the checkpoint the files that have changed, and its directory if that has.
            before: the version of the file that was copied last.
        """

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there, whole."""

    def remove(self, name: str) -> None:
        """Remove a file, or the directory of a checkpoint whose files were removed."""


def scan(folder: Path) -> dict[str, Version]:
    """What a trial's folder holds, in the order in which it is to be copied.

    Raises:
        FileNotFoundError: it changes at this moment.
    """
    # as old as the record: the reports that it counts are there, and the checkpoints that those name are sought later
    found = {name: Version.of(folder / name) for name in (TRIAL, RESULT) if (folder / name).exists()}
    for name in _names(folder):
        if name not in found and (version := _version(folder / name, Kind.of(name))) is not None:
            found[name] = version
    if RESULT in found and Version.of(folder / RESULT).differs(found[RESULT]):
        raise FileNotFoundError(folder / RESULT)  # a report was added, and the checkpoint before it may be gone
    return dict(sorted(found.items(), key=lambda item: (Kind.of(item[0]), item[0])))


def _names(folder: Path) -> Iterator[str]:
    for place, directories, files in os.walk(folder):
        directories[:] = [name for name in directories if not is_temporary(name)]
        inside = Path(place).relative_to(folder)
        if inside.parts and inside.parts[0].startswith(CHECKPOINT):
            yield f"{inside}/"
        yield from (str(inside / name) for name in files if not is_temporary(name))


def _version(path: Path, kind: Kind) -> Version | None:
    if kind is Kind.LOG and not path.is_file():  # the user's: a named pipe, or what was there for a moment
        return None
    return Version.of(path)


def unit(name: str) -> str:
    """What a name is copied as part of: the directory of a checkpoint, or itself."""
    return name.partition("/")[0] if Kind.of(name) is Kind.CHECKPOINT else name


class Copier:
    """Keeps the copy of one folder up to date.

    Args:
        folder: which one.
        target: where its copy is.
        copied: what the copy holds already, which is kept up to date.
        look: finds what is to be copied, in its order.
    """

    def __init__(
        self,
        folder: Path,
        target: Target,
        copied: dict[str, Version] | None = None,
        look: Callable[[Path], Found] = scan,
    ) -> None:
        self._folder, self._target, self._look = folder, target, look
        self.copied: dict[str, Version] = {} if copied is None else copied

    def copy(self, kinds: Collection[Kind] = tuple(Kind), keep: bool = False) -> bool:
        """Bring the copy up to date; returns False where the folder changed too fast, which is for the next time.

        Args:
            kinds: of which files.
            keep: whether what is gone here stays there if the trial's record is gone as well: then the folder was
                deleted, and that is what a copy is for.

        Raises:
            Exception: whatever the target raises.
        """
        for _ in range(TRIES):
            try:
                self._bring(kinds, keep)
                return True
            except FileNotFoundError:  # a checkpoint was replaced, or the trial goes on
                continue
        return False

    def _bring(self, kinds: Collection[Kind], keep: bool) -> None:
        found = self._look(self._folder)
        for whole, names in itertools.groupby((name for name in found if Kind.of(name) in kinds), key=unit):
            changed = {name: found[name] for name in names if found[name].differs(self.copied.get(name))}
            if changed and self._put(whole, changed):
                self.copied.update(changed)
        if keep and TRIAL not in found:
            return
        for name in [name for name in self.copied.keys() - found.keys() if Kind.of(name) in kinds]:
            self._target.remove(name)
            del self.copied[name]

    def _put(self, whole: str, changed: Found) -> bool:
        """Copy a file, or a checkpoint; returns False where it is a file that nobody misses, and gone."""
        kind = Kind.of(next(iter(changed)))
        if kind is Kind.RECORD:
            self._target.write(whole, self._record(changed[whole]))
            return True
        try:
            self._target.put(whole, changed, self.copied.get(whole))
        except FileNotFoundError:
            if kind is not Kind.LOG:
                raise
            return False
        return True

    def _record(self, version: Version) -> bytes:
        path = self._folder / TRIAL
        record = path.read_bytes()
        if Version.of(path).differs(version):
            raise FileNotFoundError(path)  # a newer one: the reports that it counts may not be copied yet
        return record
