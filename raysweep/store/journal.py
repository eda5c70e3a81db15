"""The run directory's journal: one entry in sweep.json for each time that the sweep was run."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from raysweep.store.directory import RunDirectory
from raysweep.store.lease import TakenOverError
from raysweep.store.process import numbering, started

RECORDED = ("raysweep", "ray", "torch", "torchvision", "tensorboard", "pandas", "numpy")


@contextlib.contextmanager
def logged(
    content: Mapping[str, Any],
    store: RunDirectory,
    directory: Path,
    source: Path | None = None,
) -> Iterator[None]:
    """Keep in sweep.json what is run, by whom and with what, from before it starts to after it ends.

    A request to stop an earlier run is taken back, and Ray Tune's own files are deleted afterwards.

    Args:
        content: the sweep file, as it was checked.
        store: the run directory; where its fence raises, since another run has it, everything is left to that.
        directory: the sweep file's.
        source: the file that is trained with, which the run directory belongs to.
    """
    entry: dict[str, Any] = {
        "started": time.time(),
        "ended": None,
        "command": shlex.join(sys.orig_argv),
        "directory": str(directory.resolve()),
        "source": str(source) if source else None,
        "host": platform.node(),
        "pid": os.getpid(),
        "process": started(os.getpid()),  # by which `stop` knows it again, and
        "numbering": numbering(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in RECORDED},
        "commit": _commit(directory),
    }
    before = store.earlier()["runs"]
    store.clear_stop()  # before the entry is there: whoever asks this run to stop looks for it first
    store.write_sweep(content, [*before, entry])
    try:
        yield
    finally:
        with contextlib.suppress(TakenOverError):
            store.fence()
            with contextlib.suppress(OSError):  # of a full disk; then the run has no end on record
                store.write_sweep(content, [*before, {**entry, "ended": time.time()}])
            store.clear_stop()
            store.remove_scratch()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(directory: Path) -> str | None:
    """The commit of the sweep file's repository, with "+" where something is not committed."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(directory.resolve()), "describe", "--always", "--abbrev=40", "--dirty=+"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or None
