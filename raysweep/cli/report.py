"""`report`: one HTML file to look at and to send."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from raysweep.cli.answer import near, note, say
from raysweep.results.text import shown

FILE = "report.html"
PAUSE = 10.0  # seconds from one page to the next, while a sweep is at work


def report(options: argparse.Namespace) -> int:
    """Write the report; with --watch again and again, until no run is at work."""
    from raysweep.results.reading import find

    runs = list(dict.fromkeys(find(run, options.runs) for run in options.run))
    file = options.out or (runs[0].path / FILE if len(runs) == 1 else Path(FILE))
    while options.watch and any(run.is_locked() for run in runs):
        _write([run.path for run in runs], file, PAUSE)
        time.sleep(PAUSE)
    for problem in _write([run.path for run in runs], file, None):
        say(problem)
    print(shown(str(near(file.resolve()))))
    if options.watch:
        note("no run is at work")
    return 0


def _write(runs: Sequence[Path], file: Path, refresh: float | None) -> list[str]:
    """Write it once; returns what cannot be trusted in the run directories."""
    from raysweep.results.reading import load
    from raysweep.webpage.content import content
    from raysweep.webpage.file import html, write

    results = [load(run) for run in runs]
    write(file, html(content(results), refresh))
    return [problem for each in results for problem in each.problems]
