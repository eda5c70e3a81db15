"""Where a worker writes a trial's folder: in the run directory, or in a copy that is mirrored to the head.

A worker that does not see the run directory, on a node without a shared file system, works in a local copy of the
trial's folder exactly as it would in the folder itself; what changed is carried to the head in the order in which
it matters: checkpoints, then the reports that name them, then logs, and the trial's record last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from stat import S_ISDIR

import numpy as np

from raysweep.errors import StoreError
from raysweep.head import CHUNK, Bytes, Line
from raysweep.records import TrialRecord
from raysweep.staging import occupy, staging
from raysweep.store import CHECKPOINT, OUTPUT, RESULT, TEMPORARY, TRIAL, RunDirectory, TrialFolder

LIVE = 2.0  # seconds between looks at what was logged
REST = 0.1  # seconds between two times that reports are sent, however fast they come
EVENTS = "events.out.tfevents"


class Here:
    """The folder itself: this node sees the run directory.

    Args:
        folder: the trial's folder.
        line: to the head, on a cluster.
    """

    def __init__(self, folder: TrialFolder, line: Line | None = None) -> None:
        self.folder = folder
        self._line = line

    def stop_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self.folder.stop_requested()

    def open(self) -> None:
        """Get the folder ready; no earlier attempt can write to it from now on.

        Raises:
            StoreError: the head does not answer.
        """
        if self._line is not None:
            self._line.claim(here=True)

    def record(self) -> TrialRecord | None:
        """What the run directory says of the trial; the driver may have written it."""
        return self.folder.record()

    def reported(self, with_checkpoint: bool) -> None:
        """A report was written, which soon is in the run directory; with its checkpoint, when this returns."""

    def written(self) -> None:
        """Anything was written; returns when all of it is in the run directory."""

    def close(self) -> None:
        """Let go of the folder."""


class Kind(IntEnum):
    """What a path in a trial's folder is; the lower comes first to the head."""

    CHECKPOINT, REPORTS, LOG, RECORD = range(4)

    @classmethod
    def of(cls, name: str) -> Kind:
        """The kind of a path that is relative to the folder."""
        known = {RESULT: cls.REPORTS, TRIAL: cls.RECORD}
        return cls.CHECKPOINT if name.startswith(CHECKPOINT) else known.get(name, cls.LOG)


@dataclass(frozen=True)
class _Stamp:
    """By which a file, or a checkpoint's directory, is told from what was there before."""

    inode: int
    size: int
    changed: int  # nanoseconds

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        stat = path.stat()
        return cls(stat.st_ino, 0 if S_ISDIR(stat.st_mode) else stat.st_size, stat.st_mtime_ns)

    def continues(self, other: _Stamp | None) -> bool:
        return other is not None and self.inode == other.inode and self.size >= other.size


