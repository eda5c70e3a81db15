"""The processes that a benchmark started, known by a mark in their environment, and what they hold of memory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

MARK = "RAYSWEEP_BENCHMARK"  # in the environment of all processes that a contender starts


def marked(mark: str) -> dict[int, str]:
    """The command lines of all living processes that carry `mark` in their environment, or descend from one.

    Those of Ray that give themselves another name write it over the environment that others can read.
    """
    lines, parents, found = {}, {}, set()
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
        except OSError:
            continue  # it ended while we looked
        parents[pid] = parent(pid)
    while more := {pid for pid, above in parents.items() if above in found and pid not in found}:
        found |= more
    return {pid: line for pid, line in lines.items() if pid in found and line}  # one that has ended has no line


def parent(pid: int) -> int:
    """The process that started `pid`; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False where the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end(mark: str, patience: float = 0.0) -> None:
    """Kill what is left of the marked processes after so many seconds."""
    deadline = time.monotonic() + patience
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    while alive := marked(mark):
        for pid in alive:
            send(pid, signal.SIGKILL)
        time.sleep(0.05)


def proportional(pid: int) -> int:
    """A process's proportional set size in bytes: pages that n processes share count 1/n; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
