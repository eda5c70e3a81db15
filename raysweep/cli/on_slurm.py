"""`run` with --slurm: the sweep is checked here, and submitted."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from raysweep.cli.answer import json_text, near, say
from raysweep.cli.check import checked
from raysweep.errors import SpecError
from raysweep.remote.slurm import SCRIPT, Submission

SLURM = "--slurm"
HERE = (SLURM, "--json", "--dry-run")  # what the job is not to be told
SEPARATOR = "--"  # what follows is for sbatch


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments of raysweep, and those for sbatch."""
    given = list(arguments)
    if SEPARATOR not in given:
        return given, []
    at = given.index(SEPARATOR)
    return given[:at], given[at + 1 :]


def run(options: argparse.Namespace) -> int:
    """Submit a sweep; mistakes in it are found before."""
    if options.cluster is not None:
        raise SpecError("--slurm and --cluster: are two clusters; leave one of them out")
    grid, _ = checked(options)
    command = [sys.executable, "-m", "raysweep", *(part for part in options.given if part not in HERE)]
    submission = Submission(grid.name, command, options.sbatch, Path.cwd())
    if options.dry_run:
        print(shlex.join(submission.sbatch(SCRIPT)))
        return 0
    job = submission.submit()
    log = f"{grid.name}-{job}.log"
    if options.json:
        print(json_text({"name": grid.name, "job": job, "log": str(Path.cwd() / log)}))
        return 0
    say(f"{grid.name}: is job {job}; see it: tail -f {log}; stop it: raysweep stop {near(options.runs / grid.name)}")
    return 0
