"""What is found wrong with a sweep before it is handed to another machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysweep.plan.reference import Reference
    from raysweep.sweepfile.spec import SweepSpec


def checked(options: argparse.Namespace) -> tuple[SweepSpec, Reference]:
    """The sweep that the command line asks for, and its trainable.

    Raises:
        SpecError, TrainableError: it is wrong.
    """
    from raysweep.plan import trials
    from raysweep.plan.reference import Reference, locate
    from raysweep.sweepfile.file import load_spec

    grid = load_spec(options.grid, options.set, options.samples)
    trials.plan(grid, None if options.yes else trials.LIMIT)
    reference = Reference(grid.trainable, options.grid.parent.resolve())
    locate(reference)
    return grid, reference
