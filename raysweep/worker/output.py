"""Where it goes what a trial prints, and the last of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

OUTPUT = 20  # lines of a process's last output that are told when it dies


def redirect(path: Path) -> None:
    """Let all that this process and those that it starts print go into a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream, handle in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(file, handle)
    os.close(file)
    for name, handle in (("stdout", 1), ("stderr", 2)):
        text = open(handle, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, text)


def last_output(path: Path) -> str:
    """The last lines that a trial printed, of a file that may be large."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()[-OUTPUT:]
    except OSError:
        return ""
    return "\n".join(lines)
