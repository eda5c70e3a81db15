"""DataFrames as people read them: on a terminal, or in Markdown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from raysweep.display import number

if TYPE_CHECKING:
    import pandas as pd

GAP = 2  # characters between columns


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    cells = [[str(name) for name in table.columns], ["---"] * len(table.columns), *_texts(table)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in cells)


def show(table: pd.DataFrame, optional: list[str]) -> None:
    """Print a table; on a terminal that is too narrow for it, without some of the `optional` columns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)  # a pipe has no width
    table = fitting(table, optional, console.width)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in table.columns:
        numeric = table[name].dtype.kind in "if"
        shown.add_column(str(name), justify="right" if numeric else "left", no_wrap=True)
    for row in _texts(table):
        shown.add_row(*row)
    console.print(shown)


def fitting(table: pd.DataFrame, optional: list[str], width: int) -> pd.DataFrame:
    """A table that is `width` characters wide, if leaving out the last of the `optional` columns makes it so."""
    texts = _texts(table)
    widths = {
        name: GAP + max(len(str(name)), *(len(row[index]) for row in texts), 0)
        for index, name in enumerate(table.columns)
    }
    dropped: list[str] = []
    for name in reversed([name for name in optional if name in widths]):
        if sum(widths[kept] for kept in widths if kept not in dropped) <= width + GAP:
            break
        dropped.append(name)
    return table.drop(columns=dropped)


def _texts(table: pd.DataFrame) -> list[list[str]]:
    return [["" if v != v else number(v) for v in row] for row in table.itertuples(index=False, name=None)]
