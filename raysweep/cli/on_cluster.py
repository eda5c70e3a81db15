"""The verbs of the command line with --cluster: the sweep is on the head, its results come here."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from raysweep.cli import results as results_verb
from raysweep.cli.answer import command_line, json_text, say
from raysweep.cli.check import checked
from raysweep.cli.code import code, shipped
from raysweep.cli.exit_codes import INTERRUPTED, WRONG
from raysweep.cli.run import tell
from raysweep.errors import SpecError
from raysweep.remote.jobs import Head, Sweep, head_of
from raysweep.results.reading import load
from raysweep.results.text import shown, shown_lines
from raysweep.sweepfile.file import SUFFIXES, load_spec

FLAGS = ("retry_failed", "retry_stopped", "fresh_code", "isolate", "yes")  # of `run`, passed on to the head


def run(options: argparse.Namespace) -> int:
    """Start a sweep on the cluster, or show again the one that is at work, and bring its results here."""
    sweep = _checked(options)
    if options.dry_run:
        facts = {"files": sweep.shipment.files, "left_out": sweep.shipment.left_out}
        print(json_text(facts) if options.json else "\n".join(map(shown, shipped(sweep.shipment))))
        return 0
    started = time.monotonic()
    with head_of(options.cluster) as cluster:
        job = cluster.running(sweep.name)
        say(f"{sweep.name}: is at work on the cluster" if job else f"{sweep.name}: starting on the cluster")
        job = job or cluster.start(sweep)
        if not _follow(cluster, job, sweep.name):
            cluster.fetch(sweep.name, options.runs)
            say(f"{sweep.name}: goes on; see it again: {command_line(*sys.argv[1:])}")
            return INTERRUPTED
        code = cluster.wait(job)
        if code == WRONG:
            return code
        cluster.fetch(sweep.name, options.runs)
    tell(load(sweep.name, options.runs), time.monotonic() - started, options.json)
    return code


def _checked(options: argparse.Namespace) -> Sweep:
    """What is to be run; mistakes in it are found before anything is shipped."""
    grid, reference = checked(options)
    arguments = [f"--set={text}" for text in options.set]
    arguments += [f"--{flag.replace('_', '-')}" for flag in FLAGS if getattr(options, flag)]
    if options.samples is not None:
        arguments.append(f"--samples={options.samples}")
    if options.max_failures is not None:
        arguments.append(f"--max-failures={options.max_failures}")
    if options.backup is not None:
        arguments.append(f"--backup={options.backup}")
    return Sweep(grid.name, options.grid, code(options, reference).shipment(), tuple(arguments))


def _follow(cluster: Head, job: str, name: str) -> bool:
    """Show what a job says to its end; returns False where the user detaches."""
    shown = 0
    while True:
        seen = 0
        try:
            for piece in cluster.lines(job):
                new = piece[max(0, shown - seen) :]  # a job's log comes from its beginning each time
                seen += len(piece)
                print(shown_lines(new), end="", file=sys.stderr, flush=True)
                shown += len(new)
            return True
        except KeyboardInterrupt:
            if _detaches():
                return False
            cluster.ask("stop", name)


def _detaches() -> bool:
    """Ask what Ctrl-C means; where nobody can answer the sweep goes on."""
    if not sys.stdin.isatty():
        return True
    print("\ndetach, and let the sweep go on? [Y/n: stop it] ", end="", file=sys.stderr, flush=True)
    try:
        return input().strip().lower() not in ("n", "no", "s", "stop")
    except (EOFError, KeyboardInterrupt):
        return True


def status(options: argparse.Namespace) -> int:
    """Show what runs now on the cluster."""
    return _ask(options, "status", _name(options.run), *(["--json"] if options.json else []))


def stop(options: argparse.Namespace) -> int:
    """Let a run on the cluster finish its epochs; the second time, end it now."""
    return _ask(options, "stop", _name(options.run))


def results(options: argparse.Namespace) -> int:
    """Bring the results so far here, and show them."""
    options.run = _name(options.run)
    with head_of(options.cluster) as cluster:
        cluster.fetch(options.run, options.runs)
    return results_verb.results(options)


def _ask(options: argparse.Namespace, *arguments: str) -> int:
    with head_of(options.cluster) as cluster:
        code, text = cluster.ask(*arguments, quiet="--json" in arguments)
    print(shown_lines(text), end="")
    return code


def _name(run: str) -> str:
    """The name of the sweep that RUN means; on the cluster there are only names."""
    if run.endswith(SUFFIXES):
        return load_spec(Path(run)).name
    if not re.fullmatch(r"\w[\w.-]*", run):
        raise SpecError(f"{run}: with --cluster, give the sweep's name or its file")
    return run
