"""A folder for the state that goes with one report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raysweep.errors import TrainableError
from raysweep.training.reporting import checkpoint, report


@contextmanager
def reporting(metrics: Mapping[str, object]) -> Iterator[Path]:
    """Within the block state is saved in the folder that it is given; then the metrics are reported with it.

    Raises:
        TrainableError: a value cannot be a metric.
    """
    with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
        yield Path(folder)
        report(metrics, folder)


def saved(name: str) -> Path | None:
    """A file of the checkpoint that the trial goes on from; None where it starts fresh.

    Raises:
        TrainableError: the checkpoint has no such file.
    """
    folder = checkpoint()
    if folder is not None and not (folder / name).exists():
        raise TrainableError(
            f"the checkpoint {folder} has no {name}, so it was not saved by this integration; "
            "start the trial again without it"
        )
    return None if folder is None else folder / name
