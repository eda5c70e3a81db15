"""`suggest`: a sweep file to go on with."""

from __future__ import annotations

import argparse

from raysweep.cli.answer import json_text, note
from raysweep.store.directory import RunDirectory


def suggest(options: argparse.Namespace) -> int:
    """Print a sweep file, and why it is so."""
    from raysweep.plan.trials import plan
    from raysweep.results.reading import load
    from raysweep.results.suggestion import suggest
    from raysweep.sweepfile.spec import check

    results = load(options.run, options.runs)
    told = suggest(results)
    print(json_text(told.content))
    for reason in told.reasons:
        note(reason)
    trials = plan(check(told.content, "the suggestion"), limit=None)
    done = {trial.id for trial in results.trials if trial.state.is_finished and not trial.state.is_failure}
    note(f"{len(trials)} trials, of which {sum(trial.id in done for trial in trials)} are done already")
    if ".py:" in results.spec.trainable:
        runs = RunDirectory(results.directory).earlier()["runs"]
        directory = runs[-1]["directory"] if runs else "that of the old one"
        note(f"the file belongs beside {results.spec.trainable.partition(':')[0]}, in {directory}")
    return 0
