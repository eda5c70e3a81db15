"""DataFrames as people read them: on a terminal, or in Markdown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from raysweep.results.text import number, shown

if TYPE_CHECKING:
    import pandas as pd

GAP = 2  # characters between columns


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    cells = [_headings(table), ["---"] * len(table.columns), *_texts(table)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in cells)


def worded(table: pd.DataFrame, maximize: bool) -> pd.DataFrame:
    """A summary as people read it: `best` and `tied` in words, and without the differences from the best."""
    ahead = table["diff"] >= 0 if maximize else table["diff"] <= 0
    words = [
        "?" if tied is None else "best" if is_ahead else "tied" if tied else ""
        for tied, is_ahead in zip(table["tied"], ahead, strict=True)
    ]
    return table.assign(tied=words).drop(columns=["diff", "diff.low", "diff.high"])


def show(table: pd.DataFrame, optional: list[str]) -> None:
    """Print a table; on a terminal that is too narrow for it, without some of the `optional` columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)  # a pipe has no width
    table = fitting(table, optional, console.width)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name, heading in zip(table.columns, _headings(table), strict=True):
        numeric = table[name].dtype.kind in "iuf"
        drawn.add_column(Text(heading), justify="right" if numeric else "left", no_wrap=True)
    for row in _texts(table):
        drawn.add_row(*map(Text, row))  # and no str, in which rich looks for its markup
    console.print(drawn)


def fitting(table: pd.DataFrame, optional: list[str], width: int) -> pd.DataFrame:
    """A table that is `width` characters wide, if leaving out the last of the `optional` columns makes it so."""
    from rich.cells import cell_len

    rows = [_headings(table), *_texts(table)]
    widths = {name: GAP + max(cell_len(row[index]) for row in rows) for index, name in enumerate(table.columns)}
    dropped: list[str] = []
    for name in reversed([name for name in optional if name in widths]):
        if sum(widths[kept] for kept in widths if kept not in dropped) <= width + GAP:
            break
        dropped.append(name)
    return table.drop(columns=dropped)


def _headings(table: pd.DataFrame) -> list[str]:
    return [shown(str(name)) for name in table.columns]


def _texts(table: pd.DataFrame) -> list[list[str]]:
    gaps = table.isna().to_numpy().tolist()
    rows = table.itertuples(index=False, name=None)
    return [
        ["" if is_gap else number(value) for value, is_gap in zip(row, gap, strict=True)]
        for row, gap in zip(rows, gaps, strict=True)
    ]
