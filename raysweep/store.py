"""The run directory: the one owner of its paths, and of how its files are written.

A file that matters is written under a temporary name and renamed, so that it is whole or absent. Reports
are appended, one line each; a line counts once its newline is there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.lock import lock
from raysweep.records import FORMAT, Report, TrialRecord

SWEEP, TRIAL, RESULT, ERROR, OUTPUT = "sweep.json", "trial.json", "result.json", "error.txt", "output.log"
STOP = ".stop"  # asks the run at work here to stop; see RunDirectory.request_stop
SCRATCH = ".tune"  # Ray Tune's own files while it runs; nothing in it is ever read by us
ATTEMPTS = "attempts"  # in SCRATCH: which attempt at a trial may write its folder
CHECKPOINT = "checkpoint_"  # what the names of a trial's checkpoints begin with
TEMPORARY = ".tmp"


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or not at all."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # an exception's text can be anything
    temporary.replace(path)


class _UselessError(StoreError):
    """sweep.json is missing or damaged."""


def _is_sweep(raw: object) -> bool:
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
        return False
    runs = raw.get("runs")
    return isinstance(raw.get("spec"), dict) and isinstance(runs, list) and all(isinstance(r, dict) for r in runs)


@dataclass(frozen=True)
class TrialFolder:
    """One trial's folder.

    While a trial runs, its worker is the only one that writes here.
    """

    path: Path

    @property
    def error_file(self) -> Path:
        """The traceback of a failed trial."""
        return self.path / ERROR

    @property
    def output_file(self) -> Path:
        """What the training function printed."""
        return self.path / OUTPUT

    @property
    def result_file(self) -> Path:
        """One line per report."""
        return self.path / RESULT

    def holds_trial(self) -> bool:
        """Whether a trial was ever started here."""
        return (self.path / TRIAL).is_file()

    def record(self) -> TrialRecord | None:
        """What is known of the trial; None where it never started.

        Raises:
            StoreError: the record is damaged or newer than this raysweep.
        """
        path = self.path / TRIAL
        try:
            return TrialRecord.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be used: {error}; move the folder away to run the trial anew") from None

    def write(self, record: TrialRecord) -> None:
        """Write the trial's record."""
        self.path.mkdir(exist_ok=True)
        write_text(self.path / TRIAL, record.to_json())

    def reports(self) -> list[Report]:
        """All complete reports, in order; a line cut off by a crash does not count.

        Raises:
            StoreError: a complete line is damaged.
        """
        path = self.result_file
        try:
            lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is incomplete
            return [Report.from_json(line.decode()) for line in lines if line]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be used: {error}; move the folder away to run the trial anew") from None

    def keep_reports(self, reports: Iterable[Report]) -> None:
        """Make `reports` the only ones."""
        write_text(self.result_file, "".join(report.to_json() + "\n" for report in reports))

    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints that are there, oldest first."""
        return sorted(self.path.glob(f"{CHECKPOINT}*"))

    def save_checkpoint(self, source: Path, name: str) -> Path:
        """Copy a directory to be the checkpoint `name`; it is there whole, or not at all."""
        target = self.path / name
        temporary = target.with_name(f".{target.name}{TEMPORARY}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()  # and not its parents: a run directory that was deleted is not to come back
        shutil.copytree(source, temporary, dirs_exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
        return target

    def prune_checkpoints(self, keep: Iterable[str]) -> None:
        """Delete all checkpoints but those named."""
        kept = set(keep)
        for path in self.checkpoints():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def stop_requested(self) -> bool:
        """Whether the run that this trial belongs to was asked to stop."""
        return (self.path.parent / STOP).exists()

    def revoke(self) -> None:
        """Let no attempt that may still be at work on another node write here from now on."""
        run = RunDirectory(self.path.parent)
        if run.attempt(self.path.name):
            run.write_attempt(self.path.name, "")

    def clear(self) -> None:
        """Forget what the trial did, but not its record."""
        for path in self.path.iterdir():
            if path.name == TRIAL:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one sweep."""

    path: Path

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
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _UselessError(f"{self.path}: no sweep was run here ({SWEEP} is missing)") from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise _UselessError(f"{path}: is damaged: {error}; running the sweep file again writes it anew") from None
        if isinstance(raw, dict) and isinstance(version := raw.get("format"), int) and version > FORMAT:
            raise StoreError(f"{path}: was written by a newer raysweep (format {version}; this one knows {FORMAT})")
        if not _is_sweep(raw):
            raise _UselessError(f"{path}: is no record of a sweep; running the sweep file again writes it anew")
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
        """Write sweep.json."""
        text = json.dumps({"format": FORMAT, "spec": dict(spec), "runs": list(runs)}, indent=1)
        write_text(self.path / SWEEP, text)

    def create(self) -> None:
        """Make the directory, and see that it can be written.

        Raises:
            StoreError: it cannot.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.path / ".writable", "")
            (self.path / ".writable").unlink()
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({error.strerror}); choose another place with --runs DIR"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Within the block no other process can run a sweep here; a process that dies lets go.

        The lock is on the directory itself, so there is no file to be left behind.

        Raises:
            StoreError: another process holds it.
        """
        try:
            handle = lock(self.path, tries=4)
        except BlockingIOError:
            last = self.holder()
            raise StoreError(
                f"{self.path}: another run is at work here (process {last.get('pid', '?')} on "
                f"{last.get('host', '?')}); wait for it, `raysweep stop` it, or give another --runs DIR"
            ) from None
        try:
            yield
        finally:
            os.close(handle)

    def holder(self) -> dict[str, Any]:
        """What sweep.json says of the last run: its `pid`, `host`, `command` and more; empty before the first."""
        runs = self.earlier()["runs"]
        return runs[-1] if runs else {}

    def is_locked(self) -> bool:
        """Whether a run is at work here now."""
        try:
            os.close(lock(self.path, shared=True))
        except BlockingIOError:
            return True
        return False

    def folders(self) -> dict[str, TrialFolder]:
        """The trials' folders that are there, by trial id; a folder keeps the name it was made with."""
        try:
            names = [entry.name for entry in os.scandir(self.path) if "-" in entry.name and entry.is_dir()]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.strerror}); choose another place with --runs DIR"
            ) from None
        return {name.rpartition("-")[2]: self.trial(name) for name in names if not name.startswith(".")}

    def trial(self, name: str) -> TrialFolder:
        """The folder of that name, which need not be there."""
        return TrialFolder(self.path / name)

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
        (self.scratch / ATTEMPTS).mkdir(parents=True, exist_ok=True)
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
        write_text(self.scratch / ATTEMPTS / trial, attempt)

    def remove_scratch(self) -> None:
        """Delete what Ray Tune wrote for itself."""
        shutil.rmtree(self.scratch, ignore_errors=True)
