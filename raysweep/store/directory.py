"""The directory of one sweep: the one owner of its paths."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.store import files
from raysweep.store.files import Fence, unfenced, write_text
from raysweep.store.folder import TrialFolder
from raysweep.store.lease import Holder, Lease, is_held, leased
from raysweep.store.lock import lock
from raysweep.store.records import FORMAT

SWEEP = "sweep.json"  # the sweep file as it was last run, and one entry for each run
STOP = ".stop"  # asks the run at work here to stop; see RunDirectory.request_stop
SCRATCH = ".tune"  # Ray Tune's own files while it runs; nothing in it is ever read by us
ATTEMPTS = "attempts"  # in SCRATCH: which attempt at a trial may write its folder


ANEW = "running the sweep file again sets it aside, and writes it anew"


class _UselessError(StoreError):
    """sweep.json is missing or damaged."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _wrong(raw: Any) -> Iterator[str]:
    """The fields of sweep.json that are not what they are to be."""
    if not isinstance(raw, dict):
        yield "it is no object"
        return
    spec, runs = raw.get("spec"), raw.get("runs")
    if type(raw.get("format")) is not int:
        yield "format: is no number"
    if not isinstance(spec, dict):
        yield "spec: is no object"
    elif not isinstance(spec.get("defaults", {}), dict):
        yield "spec.defaults: is no object"
    if not isinstance(runs, list):
        yield "runs: is no list"
        return
    for number, run in enumerate(runs):
        if not isinstance(run, dict):
            yield f"runs[{number}]: is no object"
        elif type(run.get("pid")) not in (int, type(None)):
            yield f"runs[{number}].pid: is no number"
        elif not isinstance(run.get("host"), (str, type(None))):
            yield f"runs[{number}].host: is no text"


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one sweep.

    Attributes:
        path: of it.
        fence: is asked before anything that counts is written; raises where another run has taken over.
    """

    path: Path
    fence: Fence = field(default=unfenced, compare=False, repr=False)

    @property
    def scratch(self) -> Path:
        """Where Ray Tune may write while it runs."""
        return self.path / SCRATCH

    def exists(self) -> bool:
        """Whether a sweep was ever run here."""
        return (self.path / SWEEP).is_file()

    def sweep(self) -> dict[str, Any]:
        """sweep.json: `spec`, the sweep file as it was last run, and `runs`, one entry per run.

        Raises:
            StoreError: there is none, it is damaged, or newer than this raysweep.
        """
        path = self.path / SWEEP
        try:
            raw = json.loads(files.read(path), parse_constant=_refuse)
        except FileNotFoundError:
            raise _UselessError(f"{self.path}: no sweep was run here ({SWEEP} is missing)") from None
        except OSError as error:
            kind = _UselessError if error.errno in files.NO_FILE else StoreError
            raise kind(f"{path}: cannot be read: {error.strerror}; {ANEW}") from None
        except (ValueError, RecursionError) as error:
            raise _UselessError(f"{path}: is damaged: {error}; {ANEW}") from None
        if isinstance(raw, dict) and isinstance(version := raw.get("format"), int) and version > FORMAT:
            raise StoreError(f"{path}: was written by a newer raysweep (format {version}; this one knows {FORMAT})")
        if (wrong := next(_wrong(raw), None)) is not None:
            raise _UselessError(f"{path}: is no record of a sweep: {wrong}; {ANEW}")
        return raw  # type: ignore[no-any-return]  # checked: it is a dict

    def earlier(self) -> dict[str, Any]:
        """As `sweep`; an empty one where there is none that can be read, which a run then writes anew.

        Raises:
            StoreError: it is newer than this raysweep, or cannot be opened.
        """
        try:
            return self.sweep()
        except _UselessError:
            return {"spec": {}, "runs": []}

    def write_sweep(self, spec: Mapping[str, Any], runs: Iterable[Mapping[str, Any]]) -> None:
        """Write sweep.json; one that is damaged is set aside."""
        text = json.dumps({"format": FORMAT, "spec": dict(spec), "runs": list(runs)}, indent=1)
        try:
            self.sweep()
        except _UselessError:
            if os.path.lexists(self.path / SWEEP):
                files.set_aside(self.path / SWEEP)
        write_text(self.path / SWEEP, text, self.fence)

    def create(self) -> None:
        """Make the directory, and see that it can be written.

        Raises:
            StoreError: it cannot.
        """
        try:
            for path in (*(parent for parent in reversed(self.path.parents) if not parent.exists()), self.path):
                files.make_directory(path)
            with files.replacing(self.path / ".writable") as probe:
                probe.touch()
            (self.path / ".writable").unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({error.strerror}); choose another place with --runs DIR"
            ) from None

    @contextmanager
    def lock(self, waiting: Callable[[str], None] | None = None) -> Iterator[Lease]:
        """Within the block no other process can run a sweep here; a process that dies lets go.

        The lock is on the directory itself, so there is no file to be left behind; for other machines there is the
        lease, which is yielded.

        Args:
            waiting: is told that this waits to see whether another machine is still there; None for not waiting.

        Raises:
            StoreError: another process holds it.
        """
        with ExitStack() as stack:
            try:
                stack.callback(os.close, lock(self.path, tries=4))
                lease = stack.enter_context(leased(self.path, waiting))
            except BlockingIOError:
                raise StoreError(self._refusal()) from None
            except OSError as error:
                raise StoreError(f"{self.path}: cannot be locked: {error.strerror or error}") from None
            yield lease
            files.remove_left(self.path, alone=False)

    def _refusal(self) -> str:
        return (
            f"{self.path}: another run is at work here ({self.holder() or 'process unknown'}); wait for it, "
            "`raysweep stop` it, or give another --runs DIR"
        )

    def holder(self) -> Holder | None:
        """Who has locked the directory, or had it last, as far as that is known."""
        return Holder.of(self.path) or self.journaled()  # earlier releases had no lease

    def journaled(self) -> Holder | None:
        """Whose run began last, and has no end on record; None where there is none."""
        last: dict[str, Any] = next(reversed(self.earlier()["runs"]), {})
        if not isinstance(pid := last.get("pid"), int) or last.get("ended") is not None:
            return None
        told = {name: last.get(name) for name in ("host", "process", "numbering")}
        return Holder(
            pid=pid, token="", **{name: value if isinstance(value, str) else "" for name, value in told.items()}
        )

    def is_locked(self) -> bool:
        """Whether a run is at work here now, on whichever machine."""
        try:
            os.close(lock(self.path, shared=True))
        except BlockingIOError:
            return True
        return is_held(self.path)

    def folders(self) -> dict[str, TrialFolder]:
        """The trials' folders that are there, by trial id; a folder keeps the name it was made with."""
        return {id: found[0] for id, found in self._by_id().items()}

    def sorted_folders(self) -> tuple[dict[str, TrialFolder], list[TrialFolder]]:
        """The same, and the folders that do not count, since another is there for the same trial."""
        by_id = self._by_id()
        return {id: found[0] for id, found in by_id.items()}, [f for found in by_id.values() for f in found[1:]]

    def _by_id(self) -> dict[str, list[TrialFolder]]:
        """The folders of each trial; the one that counts comes first."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if "-" in entry.name and _is_folder(entry)]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.strerror}); choose another place with --runs DIR"
            ) from None
        by_id: dict[str, list[TrialFolder]] = {}
        for name in names:
            if name[0] != "." and not files.is_aside(name):
                by_id.setdefault(name.rpartition("-")[2], []).append(self.trial(name))
        return {id: found if len(found) == 1 else sorted(found, key=_trust) for id, found in by_id.items()}

    def trial(self, name: str) -> TrialFolder:
        """The folder of that name, which need not be there."""
        return TrialFolder(self.path / name, self.fence)

    def request_stop(self) -> None:
        """Ask the run at work here to let its trials finish their epoch, and to start no others."""
        (self.path / STOP).touch()

    def stop_requested(self) -> bool:
        """Whether the run at work here was asked to stop."""
        return (self.path / STOP).exists()

    def clear_stop(self) -> None:
        """Take the request back."""
        (self.path / STOP).unlink(missing_ok=True)

    def mark(self, name: str) -> None:
        """Leave a sign by which a worker can tell that it sees this directory."""
        self.scratch.mkdir(exist_ok=True)
        (self.scratch / name).touch()

    def is_marked(self, name: str) -> bool:
        """Whether that sign can be seen from here."""
        return (self.scratch / name).exists()

    def attempt(self, trial: str) -> str:
        """Which attempt at a trial may write its folder; empty where none may."""
        try:
            return (self.scratch / ATTEMPTS / trial).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def write_attempt(self, trial: str, attempt: str) -> None:
        """Let `attempt` be the only one that may write a trial's folder."""
        for path in (self.scratch, self.scratch / ATTEMPTS):
            path.mkdir(exist_ok=True)  # and not their parents: a run directory that was deleted is not to come back
        write_text(self.scratch / ATTEMPTS / trial, attempt, self.fence, lasting=False)

    def revoke(self, trial: str) -> None:
        """Let no attempt that may still be at work on another node write a trial's folder from now on."""
        if self.attempt(trial):
            self.write_attempt(trial, "")

    def remove_scratch(self) -> None:
        """Delete what Ray Tune wrote for itself."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where nobody may look
        return False


def _trust(folder: TrialFolder) -> tuple[bool, bool, bool, str]:
    """Of folders for the same trial, which counts: one that is no link, holds the trial, and has kept its name."""
    name = folder.path.name
    record = folder.found(name.rpartition("-")[2]).record
    return record is None, folder.path.is_symlink(), record is not None and record.name != name, name
