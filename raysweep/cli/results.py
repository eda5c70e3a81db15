"""`results` and `best`: the leaderboard, and the winner."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysweep.cli.answer import best_facts, json_text, near, note, say, show_csv
from raysweep.cli.board import show
from raysweep.errors import StoreError
from raysweep.results.text import shown


def results(options: argparse.Namespace) -> int:
    """Show the leaderboard: of configurations over their seeds, or of trials."""
    from raysweep.results import frames
    from raysweep.results.reading import load

    results = load(options.run, options.runs)
    for problem in results.problems:
        say(problem)
    asked: dict[str, Any] = {"sort_by": options.sort_by, "top": options.top, "where": options.where}
    board = results.board(_over(options.group_by), margin=options.margin, **asked)
    if options.format == "csv":
        show_csv(board.table)
    elif options.format == "json":
        print(frames.json_text(board.table), end="")
    elif options.format == "table":
        show(board)
    else:
        print(board.paper().written(options.format))
    if os.access(results.directory, os.W_OK):
        results.write()
    return 0


def _over(group_by: str | None) -> Sequence[str] | None:
    """What is averaged over; None for the seed axes."""
    if group_by is None:
        return None
    return () if group_by == "none" else group_by.split(",")


def best(options: argparse.Namespace) -> int:
    """Show, and export, the best trial."""
    from raysweep.results.reading import load
    from raysweep.results.remarks import of_winner

    results = load(options.run, options.runs)
    facts = best_facts(results)
    if options.export:
        from raysweep.training.weights import export

        best = results.best
        checkpoint = best.checkpoint_of(results.weighed(best))
        if checkpoint is None:
            raise StoreError(f"{best.name}: saved no checkpoint, so there are no weights; use raysweep.Recorder")
        export(checkpoint, best.config, options.export)
        facts["exported"] = str(options.export)
    if options.json:
        print(json_text(facts))
        return 0
    metric = results.spec.metric.name
    at = f" ({facts['at']})" if results.spec.metric.last else ""
    print(f"{shown(facts['name'])}\n{shown(metric)} {facts['value']:.6g} at epoch {facts['epoch']}{at}")
    if "mean" in facts:
        print(f"mean over {facts['n']} seeds {facts['mean']:.6g} (95 %: {facts['low']:.6g} to {facts['high']:.6g})")
    print(json_text(facts["config"]))
    weights = facts["weights"] and near(Path(facts["weights"]))
    print(shown(f"weights: {weights or 'none: the trial saved no checkpoint'}"))
    if options.export:
        print(shown(f"exported: {options.export}"))
    for remark in of_winner(results.statistics()):
        note(remark)
    return 0
