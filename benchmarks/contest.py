"""Contenders, each measured in a process and a folder of its own, in alternating rounds.

    python -m benchmarks.contest benchmarks.contenders.noop:run_tune '{"trials": 10}'

calls one function, as a contender, and prints what it returned as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import processes

ROOT = Path(__file__).parent.parent
SAMPLING = 2.0  # seconds between two looks at the memory, which take some milliseconds each
REST = 3.0  # seconds in which what was ended goes away: a Ray that starts meanwhile takes longer
LOOKING = 0.005  # seconds between two looks at what a process wrote
PATIENCE = 900.0  # seconds for a process to write what is waited for

Figures = Mapping[str, Any]


def last_line(folder: Path, output: str) -> Figures:
    """The JSON object that a contender's last line is."""
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


def nothing(folder: Path, output: str) -> Figures:
    """No figures; of some contenders only the time is of interest."""
    return {}


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: as the table shows it.
        command: what is run, in an empty folder.
        read: takes that folder and what the command wrote, and returns the figures; the folder is then removed.
        until: the time is that until the command first writes this, and it is ended there.
        weighed: whether to look for the most memory that all its processes hold together.
    """

    name: str
    command: Sequence[str]
    read: Callable[[Path, str], Figures] = nothing
    until: str | None = None
    weighed: bool = False


@dataclass(frozen=True)
class Measure:
    """One round of one contender.

    Attributes:
        seconds: from the start of its process to its end.
        figures: what the contender's `read` found.
        disk: bytes that it left in its folder.
        peak: the most bytes that its processes held together, where it was weighed.
    """

    seconds: float
    figures: Figures = field(default_factory=dict)
    disk: int = 0
    peak: int = 0


def call(function: str, **arguments: Any) -> list[str]:
    """The command that calls "module:function" in a process of its own; `last_line` reads what it returns."""
    return [sys.executable, "-m", "benchmarks.contest", function, json.dumps(arguments)]


@dataclass
class Live:
    """A process that was started; all that it starts carries its mark."""

    process: subprocess.Popen[bytes]
    mark: str
    output: Path
    errors: Path

    def text(self) -> str:
        """What it wrote so far to its standard output."""
        return self.output.read_text()

    def told(self) -> str:
        """What it wrote so far, also to its standard error."""
        return self.text() + self.errors.read_text()

    def wait_for(self, ready: Callable[[str], bool]) -> None:
        """Wait until what it wrote is enough.

        Raises:
            RuntimeError: it ended before, or it takes too long.
        """
        size, deadline = -1, time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll() is not None
            now = self.output.stat().st_size + self.errors.stat().st_size
            if now != size and ready(self.told()):
                return
            if ended or time.monotonic() > deadline:
                raise self.failure()
            size = now
            time.sleep(LOOKING)

    def failure(self) -> RuntimeError:
        """The error that says how it ended, or that it did not."""
        code = self.process.returncode
        outcome = "took too long" if code is None else f"ended with {code}"
        return RuntimeError(f"{self.process.args!r} {outcome}:\n{self.told()[-4000:]}")


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[Live]:
    """A command at work in `folder`; at the end of the block all that it started is ended."""
    mark = uuid.uuid4().hex
    paths = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    environment = os.environ | {
        processes.MARK: mark,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *paths]),
        "RAY_ADDRESS": "local",  # a Ray of its own, whatever else runs here
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("OMP_NUM_THREADS", None)  # contenders say for themselves how many threads they use
    with tempfile.TemporaryDirectory() as beside:
        output, errors = Path(beside, "output"), Path(beside, "errors")
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                list(command), cwd=folder, env=environment, stdout=out, stderr=err, start_new_session=True
            )
        try:
            yield Live(process, mark, output, errors)
        finally:
            processes.end(mark, patience=10.0 if process.poll() is not None else 0.0)
            process.wait()


def run(contender: Contender) -> Measure:
    """One round of one contender.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, begun = Path(name), time.perf_counter()
        with started(contender.command, folder) as live, _weighing(live, contender.weighed) as weights:
            if contender.until is not None:
                live.wait_for(lambda text: str(contender.until) in text)
            elif live.process.wait():
                raise live.failure()
            seconds = time.perf_counter() - begun
            figures = contender.read(folder, live.text())
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return Measure(seconds, figures, disk, max(weights, default=0))


@contextmanager
def _weighing(live: Live, wanted: bool) -> Iterator[list[int]]:
    """Within the block, look every now and then how much memory the processes hold together."""
    weights: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLING):
            weights.append(sum(map(processes.proportional, processes.marked(live.mark))))

    thread = threading.Thread(target=look)
    if wanted:
        thread.start()
    try:
        yield weights
    finally:
        over.set()
        if wanted:
            thread.join()


def alternate(contenders: Sequence[Contender], rounds: int) -> dict[str, list[Measure]]:
    """All contenders in turn, `rounds` times, every second time in reverse: a drift of the machine hits all alike.

    Returns:
        by the contender's name, one measure per round.
    """
    measures: dict[str, list[Measure]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders[::-1] if number % 2 else contenders:
            measure = run(contender)
            time.sleep(REST)
            measures[contender.name].append(measure)
            print(
                f"round {number + 1} of {rounds}: {contender.name}: {measure.seconds:.2f} s",
                file=sys.stderr,
                flush=True,
            )
    return measures


def main(function: str, arguments: str) -> None:
    """Call one function and print what it returned, and the most memory that this process held."""
    module, _, name = function.partition(":")
    figures: dict[str, Any] = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\n{json.dumps({**figures, 'memory': memory})}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
