"""The command `doctor`: what would break a run, on every node, before there is one."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raysweep.cli.code import code, shipped
from raysweep.engine import preflight
from raysweep.engine.connection import ray_for
from raysweep.engine.nodes import Cluster
from raysweep.engine.preflight import Facts
from raysweep.engine.shipping import Code
from raysweep.errors import ClusterError, StoreError, TrainableError
from raysweep.plan.reference import Reference, locate
from raysweep.results.text import shown, shown_lines
from raysweep.store.directory import RunDirectory
from raysweep.sweepfile.file import load_spec
from raysweep.sweepfile.spec import SweepSpec

SICK = 1  # the exit code where something would break a run
HEADINGS = ("node", *("Python", *preflight.SAME_EVERYWHERE), "CPU", "GPU", "clock", "GiB free")


def doctor(options: argparse.Namespace) -> int:
    """Show every node's versions, resources, clock and free disk, and what is wrong with any of it."""
    spec = load_spec(options.grid) if options.grid else None
    reference = Reference(spec.trainable, options.grid.parent.resolve()) if spec else None
    wrong = list(_here(reference, options.runs))
    ours = code(options, reference) if options.grid else Code()
    with ray_for(ours) as cluster, _served(cluster) as head:
        there = Reference(reference.text, Path()) if reference and cluster.has_code else reference
        facts = preflight.examine(None if wrong else there, head)
        wrong += [*preflight.problems(facts), *_resources(cluster, spec)]
    for line in _table(facts):
        print(shown(line))
    for line in shipped(ours.shipment()) if options.grid else ():
        print(shown(line))
    for problem in wrong:
        print(shown_lines(f"problem: {problem}"))
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
    from raysweep.transfer.receiver import serving

    with tempfile.TemporaryDirectory(prefix="raysweep-") as folder, serving(RunDirectory(Path(folder))) as head:
        yield head


def _table(facts: Sequence[Facts]) -> list[str]:
    rows = [HEADINGS, *(_row(node) for node in facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(node: Facts) -> tuple[str, ...]:
    versions = [node.versions.get(name) or "-" for name in ("Python", *preflight.SAME_EVERYWHERE)]
    resources = [f"{node.resources.get(kind, 0):g}" for kind in ("CPU", "GPU")]
    return (node.host, *versions, *resources, f"{node.ahead:+.1f} s", f"{node.disk / 2**30:.0f}")
