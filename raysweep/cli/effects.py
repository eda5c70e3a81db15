"""`effects`: what mattered in a sweep."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from raysweep.cli.answer import note, show_csv

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("share", "importance", "std", "better_half")


def effects(options: argparse.Namespace) -> int:
    """Show what mattered: the effects, and the means of each value."""
    from raysweep.results import frames, tables
    from raysweep.results.effects import effects
    from raysweep.results.reading import load

    results = load(options.run, options.runs)
    told = effects(results.statistics(), results.spec.zip)
    if options.format == "csv":
        show_csv(told.table)
    elif options.format == "json":
        print(frames.json_text(told.table), end="")
    elif options.format == "md":
        print(f"{tables.markdown(_rounded(told.table))}\n\n{tables.markdown(told.means)}")
    else:
        tables.show(_rounded(told.table), ["df", "ss"])
        print()
        tables.show(told.means, ["n"])
        for text in told.notes:
            note(text)
    return 0


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the digits that say something."""
    shares = {name: table[name].astype(float).round(4) for name in SHARES if name in table}
    tests = {name: [_brief(value) for value in table[name]] for name in ("F", "p") if name in table}
    return table.assign(**shares, **tests).dropna(axis="columns", how="all")


def _brief(value: float | None) -> float:
    return math.nan if value is None else float(f"{value:.3g}")
