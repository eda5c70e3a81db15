"""A copy of the run directory in an object store, from which a sweep goes on when its machine is lost with the disk.

The run directory stays what counts. What changes in it is copied: a trial's checkpoints before the reports that name
them, and its record last, so that the copy is at any moment one that the sweep can go on from.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from raysweep.errors import BrokenOffError, StoreError
from raysweep.store.directory import RunDirectory
from raysweep.store.files import TEMPORARY, sync, write_text
from raysweep.transfer.bucket import Bucket
from raysweep.transfer.copier import Copier, Found, Version, scan

INDEX = ".backup.json"  # in the run directory: what the copy holds; in the copy: whose it is
TOP = "."  # the run directory itself, among the trials' folders
INTERVAL = 10.0  # seconds between looks at what has changed; longer where looking and copying takes longer
THREADS = 16  # an object store answers slowly, and many at once


@dataclass
class _Index:
    """What the copy holds, as the run directory knows it.

    Attributes:
        url: where the copy is.
        owners: who may write it: this run, and the one before it, whose the copy is until this one has claimed it.
        folders: of each folder, the version of each file that is copied.
    """

    url: str
    owners: list[str] = field(default_factory=list)
    folders: dict[str, dict[str, Version]] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path, url: str) -> _Index:
        """The index of the copy at `url`; an empty one where there is none, or none that can be read."""
        try:
            raw = json.loads((directory / INDEX).read_text(encoding="utf-8"))
            folders = {
                folder: {name: Version(int(size), int(changed)) for name, (size, changed) in files.items()}
                for folder, files in raw["folders"].items()
            }
            index = cls(raw["url"], list(raw["owners"]), folders)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(url)
        return index if index.url == url else cls(url)

    def write(self, directory: Path) -> None:
        """Write it into the run directory."""
        folders = {
            folder: {name: (version.size, version.changed) for name, version in files.items()}
            for folder, files in self.folders.items()
        }
        write_text(directory / INDEX, json.dumps({"url": self.url, "owners": self.owners, "folders": folders}))


class Backup:
    """Keeps the copy, from `begin` to the end of the block; a run directory that is not there is first brought back.

    Args:
        store: the run directory.
        url: of the object store; the copy is in the folder of the run directory's name.
        tell: takes what a person is to know.

    Raises:
        SpecError: the URL cannot be used.
        StoreError: the object store cannot.
        BrokenOffError: at the end, where the copy could not be completed.
    """

    def __init__(self, store: RunDirectory, url: str, tell: Callable[[str], None]) -> None:
        self._store, self._tell = store, tell
        self._bucket = Bucket(url, store.path.name)
        self._index = _Index.read(store.path, self._bucket.url)
        self._changed = False  # whether the index is no longer what was written of it
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Backup:
        if not self._store.exists() and (owner := self._owner()) is not None:
            self._restore(owner)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        try:
            self._copy()
        except OSError as failure:
            if error is None:
                raise BrokenOffError(
                    f"{self._bucket.url}: the copy could not be completed ({failure}); all is in {self._store.path}, "
                    "and the same command completes the copy"
                ) from None

    def begin(self) -> None:
        """Claim the copy, and start to keep it; the run directory is locked.

        Raises:
            StoreError: it is another run directory's, or cannot be written.
        """
        owner = self._owner()
        if owner is None:
            self._index.folders.clear()
        elif owner not in self._index.owners:
            raise StoreError(
                f"{self._bucket.url}: is the copy of another run directory, or the sweep has gone on elsewhere; give "
                f"another --backup, or move {self._store.path} away to go on from the copy"
            )
        self._index.owners = [uuid.uuid4().hex, *([owner] if owner else [])]
        self._index.write(self._store.path)
        try:
            self._bucket.write(INDEX, self._index.owners[0].encode())
        except OSError as error:
            raise self._unusable(error) from None
        self._thread = threading.Thread(target=self._keep, name="raysweep-backup", daemon=True)
        self._thread.start()

    def _owner(self) -> str | None:
        """Whose the copy is; None where there is none yet."""
        try:
            owner = self._bucket.read(INDEX)
        except OSError as error:
            raise self._unusable(error) from None
        return None if owner is None else owner.decode(errors="replace")

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(f"{self._bucket.url}: cannot be used: {error}")

    def _restore(self, owner: str) -> None:
        """Bring the copy here; the run directory is there whole, or not at all."""
        path = self._store.path
        self._tell(f"{path.name}: is brought back from {self._bucket.url}")
        temporary = path.with_name(f".{path.name}{TEMPORARY}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            self._bucket.fetch(temporary)
            folders = {name: dict(_look(name)(temporary / name)) for name in _folders(RunDirectory(temporary))}
            self._index = _Index(self._bucket.url, [owner], folders)
            self._index.write(temporary)
            sync(temporary)
            temporary.replace(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be brought back from {self._bucket.url}: {error}") from None

    def _keep(self) -> None:
        """Copy what has changed, again and again."""
        pause, is_behind = 0.0, False
        while not self._over.wait(pause):
            started = time.monotonic()
            try:
                self._copy()
                is_behind = False
            except (OSError, StoreError) as error:  # of the object store, or of the run directory
                if not is_behind:
                    self._tell(f"{self._bucket.url}: cannot be brought up to date, and is tried again: {error}")
                is_behind = True
            pause = max(INTERVAL, 5 * (time.monotonic() - started))

    def _copy(self) -> None:
        """Bring the copy up to date.

        Raises:
            OSError: the object store does not answer or refuses; the next time goes on.
        """
        here = _folders(self._store)
        for name in here:
            self._index.folders.setdefault(name, {})
        try:
            with ThreadPoolExecutor(THREADS) as executor:
                list(executor.map(self._copy_folder, here))
        finally:
            if self._changed:
                self._index.write(self._store.path)
                self._changed = False

    def _copy_folder(self, folder: str) -> None:
        """Copy what has changed in a folder.

        What is deleted here as a whole, a trial or the run directory, is kept there: that is what a copy is for.
        """
        path, copied = self._store.path / folder, self._index.folders[folder]
        before = dict(copied)
        try:
            Copier(path, _Stored(path, folder, self._bucket), copied, _look(folder)).copy(keep=True)
        finally:
            self._changed |= copied != before


class _Stored:
    """A folder in the object store, as the target of a copy.

    Args:
        path: what is copied.
        folder: its name there.
        bucket: the object store.
    """

    def __init__(self, path: Path, folder: str, bucket: Bucket) -> None:
        self._path, self._folder, self._bucket = path, folder, bucket

    def put(self, whole: str, changed: Found, before: Version | None) -> None:
        """See `copier.Target`."""
        for name, version in changed.items():
            if not name.endswith("/"):  # there are no directories there
                self._bucket.put(self._path / name, self._name(name), version.size)

    def write(self, name: str, content: bytes) -> None:
        """See `copier.Target`."""
        self._bucket.write(self._name(name), content)

    def remove(self, name: str) -> None:
        """See `copier.Target`."""
        if not name.endswith("/"):
            self._bucket.delete(self._name(name))

    def _name(self, name: str) -> str:
        return name if self._folder == TOP else f"{self._folder}/{name}"


def _folders(store: RunDirectory) -> list[str]:
    """The run directory itself, and the trials' folders."""
    return [TOP, *(folder.path.name for folder in store.folders().values())]


def _look(folder: str) -> Callable[[Path], Found]:
    """What finds the files of a folder that are to be copied."""
    return _own if folder == TOP else scan


def _own(path: Path) -> Found:
    """The run directory's own files."""
    return {e.name: Version.of(path / e.name) for e in os.scandir(path) if e.is_file() and e.name[0] != "."}
