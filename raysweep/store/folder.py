"""One trial's folder: its record, its reports, its checkpoints."""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raysweep.errors import StoreError
from raysweep.store import files
from raysweep.store.fault import AttemptError
from raysweep.store.files import Fence, Lines, unfenced, write_text
from raysweep.store.records import Report, State, TrialRecord

TRIAL, RESULT, ERROR, OUTPUT = "trial.json", "result.json", "error.txt", "output.log"
CHECKPOINT = "checkpoint_"  # what the names of a trial's checkpoints begin with
_CHECKPOINT = re.compile(rf"{CHECKPOINT}(\d{{6,}})")  # a folder of any other name is the user's own
EVENTS = "events.out.tfevents"  # and those of its event files


class UnreadableError(AttemptError):
    """A trial's record or its reports are damaged; the message names the file and the field."""

    @classmethod
    def of(cls, path: Path, problem: object) -> UnreadableError:
        """The error of a file."""
        return cls(f"{path}: cannot be used: {problem}; the next run sets the folder aside, and trains the trial anew")


@dataclass(frozen=True)
class Found:
    """What there is of a trial.

    Attributes:
        record: what is known of it; None where it never started, or its folder cannot be trusted.
        problem: why its folder cannot be trusted; None where it can.
    """

    record: TrialRecord | None = None
    problem: str | None = None


