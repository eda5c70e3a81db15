"""`run`: train what is missing of a sweep."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from raysweep.cli.answer import best_facts, command_line, json_text, near, say
from raysweep.cli.board import show
from raysweep.cli.exit_codes import FAILED, INTERRUPTED
from raysweep.errors import SpecError
from raysweep.store.directory import RunDirectory

if TYPE_CHECKING:
    from raysweep.plan.reconciliation import Again
    from raysweep.results.results import Results
    from raysweep.sweepfile.spec import SweepSpec


def run(options: argparse.Namespace) -> int:
    """Train what is missing."""
    from raysweep.driver import display, sweep
    from raysweep.plan import trials
    from raysweep.sweepfile.file import load_spec

    if options.dry_run:
        raise SpecError("--dry-run: is for --cluster and --slurm; here, `plan` shows what would run")
    grid = load_spec(options.grid, options.set, options.samples)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        if options.preflight:
            _check_first(options, grid)
        results = sweep.run(
            grid,
            runs=options.runs,
            directory=options.grid.parent,
            progress=display.for_stream(sys.stderr),
            options=sweep.RunOptions(
                again=_again(options),
                isolate=options.isolate,
                max_failures=options.max_failures,
                limit=None if options.yes else trials.LIMIT,
                backup=options.backup,
                ship=options.ship,
                may_exit=True,
            ),
        )
    except KeyboardInterrupt:
        say(f"interrupted; the state is saved, and the same command goes on: {command_line(*sys.argv[1:])}")
        return INTERRUPTED
    tell(results, time.monotonic() - started, options.json)
    if results.failed:
        return FAILED
    is_over = results.has_reached_target or all(trial.state.is_finished for trial in results.trials)
    return 0 if is_over else INTERRUPTED


def _check_first(options: argparse.Namespace, grid: SweepSpec) -> None:
    """See that one trial of each shape runs, before any is started."""
    from raysweep.cli.forecast import preflight
    from raysweep.plan import trials
    from raysweep.plan.reconciliation import reconcile
    from raysweep.store.suggestions import recorded

    store = RunDirectory(options.runs / grid.name)
    planned = trials.plan(grid, None if options.yes else trials.LIMIT, recorded(store))
    preflight(grid, options.grid.parent, reconcile(grid, planned, store))


def _again(options: argparse.Namespace) -> frozenset[Again]:
    from raysweep.plan.reconciliation import Again

    asked = {
        Again.FAILED: options.retry_failed,
        Again.STOPPED: options.retry_stopped,
        Again.OTHER_CODE: options.fresh_code,
    }
    return frozenset(again for again, wanted in asked.items() if wanted)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def tell(results: Results, seconds: float, as_json: bool) -> None:
    """Print how a run has ended."""
    counts = Counter(str(trial.state) for trial in results.trials)
    if as_json:
        best = best_facts(results) if results.ranked() else None
        failed = [{"trial": t.id, "name": t.name, "error": str(t.error)} for t in results.failed]
        print(json_text({"name": results.spec.name, "directory": str(results.directory), "seconds": seconds,
                     "counts": counts, "best": best, "failed": failed}))  # fmt: skip
        return
    from raysweep.results.text import duration

    if results.ranked():
        show(results.board(top=5))
    for error, trials in _grouped(results).items():
        say(f"failed: {error} ({len(trials)} trials, such as {trials[0]})")
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    say(f"{told} in {duration(seconds)}; results in {near(results.directory)}")


def _grouped(results: Results) -> dict[str, list[str]]:
    """The names of failed trials by their error's first line."""
    groups: dict[str, list[str]] = {}
    for trial in results.failed:
        first = str(trial.error).strip().splitlines()
        groups.setdefault(first[0] if first else "unknown", []).append(trial.name)
    return groups
