"""`tensorboard`: TensorBoard over one run, or over all of them."""

from __future__ import annotations

import argparse
import os
import sys

from raysweep.errors import StoreError


def tensorboard(options: argparse.Namespace) -> int:
    """Become TensorBoard."""
    from raysweep.results.reading import find

    directory = find(options.run, options.runs).path if options.run else options.runs
    if not directory.is_dir():
        raise StoreError(f"{directory}: there is no such directory; run a sweep first")
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(directory),
        "--port",
        str(options.port),
    ]
    os.execv(sys.executable, command)
