"""Which process a number means: the number is given to another one in time, and the start is not."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
SPACE = Path("/proc/self/ns/pid")


def started(pid: int) -> str | None:
    """When a process was started, as a text that no other process of its number has; None where there is none.

    On Linux it is counted from the machine's start, so that setting the clock changes nothing.
    """
    if BOOT.is_file():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return f"{_boot()}/{fields[19]}"
    ps = shutil.which("ps")
    if ps is None:
        return None
    told = subprocess.run([ps, "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip() or None


def numbering() -> str:
    """Where numbers mean the processes that they mean here: this machine since it was started, or a container.

    A machine that was started anew is another one, as one that has the same name is. Where the system does not say, it
    is the machine's name.
    """
    try:
        return f"{_boot()}/{SPACE.readlink()}"
    except OSError:
        return platform.node()


def _boot() -> str:
    return BOOT.read_text(encoding="utf-8").strip()