@dataclass(frozen=True)
class TrialFolder:
    """One trial's folder.

    While a trial runs, its worker is the only one that writes here. Reports are appended, one line each; a line counts
    once its newline is there. Whatever is written is on the disk when the call returns.

    Attributes:
        path: of the folder.
        fence: is asked before anything is written; raises where another attempt may write the folder.
    """

    path: Path
    fence: Fence = field(default=unfenced, compare=False, repr=False)

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

    def found(self, id: str) -> Found:
        """What there is of a trial, as far as it can be trusted.

        Args:
            id: the trial's.
        """
        found = self._found(id)
        if found.problem is None:
            return found
        return self._found(id)  # the trial may have gone on between the looks at its record and its reports

    def _found(self, id: str) -> Found:
        try:
            record = self.record()
            self._check(record, id)
        except UnreadableError as error:
            return Found(problem=str(error))
        return Found(record)

    def _check(self, record: TrialRecord | None, id: str) -> None:
        """See that record and reports belong together, and to this folder.

        Raises:
            UnreadableError: they do not.
        """
        if record is None:
            if self._holds_results():
                raise UnreadableError.of(self.path / TRIAL, "it is missing, and there are results of a trial")
        elif record.id != id:
            raise UnreadableError.of(self.path / TRIAL, f"id: is {record.id!r}, which is another trial")
        elif record.state.is_finished and record.seal is not None:
            if record.seal != self.seal():
                raise UnreadableError.of(self.result_file, "it is not what it was when the trial ended")
        else:
            reports, is_torn = self._parsed()
            if is_torn and record.state.is_finished:
                raise UnreadableError.of(self.result_file, "its end is damaged")
            if not reports and record.state is State.DONE:
                raise UnreadableError.of(self.result_file, "it is empty, and the trial is done")

    def _holds_results(self) -> bool:
        """Whether something is here that only a trial with a record leaves, or that is not a trial's at all."""
        try:
            names = [entry.name for entry in os.scandir(self.path)]
        except FileNotFoundError:
            return self.path.is_symlink()
        return bool(self._lines()) or any(not _is_of_a_start(name) for name in names)

    def record(self) -> TrialRecord | None:
        """What is known of the trial; None where it never started.

        Raises:
            UnreadableError: the record is damaged or newer than this raysweep.
        """
        path = self.path / TRIAL
        try:
            return TrialRecord.from_json(files.read(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unread(path, error) from None
        except ValueError as error:
            raise UnreadableError.of(path, error) from None

    def create(self) -> None:
        """Make the folder, where it is missing; the run directory is there.

        Raises:
            OSError: it cannot be made.
        """
        self.fence()
        files.make_directory(self.path)

    def write(self, record: TrialRecord) -> None:
        """Write the trial's record."""
        self.create()
        write_text(self.path / TRIAL, record.to_json(), self.fence)

    def reports(self) -> list[Report]:
        """All complete reports, in order; what was being appended when the power was cut does not count.

        Raises:
            UnreadableError: another line is damaged.
        """
        return self._parsed()[0]

    def _parsed(self) -> tuple[list[Report], bool]:
        """The reports, and whether the end of the file is left out, which is torn."""
        lines = self._lines()
        try:
            return Report.all_of(lines), False
        except ValueError:
            return self._one_by_one(lines.splitlines())

    def _one_by_one(self, lines: Sequence[bytes]) -> tuple[list[Report], bool]:
        reports = []
        for number, line in enumerate(lines, start=1):
            try:
                reports.append(Report.from_json(line))
            except ValueError as problem:
                is_torn = number == len(lines) or b"\0" in line  # zeros are what is not on the disk of several lines
                if not is_torn:
                    raise UnreadableError.of(self.result_file, f"line {number}: {problem}") from None
                return reports, True
        return reports, False

    def _lines(self) -> bytes:
        """The complete lines of the reports."""
        try:
            content = files.read(self.result_file)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unread(self.result_file, error) from None
        return content[: content.rfind(b"\n") + 1]

    def seal(self) -> str:
        """What tells these reports from all others: their size in bytes and their checksum."""
        lines = self._lines()
        return f"{len(lines)}-{zlib.crc32(lines):08x}"

    def keep_reports(self, reports: Iterable[Report]) -> None:
        """Make `reports` the only ones; where there are none that is on the disk with the record that follows."""
        text = "".join(report.to_json() + "\n" for report in reports)
        write_text(self.result_file, text, self.fence, lasting=bool(text))

    def reporting(self) -> Lines:
        """Where reports are appended, `report.to_json()` each; `keep_reports` comes before.

        What an earlier attempt appends from then on is in a file that has lost its name.
        """
        return Lines(self.result_file, self.fence)

    def write_error(self, text: str) -> None:
        """Write the traceback of a failed trial."""
        write_text(self.error_file, text, self.fence)

    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints that are there, oldest first."""
        found = [path for path in self.path.glob(f"{CHECKPOINT}*") if _CHECKPOINT.fullmatch(path.name)]
        there = (path for path in found if path.is_dir() and not path.is_symlink())
        return sorted(there, key=lambda path: (len(path.name), path.name))

    def save_checkpoint(self, source: Path | Callable[[Path], object], name: str, lasting: bool = True) -> Path:
        """Copy a directory to be the checkpoint `name`, or have it written; it is there whole, or not at all.

        Without `lasting` that is so once `files.sync_disk` has returned, and no report may name it before.

        Raises:
            TrainableError: what is in the directory cannot be copied.
            OSError: the folder cannot be written.
        """
        with files.replacing(self.path / name, self.fence, lasting) as temporary:
            temporary.mkdir()  # and not its parents: a run directory that was deleted is not to come back
            if isinstance(source, Path):
                files.copy_tree(source, temporary)
            else:
                source(temporary)
        return self.path / name

    def prune_checkpoints(self, keep: Iterable[str]) -> None:
        """Delete all checkpoints but those named."""
        self.fence()
        kept = set(keep)
        for path in self.checkpoints():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Forget what the trial did, but not its record."""
        self.fence()
        for path in self.path.iterdir():
            if path.name != TRIAL:
                files.remove(path)

    def tidy(self) -> None:
        """Remove what an attempt that died left half-written."""
        self.fence()
        files.remove_left(self.path, alone=True)

    def sync(self) -> None:
        """Have logs and event files, which grow as they come, on the disk; their names come with the next file."""
        for path in self.path.iterdir():
            if path.name == OUTPUT or path.name.startswith(EVENTS):
                files.sync(path)

    def set_aside(self) -> Path:
        """Rename the folder, which cannot be used, so that the trial can begin anew; returns what it is called now."""
        self.fence()
        return files.set_aside(self.path)


def _unread(path: Path, error: OSError) -> StoreError:
    """What it means that a file cannot be read: that it is damaged, or only that this process cannot read it."""
    if error.errno in files.NO_FILE:
        return UnreadableError.of(path, error.strerror)
    return StoreError(f"{path}: cannot be read: {error.strerror}")


def _is_of_a_start(name: str) -> bool:
    """Whether a trial that was killed before it had a record leaves a file of that name."""
    return name in (RESULT, ERROR, OUTPUT) or name.startswith(EVENTS) or files.is_temporary(name)
