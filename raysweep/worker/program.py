"""A program at work as a trial: a Python script in the trial's own process, anything else as a process beside it."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from raysweep.plan.reference import Reference
from raysweep.store.folder import TrialFolder
from raysweep.sweepfile.command import DEFAULT, expanded, python_part
from raysweep.worker import readings
from raysweep.worker.inbox import Inbox
from raysweep.worker.messages import Left
from raysweep.worker.output import last_output
from raysweep.worker.reporter import Reporter

ARGUMENTS = "arguments.json"  # in the trial's folder, where a command wants its parameters in a file
PATIENCE = 5.0  # seconds for a command to end when it is asked to


class ProgramFailed(Exception):  # noqa: N818 - as it is told to a person
    """A program has ended with another exit code than 0."""


def train_program(reporter: Reporter) -> None:
    """Run the program as it would be run from a shell, with the trial's parameters as arguments.

    Raises:
        ProgramFailed: it ends with another exit code than 0.
        Exception: whatever a Python script raises.
    """
    recording = reporter.recording
    run, config, folder = recording.run, recording.trial.config, recording.folder
    rest = python_part(run.command)
    arguments = folder.path / ARGUMENTS
    program = str(run.reference.file or run.reference.module)
    if rest is None:
        words = expanded(run.command or DEFAULT, program, config, arguments)
        _Command(reporter).run(words)
        _check_reported(reporter)
        return
    sys.argv = [program, *expanded(rest, program, config, arguments)]
    with Inbox(reporter, left=_interrupt), readings.of(run.readings, reporter):
        _run_script(run.reference, folder)
    _check_reported(reporter)


def _check_reported(reporter: Reporter) -> None:
    recording = reporter.recording
    if recording.reports.last is None:
        raise ProgramFailed(
            f"{recording.run.reference.module} ended without a report; call raysweep.report() in it, or have its "
            'metrics read with "report": "wandb" or "tensorboard"'
        )


def _interrupt() -> None:
    """The script is over with what a process of its own has reported."""
    os.kill(os.getpid(), signal.SIGINT)


def _run_script(reference: Reference, folder: TrialFolder) -> None:
    try:
        if reference.file is not None:
            sys.path.insert(0, str(reference.file.resolve().parent))
            runpy.run_path(str(reference.file), run_name="__main__")
        else:
            sys.path.insert(0, reference.search_path[0])
            runpy.run_module(reference.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - as Python does, into the trial's own output
        if code := (end.code if isinstance(end.code, int) else bool(end.code)):
            raise _failed(reference.module, int(code), folder) from None


def _failed(name: str, code: int, folder: TrialFolder) -> ProgramFailed:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    lines = last_output(folder.output_file).strip().splitlines()
    told = f"; its last output: {lines[-1].strip()}" if lines else ", and printed nothing"
    return ProgramFailed(f"{name} ended with exit code {code}{told}")


class _Command:
    """Another program, whose processes end with the trial."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._is_over = False

    def run(self, words: list[str]) -> None:
        """Run it to its end.

        Raises:
            ProgramFailed: it ends with another exit code than 0, or cannot be started.
        """
        with Inbox(self._reporter, left=self._leave):
            try:
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL)  # in this group, which ends as a whole
            except OSError as error:
                raise ProgramFailed(f"{words[0]} cannot be started: {error.strerror}") from None
            try:
                while (code := _waited(process)) is None and not self._is_over:
                    pass
            finally:
                _end_others()
        if self._is_over:
            raise Left
        if code:
            raise _failed(words[0], code, self._reporter.recording.folder)

    def _leave(self) -> None:
        self._is_over = True


def _waited(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(0.05)
    except subprocess.TimeoutExpired:
        return None


def _end_others() -> None:
    """End all processes of this one's group but itself: they are what the trial has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        others = list(_others())
        for pid in others:
            _kill(pid, number)
        while others and time.monotonic() < deadline:
            time.sleep(0.01)
            others = list(_others())
        if not others:
            return


def _others() -> Iterator[int]:
    """The living processes of this one's group, less itself."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has ended
                continue
            if int(group) == os.getpgid(0) and state != "Z":
                yield int(entry.name)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
