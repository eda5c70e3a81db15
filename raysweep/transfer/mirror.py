"""Where a worker writes a trial's folder: in the run directory, or in a copy that is mirrored to the head.

A worker that does not see the run directory, on a node without a shared file system, works in a local copy of the
trial's folder exactly as it would in the folder itself; what has changed is carried to the head.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from raysweep.errors import StoreError
from raysweep.store.claim import Claim, new_token
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import AttemptError, telling
from raysweep.store.files import TEMPORARY
from raysweep.store.folder import EVENTS, OUTPUT, RESULT, TRIAL, TrialFolder, UnreadableError
from raysweep.store.records import TrialRecord
from raysweep.transfer.copier import Copier, Found, Kind, Version, scan, unit
from raysweep.transfer.receiver import CHUNK, Bytes, Line
from raysweep.transfer.staging import occupy, staging

LIVE = 2.0  # seconds between looks at what was logged
REST = 0.1  # seconds between two times that reports are sent, however fast they come


class Here:
    """The folder itself: this node sees the run directory.

    Args:
        folder: the trial's folder.
        line: to the head, on a cluster.
        run: the token of the lease that the run has; None where it has none.

    Attributes:
        folder: where to write. It can travel to another process, and lets nothing be written once another attempt has
            begun, or another run has taken over.
    """

    def __init__(self, folder: TrialFolder, line: Line | None = None, run: str | None = None) -> None:
        self._line = line
        self._claim = Claim(folder.path, run, line.attempt if line is not None else new_token())
        self.folder = TrialFolder(folder.path, self._claim.check)

    def stop_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return RunDirectory(self.folder.path.parent).stop_requested()

    def open(self) -> None:
        """Get the folder ready; no earlier attempt can write to it from now on.

        Raises:
            AttemptError: the head does not answer.
            StoreError: the run directory cannot be written, or another run has taken over.
            OSError: this folder cannot be written.
        """
        with telling(self.folder.path.parent):
            if self._line is not None:
                self._line.claim(here=True)
            else:
                self._claim.make()
            self.folder.tidy()

    def record(self) -> TrialRecord | None:
        """What the run directory says of the trial; the driver may have written it."""
        return self.folder.record()

    def reported(self, with_checkpoint: bool) -> None:
        """A report was written, which soon is in the run directory; with its checkpoint, when this returns."""

    def written(self) -> None:
        """Anything was written; returns when all of it is in the run directory."""

    def close(self) -> None:
        """Let go of the folder."""


class Mirror(Here):
    """A copy of the folder on this node, of which the head's folder is kept a copy.

    Args:
        folder: where the copy is to be.
        line: to the head.
    """

    def __init__(self, folder: TrialFolder, line: Line) -> None:
        super().__init__(folder, line)
        self.folder = folder  # what comes to the head is checked there
        self._head = line
        self._copier = Copier(folder.path, _Head(folder.path, line))
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
            AttemptError: the head does not answer, or there is no room here.
        """
        path = self.folder.path
        try:
            self._lock = occupy(path.parent)
            path.mkdir()
            for name, size in self._head.claim(here=False).items():
                self._fetch(name, size)
            self._copier.copied.update(scan(path))
        except OSError as error:
            raise AttemptError(f"{path}: cannot be written: {error.strerror or error}") from error
        self._follower.start()

    def record(self) -> TrialRecord | None:
        """What the head's folder says of the trial.

        Raises:
            StoreError: the head does not answer, or the record is damaged.
        """
        content = self._head.chunk(TRIAL, 0).tobytes()
        try:
            return TrialRecord.from_json(content) if content else None
        except ValueError as error:
            raise UnreadableError.of(Path(self.folder.path.name, TRIAL), error) from None

    def reported(self, with_checkpoint: bool) -> None:
        """A report was written, which soon is on the head; with its checkpoint, when this returns.

        Raises:
            StoreError: it cannot be written there.
        """
        if with_checkpoint:
            self._send((Kind.CHECKPOINT, Kind.REPORTS, Kind.RECORD))
        elif self._fault is not None:
            raise self._fault
        else:
            self._news.set()

    def written(self) -> None:
        """Anything was written; returns when all of it is on the head.

        Raises:
            StoreError: it cannot be written there.
        """
        self._send(tuple(Kind))

    def close(self) -> None:
        """Send what is left, and remove the copy."""
        self._ended = True
        self._news.set()
        if self._follower.is_alive():
            self._follower.join()
        with contextlib.suppress(StoreError):  # what counts was told when it was written
            self._send(tuple(Kind))
            self._head.tell("release")
        shutil.rmtree(self.folder.path.parent, ignore_errors=True)
        os.close(self._lock)

    def _follow(self) -> None:
        while not self._ended:
            kinds = (Kind.CHECKPOINT, Kind.REPORTS, Kind.LOG) if self._news.wait(LIVE) else (Kind.LOG,)
            self._news.clear()
            try:
                self._send(kinds)
            except StoreError as error:
                self._fault = error  # raised with the next report
                return
            time.sleep(REST)

    def _send(self, kinds: Collection[Kind]) -> None:
        with self._guard:
            if self._fault is not None:
                raise self._fault
            self._copier.copy(kinds)

    def _fetch(self, name: str, size: int) -> None:
        target = self.folder.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while file.tell() < size:
                data = self._head.chunk(name, file.tell())
                if not len(data):
                    break  # it is shorter now: the driver replaced it
                file.write(data.data)


