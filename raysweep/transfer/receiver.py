"""The run directory served to nodes that do not see it: an actor on the driver's node, and calls to it.

Each attempt at a trial claims the trial's folder first. A claim ends the one before, so a worker that was given
up, because its node was unplugged, and comes back cannot write into what another goes on with.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.errors import StoreError
from raysweep.store import files, lease
from raysweep.store.claim import SupersededError, new_token
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import AttemptError, telling
from raysweep.store.lock import lock

CHUNK = (
    5 * 2**20
)  # bytes of one call, as Ray moves them; what a node holds in memory of a file of any size is a few of them
WINDOW = 4  # chunks under way at once
CALLS = 16  # that the actor answers at once
PATIENCE = 60.0  # seconds to wait for a head that does not answer
LOCK_PATIENCE = 30.0  # seconds to wait for the worker of a killed run to let go of a trial's folder

_Call = tuple[Any, ...]  # a method's name and its arguments
Bytes = npt.NDArray[np.uint8]  # an array is not copied on its way through Ray's object store; bytes are


class UnreachableError(AttemptError):
    """The head does not answer from here; that may be this node's trouble alone."""


class Receiver:
    """Reads and writes the trials' folders of one run directory, for whoever has claimed them.

    All paths are relative to the trial's folder. A call may come twice, since callers repeat what was not answered.
    What counts is on the disk when a call returns: small files, reports, logs, and directories that get their name.

    Args:
        run: the run directory.
        token: of the lease that the run has; None where it has none.
    """

    def __init__(self, run: str, token: str | None = None) -> None:
        self._run, self._token = RunDirectory(Path(run)), token
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._held: dict[str, int] = {}  # the folders' own locks, as a local worker would hold them

    def claim(self, trial: str, attempt: str, here: bool) -> dict[str, int]:
        """Let `attempt` be the only one that may write a trial's folder; returns its files and their sizes.

        Args:
            trial: the folder's name.
            attempt: any text that no other attempt has.
            here: whether its worker writes the folder itself; then this actor will not.

        Raises:
            BlockingIOError: another process still writes to the folder.
        """
        folder = self._run.trial(trial)
        with self._locks[trial]:
            self._check_run()
            self._run.write_attempt(trial, attempt)
            self._let_go(trial)
            if here:
                return {}
            folder.create()
            self._hold(trial)
            folder.tidy()
            found = [path for path in folder.path.rglob("*") if path.is_file()]
            return {str(path.relative_to(folder.path)): path.stat().st_size for path in found}

    def release(self, trial: str, attempt: str) -> None:
        """The attempt writes no more."""
        with self._claimed(trial, attempt):
            self._run.write_attempt(trial, "")
            self._let_go(trial)

    def stop_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._run.stop_requested()

    def read(self, trial: str, path: str, offset: int) -> Bytes:
        """At most `CHUNK` bytes of a file from `offset` on; fewer at its end, none where there is no file."""
        try:
            return np.fromfile(self._path(trial, path), np.uint8, CHUNK, offset=offset)
        except FileNotFoundError:
            return np.empty(0, np.uint8)

    def write(self, trial: str, attempt: str, path: str, offset: int, data: Bytes) -> None:
        """Write a part of a file, which is made with its directories where it is missing."""
        target = self._path(trial, path)
        with self._claimed(trial, attempt):
            target.parent.mkdir(parents=True, exist_ok=True)
            is_new = not target.exists()
            handle = os.open(target, os.O_WRONLY | os.O_CREAT, 0o666)
            with os.fdopen(handle, "wb") as file:
                file.seek(offset)
                file.write(data.data)
            if "/" not in path and not files.is_temporary(path):  # else it is synced when it gets its name
                files.sync(target)
                if is_new:
                    files.sync_directory(target.parent)

    def put(self, trial: str, attempt: str, path: str, data: Bytes) -> None:
        """Write a small file so that it is there whole, or not at all."""
        target = self._path(trial, path)
        with self._claimed(trial, attempt):
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as temporary:
                temporary.write_bytes(data.data)

    def make(self, trial: str, attempt: str, path: str) -> None:
        """Make an empty directory, in the place of whatever is there."""
        with self._claimed(trial, attempt):
            _remove(self._path(trial, path))
            self._path(trial, path).mkdir(parents=True)

    def rename(self, trial: str, attempt: str, path: str, to: str) -> None:
        """Give a finished file or directory its name, in the place of whatever has that name."""
        source, target = self._path(trial, path), self._path(trial, to)
        with self._claimed(trial, attempt):
            if source.exists():  # else this call comes for the second time
                with files.replacing(target) as temporary:
                    source.rename(temporary)

    def remove(self, trial: str, attempt: str, path: str) -> None:
        """Remove a file or a directory, where it is there."""
        with self._claimed(trial, attempt):
            _remove(self._path(trial, path))

    def _path(self, trial: str, path: str) -> Path:
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise PermissionError(f"{path} is outside the trial's folder")
        return self._run.trial(trial).path / path

    @contextmanager
    def _claimed(self, trial: str, attempt: str) -> Iterator[None]:
        with self._locks[trial]:
            self._check_run()
            if self._run.attempt(trial) != attempt:
                raise SupersededError.of(trial)
            if trial not in self._held:  # this actor was started again
                self._hold(trial)
            with telling(self._run.path):
                yield

    def _check_run(self) -> None:
        if self._token is not None:
            lease.check(self._run.path, self._token)

    def _hold(self, trial: str) -> None:
        self._held[trial] = lock(self._run.trial(trial).path)

    def _let_go(self, trial: str) -> None:
        if (handle := self._held.pop(trial, None)) is not None:
            os.close(handle)


