"""The command `doctor`: what would break a run, on every node, before there is one."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raysweep import preflight
from raysweep.cluster import Cluster, connected
from raysweep.errors import ClusterError, StoreError, TrainableError
from raysweep.preflight import Facts
from raysweep.reference import Reference, locate
from raysweep.spec import SweepSpec
from raysweep.store import RunDirectory
from raysweep.sweepfile import load as load_spec

SICK = 1  # the exit code where something would break a run
HEADINGS = ("node", *("Python", *preflight.PACKAGES), "CPU", "GPU", "clock", "GiB free")


def doctor(options: argparse.Namespace) -> int:
    """Show every node's versions, resources, clock and free disk, and what is wrong with any of it."""
    spec = load_spec(options.grid) if options.grid else None
    directory = options.grid.parent if options.grid else Path()
    reference = Reference(spec.trainable, directory.resolve()) if spec else None
    wrong = list(_here(reference, options.runs))
    with connected(directory) as cluster, _served(cluster) as head:
        shipped = Reference(reference.text, Path()) if reference and cluster.has_code else reference
        facts = preflight.examine(None if wrong else shipped, head)
        wrong += [*preflight.problems(facts), *_resources(cluster, spec)]
    for line in _table(facts):
        print(line)
    for problem in wrong:
        print(f"problem: {problem}")
    print("something would break a run" if wrong else "nothing would break a run")
    return SICK if wrong else 0


def _here(reference: Reference | None, runs: Path) -> Iterator[str]:
    """What is wrong on this machine."""
    try:
        RunDirectory(runs).create()
        if reference is not None:
            locate(reference)
    except (StoreError, TrainableError) as error:
        yield str(error)


def _resources(cluster: Cluster, spec: SweepSpec | None) -> Iterator[str]:
    try:
        if spec is not None:
            cluster.check(spec.resources)
    except ClusterError as error:
        yield str(error)


@contextmanager
def _served(cluster: Cluster) -> Iterator[str | None]:
    """An actor as a run has it, to see that all nodes reach it; one's own Ray has no other nodes."""
    if cluster.is_private:
        yield None
        return
    from raysweep.head import serving

    with tempfile.TemporaryDirectory(prefix="raysweep-") as folder, serving(RunDirectory(Path(folder))) as head:
        yield head


def _table(facts: Sequence[Facts]) -> list[str]:
    rows = [HEADINGS, *(_row(node) for node in facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(node: Facts) -> tuple[str, ...]:
    versions = [node.versions.get(name) or "-" for name in ("Python", *preflight.PACKAGES)]
    resources = [f"{node.resources.get(kind, 0):g}" for kind in ("CPU", "GPU")]
    return (node.host, *versions, *resources, f"{node.ahead:+.1f} s", f"{node.disk / 2**30:.0f}")
