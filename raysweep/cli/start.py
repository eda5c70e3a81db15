"""`init` and `schema`: something to start a sweep file from."""

from __future__ import annotations

import argparse
from importlib.resources import files

from raysweep.cli.answer import command_line
from raysweep.errors import SpecError, StoreError

STARTER = ("grid.json", "train.py")


def init(options: argparse.Namespace) -> int:
    """Write a starter sweep."""
    there = [name for name in STARTER if (options.directory / name).exists()]
    if there:
        raise SpecError(f"{options.directory / there[0]}: is there already; give another DIR")
    try:
        options.directory.mkdir(parents=True, exist_ok=True)
        for name in STARTER:
            (options.directory / name).write_bytes(files("raysweep.cli").joinpath("starter", name).read_bytes())
    except OSError as error:
        raise StoreError(f"{options.directory}: cannot be written ({error.strerror}); give another DIR") from None
    print(f"wrote {' and '.join(STARTER)}; try: {command_line('run', str(options.directory / STARTER[0]))}")
    return 0


def schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    from raysweep.sweepfile.schema import shipped

    print(shipped(), end="")
    return 0