class _Head:
    """The trial's folder on the head, as the target of a copy; a checkpoint is there whole, or not at all.

    Args:
        folder: what is copied.
        line: to the head.
    """

    def __init__(self, folder: Path, line: Line) -> None:
        self._folder, self._line = folder, line

    def put(self, whole: str, changed: Found, before: Version | None) -> None:
        """See `copier.Target`."""
        path = self._folder / whole
        if whole not in changed:
            self._put_checkpoint(whole)
        elif _is_appended(whole) and changed[whole].continues(before):
            self._line.write(whole, _chunks(path, before.size if before else 0, changed[whole].size))
        else:
            self._put_file(whole, changed[whole].size)

    def write(self, name: str, content: bytes) -> None:
        """See `copier.Target`."""
        self._line.tell("put", name, np.frombuffer(content, np.uint8))

    def remove(self, name: str) -> None:
        """See `copier.Target`."""
        whole = unit(name)
        if name in (whole, f"{whole}/"):  # and not a part of a checkpoint, which goes with the whole
            self._line.tell("remove", whole)

    def _put_file(self, name: str, size: int) -> None:
        path = self._folder / name
        if size <= CHUNK:
            self._line.tell("put", name, np.fromfile(path, np.uint8, size))
            return
        temporary = str(Path(name).with_name(f".{path.name}{TEMPORARY}"))
        self._line.tell("remove", temporary)
        self._line.write(temporary, _chunks(path, 0, size))
        self._line.tell("rename", temporary, name)

    def _put_checkpoint(self, name: str) -> None:
        temporary, source = f".{name}{TEMPORARY}", self._folder / name
        self._line.tell("make", temporary)
        for path in sorted(source.rglob("*")):
            target = f"{temporary}/{path.relative_to(source)}"
            if path.is_dir():
                self._line.tell("make", target)
            else:
                self._line.write(target, _chunks(path, 0, path.stat().st_size))
        self._line.tell("rename", temporary, name)


def _is_appended(name: str) -> bool:
    return name in (RESULT, OUTPUT) or Path(name).name.startswith(EVENTS)


def _chunks(path: Path, start: int, end: int) -> Iterator[tuple[int, Bytes]]:
    """A file's bytes from `start` to `end` in pieces, each with its offset; one even where there are none."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        for offset in range(start, max(end, start + 1), CHUNK):
            yield offset, np.fromfile(file, np.uint8, min(CHUNK, end - offset))


def place(folder: Path, head: str | None, run: str | None = None) -> Here:
    """Where the worker of a trial is to write.

    Args:
        folder: the trial's folder in the run directory.
        head: the name of the actor that serves the run directory; None where every worker sees it.
        run: the token of the lease that the run has; None where it has none.

    Raises:
        StoreError: the run has ended.
    """
    if head is None:
        return Here(TrialFolder(folder), run=run)
    line = Line(head, folder.name)
    if sees(RunDirectory(folder.parent), head):
        return Here(TrialFolder(folder), line, run)
    return Mirror(TrialFolder(staging() / line.attempt / folder.name), line)


def sees(run: RunDirectory, head: str) -> bool:
    """Whether this node sees the run directory that the actor `head` serves: its own disk, or one that is shared."""
    return run.is_marked(head)