class Line:
    """Calls to the head about one trial; those that are not answered are made again.

    Args:
        name: the actor's.
        trial: the name of the trial's folder.

    Attributes:
        attempt: what tells this attempt at the trial from others.
    """

    def __init__(self, name: str, trial: str) -> None:
        import ray

        self._trial = trial
        self.attempt = new_token()
        try:
            self._head = ray.get_actor(name)
        except ValueError:
            raise StoreError(f"{trial}: the run that it belongs to has ended") from None

    def claim(self, here: bool) -> dict[str, int]:
        """See `Receiver.claim`; waits for a worker that is ending.

        Raises:
            AttemptError: another process still writes to the folder.
        """
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                files: dict[str, int] = self._answer("claim", self._trial, self.attempt, here)
                return files
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AttemptError(f"{self._trial}: another process writes here; end it and run again") from None
                time.sleep(0.2)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of `Receiver` that only reads, and wait for its answer."""
        return self._answer(method, *arguments)

    def write(self, path: str, chunks: Iterable[tuple[int, Bytes]]) -> None:
        """Write parts of a file, each at its offset, several of them under way at once; see `Receiver.write`."""
        waiting = deque[tuple[_Call, Any]]()
        for offset, data in chunks:
            call = ("write", self._trial, self.attempt, path, offset, data)
            waiting.append((call, self._send(call)))
            if len(waiting) == WINDOW:
                self._wait(*waiting.popleft())
        for call, answer in waiting:
            self._wait(call, answer)

    def tell(self, method: str, *arguments: Any) -> None:
        """Call a method of `Receiver` that writes, and wait until it has.

        Raises:
            StoreError: it cannot be written.
            UnreachableError: the head does not answer.
        """
        self._answer(method, self._trial, self.attempt, *arguments)

    def chunk(self, path: str, offset: int) -> Bytes:
        """A part of a file of the trial's; see `Receiver.read`."""
        data: Bytes = self._answer("read", self._trial, path, offset)
        return data

    def _answer(self, *call: Any) -> Any:
        return self._wait(call, self._send(call))

    def _send(self, call: _Call) -> Any:
        return getattr(self._head, call[0]).remote(*call[1:])

    def _wait(self, call: _Call, answer: Any) -> Any:
        """The answer to a call, which is made again where none comes."""
        import ray
        from ray import exceptions

        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ray.get(answer, timeout=PATIENCE)
            except exceptions.RayTaskError as error:
                raise _told(error, self._trial) from None
            except (exceptions.RayError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise UnreachableError(f"{self._trial}: the head does not answer: {error}") from None
                time.sleep(1)
                answer = self._send(call)


def _told(error: Any, trial: str) -> Exception:
    """What went wrong on the head, as a worker there would have met it."""
    cause = error.cause
    if isinstance(cause, (StoreError, BlockingIOError)):
        return cause
    if isinstance(cause, OSError):
        return AttemptError(f"{trial}: cannot be written on the head: {cause.strerror or cause}")
    return StoreError(f"{trial}: the head failed: {cause!r}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def serving(run: RunDirectory, token: str | None = None) -> Iterator[str]:
    """Serve a run directory for the length of the block; yields the actor's name.

    A file of that name tells workers that see the run directory that they do.

    Args:
        run: the run directory.
        token: of the lease that the run has; None where it has none.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"raysweep-{os.urandom(8).hex()}"
    run.mark(name)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Receiver).options(
        name=name, num_cpus=0, max_concurrency=CALLS, max_restarts=-1, scheduling_strategy=here
    )
    head = actor.remote(str(run.path), token)
    try:
        yield name
    finally:
        ray.kill(head)
