"""What several verbs tell of the code that a cluster gets: which files, and what is left out and why."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from raysweep.engine.shipping import Code, Shipment
from raysweep.plan.reference import Reference


def code(options: argparse.Namespace, reference: Reference | None) -> Code:
    """What the trials of the sweep file on the command line need."""
    grid = options.grid.parent.resolve() / options.grid.name
    files = [file for file in (grid, reference.file if reference else None) if file is not None and file.is_file()]
    return Code(grid.parent, files, options.ship, options.runs)


def shipped(shipment: Shipment) -> Iterator[str]:
    """The files, and what is left out, a line each."""
    yield f"a cluster gets {len(shipment.files)} files of {shipment.directory} ({_size(shipment.size)}):"
    yield from (f"  {name}" for name in shipment.files)
    if shipment.left_out:
        yield "and not (--ship PATH adds one):"
        yield from (f"  {name}  ({why})" for name, why in sorted(shipment.left_out.items()))


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
