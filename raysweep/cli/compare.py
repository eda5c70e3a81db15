"""`compare`: two runs held against each other."""

from __future__ import annotations

import argparse

from raysweep.cli.answer import note, show_csv


def compare(options: argparse.Namespace) -> int:
    """Show the differences of the configurations that both runs have, and what else is different."""
    from raysweep.results import frames, tables
    from raysweep.results.reading import load

    told = load(options.run, options.runs).comparison(load(options.other, options.runs))
    if options.format == "csv":
        show_csv(told.table())
    elif options.format == "json":
        print(frames.json_text(told.table()), end="")
    elif options.format == "md":
        print(tables.markdown(told.table()))
    else:
        tables.show(told.table(), ["p", "before"])
        for text in told.notes():
            note(text)
    return 0
