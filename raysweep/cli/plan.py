"""`plan`: show what would run, without starting anything."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from raysweep.cli.answer import json_text, say
from raysweep.results.text import shown
from raysweep.store.directory import RunDirectory


def plan(options: argparse.Namespace) -> int:
    """Show what would run."""
    from raysweep.driver.display import summary
    from raysweep.plan import trials
    from raysweep.plan.defaults import with_earlier_defaults
    from raysweep.plan.fingerprint import fingerprint
    from raysweep.plan.origin import check_origin
    from raysweep.plan.reconciliation import reconcile
    from raysweep.plan.reference import Reference
    from raysweep.plan.suggested import to_come
    from raysweep.store.suggestions import recorded
    from raysweep.sweepfile.file import load_spec

    grid = load_spec(options.grid, options.set, options.samples)
    reference = Reference(grid.trainable, options.grid.parent.resolve())
    code = fingerprint(reference)
    run = RunDirectory(options.runs / grid.name)
    if run.exists():
        before = run.earlier()
        check_origin(grid.name, run.path, before, reference)
        grid = with_earlier_defaults(grid, before["spec"], run.path)
    planned = trials.plan(grid, None if options.yes else trials.LIMIT, recorded(run))
    reconciliation = reconcile(grid, planned, run, at_work=run.exists() and run.is_locked())
    for problem in reconciliation.problems():
        say(problem)
    todo = {standing.trial.id for standing in reconciliation.missing()}
    coming = to_come(grid, recorded(run))
    told = None
    if options.estimate or options.price is not None:
        from raysweep.cli.forecast import estimated

        told = estimated(grid, options.grid.parent, run, reconciliation, coming)
    if options.json:
        rows = [{"trial": s.trial.id, "name": s.trial.name, "state": s.state, "config": s.trial.config}
                for s in reconciliation.standings]  # fmt: skip
        dropped = [folder.path.name for folder in reconciliation.dropped]
        answer = {"name": grid.name, "trials": rows, "dropped": dropped, "to_run": len(todo) + coming}
        print(json_text(answer | ({"estimate": asdict(told)} if told is not None else {})))
        return 0
    for standing in reconciliation.standings:
        other = "  (trained by other code)" if standing.has_other_code(code) else ""
        print(f"{standing.state:<15}{standing.trial.name}{other}")
    for folder in reconciliation.dropped:
        print(f"{'dropped':<15}{shown(folder.path.name)}")
    say(summary(grid, reconciliation, len(todo), coming))
    for line in told.told(options.price) if told is not None else ():
        say(line)
    return 0