class Mirror(Here):
    """A copy of the folder on this node, of which the head's folder is kept a copy.

    Args:
        folder: where the copy is to be.
        line: to the head.
    """

    def __init__(self, folder: TrialFolder, line: Line) -> None:
        super().__init__(folder)
        self._head = line
        self._sent: dict[str, _Stamp] = {}
        self._guard = threading.Lock()
        self._fault: StoreError | None = None
        self._is_to_stop, self._ask_again = False, 0.0
        self._news = threading.Event()  # reports to be sent, or the end
        self._ended = False
        self._follower = threading.Thread(target=self._follow, daemon=True, name="raysweep-mirror")

    def stop_requested(self) -> bool:
        """Whether the run was asked to stop; the head is not asked each time."""
        if time.monotonic() > self._ask_again:
            self._is_to_stop = bool(self._head.ask("stop_requested"))
            self._ask_again = time.monotonic() + LIVE
        return self._is_to_stop

    def open(self) -> None:
        """Copy from the head what earlier attempts left: the trial goes on from there.

        Raises:
            StoreError: the head does not answer, or there is no room here.
        """
        path = self.folder.path
        try:
            self._lock = occupy(path.parent)
            path.mkdir()
            for name, size in self._head.claim(here=False).items():
                self._fetch(name, size)
            self._sent = {name: _Stamp.of(path / name) for name in self._names()}
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        self._follower.start()

    def record(self) -> TrialRecord | None:
        """What the head's folder says of the trial."""
        text = self._head.chunk(TRIAL, 0).tobytes().decode()
        return TrialRecord.from_json(text) if text else None

    def reported(self, with_checkpoint: bool) -> None:
        """A report was written, which soon is on the head; with its checkpoint, when this returns.

        Raises:
            StoreError: it cannot be written there.
        """
        if with_checkpoint:
            self._send_changed((Kind.CHECKPOINT, Kind.REPORTS, Kind.RECORD))
        elif self._fault is not None:
            raise self._fault
        else:
            self._news.set()

    def written(self) -> None:
        """Anything was written; returns when all of it is on the head.

        Raises:
            StoreError: it cannot be written there.
        """
        self._send_changed(tuple(Kind))

    def close(self) -> None:
        """Send what is left, and remove the copy."""
        self._ended = True
        self._news.set()
        if self._follower.is_alive():
            self._follower.join()
        with contextlib.suppress(StoreError):  # what counts was told when it was written
            self._send_changed(tuple(Kind))
            self._head.tell("release")
        shutil.rmtree(self.folder.path.parent, ignore_errors=True)
        os.close(self._lock)

    def _follow(self) -> None:
        while not self._ended:
            kinds = (Kind.REPORTS, Kind.LOG) if self._news.wait(LIVE) else (Kind.LOG,)
            self._news.clear()
            try:
                self._send_changed(kinds)
            except StoreError as error:
                self._fault = error  # raised with the next report
                return
            time.sleep(REST)

    def _send_changed(self, kinds: Collection[Kind]) -> None:
        with self._guard:
            if self._fault is not None:
                raise self._fault
            there = [name for name in self._names() if Kind.of(name) in kinds]
            for name in sorted(there, key=Kind.of):
                with contextlib.suppress(FileNotFoundError):  # replaced by a newer one, which comes next time
                    self._send(name)
            gone = [name for name in self._sent.keys() - set(there) if Kind.of(name) in kinds]
            for name in gone:
                self._head.tell("remove", name)
                del self._sent[name]

    def _names(self) -> Iterator[str]:
        """All files, and checkpoints as a whole, relative to the folder."""
        root = self.folder.path
        for path in sorted(root.iterdir()):
            if path.name.endswith(TEMPORARY):
                continue
            if path.is_dir() and Kind.of(path.name) is not Kind.CHECKPOINT:
                yield from (str(file.relative_to(root)) for file in sorted(path.rglob("*")) if file.is_file())
            else:
                yield path.name

    def _send(self, name: str) -> None:
        path, before = self.folder.path / name, self._sent.get(name)
        stamp = _Stamp.of(path)
        if stamp == before:
            return
        if path.is_dir():
            self._send_checkpoint(name)
        elif _is_appended(name) and stamp.continues(before):
            self._head.write(name, _chunks(path, before.size if before else 0, stamp.size))
        else:
            self._send_file(name, stamp.size)
        self._sent[name] = stamp

    def _send_file(self, name: str, size: int) -> None:
        path = self.folder.path / name
        if size <= CHUNK:
            self._head.tell("put", name, np.fromfile(path, np.uint8, size))
            return
        temporary = str(Path(name).with_name(f".{path.name}{TEMPORARY}"))
        self._head.tell("remove", temporary)
        self._head.write(temporary, _chunks(path, 0, size))
        self._head.tell("rename", temporary, name)

    def _send_checkpoint(self, name: str) -> None:
        temporary, source = f".{name}{TEMPORARY}", self.folder.path / name
        self._head.tell("make", temporary)
        for path in sorted(source.rglob("*")):
            target = f"{temporary}/{path.relative_to(source)}"
            if path.is_dir():
                self._head.tell("make", target)
            else:
                self._head.write(target, _chunks(path, 0, path.stat().st_size))
        self._head.tell("rename", temporary, name)

    def _fetch(self, name: str, size: int) -> None:
        target = self.folder.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while file.tell() < size:
                data = self._head.chunk(name, file.tell())
                if not len(data):
                    break  # it is shorter now: the driver replaced it
                file.write(data.data)


def _is_appended(name: str) -> bool:
    return name in (RESULT, OUTPUT) or Path(name).name.startswith(EVENTS)


def _chunks(path: Path, start: int, end: int) -> Iterator[tuple[int, Bytes]]:
    """A file's bytes from `start` to `end` in pieces, each with its offset; one even where there are none."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        for offset in range(start, max(end, start + 1), CHUNK):
            yield offset, np.fromfile(file, np.uint8, min(CHUNK, end - offset))


def place(folder: Path, head: str | None) -> Here:
    """Where the worker of a trial is to write.

    Args:
        folder: the trial's folder in the run directory.
        head: the name of the actor that serves the run directory; None where every worker sees it.

    Raises:
        StoreError: the run has ended.
    """
    if head is None:
        return Here(TrialFolder(folder))
    line = Line(head, folder.name)
    if sees(RunDirectory(folder.parent), head):
        return Here(TrialFolder(folder), line)
    return Mirror(TrialFolder(staging() / line.attempt / folder.name), line)


def sees(run: RunDirectory, head: str) -> bool:
    """Whether this node sees the run directory that the actor `head` serves: its own disk, or one that is shared."""
    return run.is_marked(head)
