"""A table of results for a paper or a page: Markdown, LaTeX or HTML, with the best and all that tie with it in bold."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.results.text import number, shown

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("md", "latex", "html")
DIGITS = 2  # that say something, of an interval
_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
     ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", **{letter: f"\\{letter}" for letter in "&%$#_{}"}}
)  # fmt: skip


@dataclass(frozen=True)
class Paper:
    """A table of texts.

    Attributes:
        texts: the cells.
        numeric: the columns of numbers.
        metric: the column in which cells are bold.
        bold: whether they are, row by row.
    """

    texts: pd.DataFrame
    numeric: frozenset[str]
    metric: str
    bold: tuple[bool, ...]

    def written(self, form: str) -> str:
        """The table as one of FORMATS."""
        return {"md": self._markdown, "latex": self._latex, "html": self._html}[form]()

    def _markdown(self) -> str:
        cells = self._with(lambda text: text.replace("|", "\\|"), "**{}**")
        rules = ["---:" if name in self.numeric else "---" for name in self.texts]
        rows = [list(cells.columns), rules, *cells.to_numpy().tolist()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _latex(self) -> str:
        """For the package booktabs."""
        columns = "".join("r" if name in self.numeric else "l" for name in self.texts)
        cells = self._with(lambda text: text.translate(_LATEX), r"\textbf{{{}}}")
        return str(cells.to_latex(index=False, column_format=columns)).rstrip()

    def _html(self) -> str:
        cells = self._with(html.escape, "<b>{}</b>")
        return str(cells.to_html(index=False, escape=False, border=0))

    def _with(self, escaped: Callable[[str], str], bold: str) -> pd.DataFrame:
        """The cells as a format has them, the bold ones put into a pattern."""
        cells = self.texts.map(escaped)
        cells[self.metric] = [
            bold.format(text) if is_bold else text for text, is_bold in zip(cells[self.metric], self.bold, strict=True)
        ]
        return cells.rename(columns=lambda name: escaped(shown(str(name))))


def of_configurations(table: pd.DataFrame, parameters: Collection[str], metric: str) -> Paper:
    """The summary of a sweep: its parameters, the metric as `mean ± half of its interval`, and how many seeds.

    Args:
        table: the summary.
        parameters: the columns of the parameters.
        metric: the column of the metric.
    """
    halves = ((table["high"] - table["low"]) / 2).tolist()
    means = [_with_interval(mean, half) for mean, half in zip(table[metric].tolist(), halves, strict=True)]
    texts = table[[*parameters]].map(number).assign(**{metric: means, "n": table["n"].map(number)})
    numeric = {name for name in parameters if table[name].dtype.kind in "iuf"} | {metric, "n"}
    return Paper(texts, frozenset(numeric), metric, tuple(tied is True for tied in table["tied"]))


def of_trials(table: pd.DataFrame, metric: str, best: float) -> Paper:
    """The leaderboard of trials.

    Args:
        table: the leaderboard.
        metric: the column of the metric; where no trial has reported it nothing is bold.
        best: the best value of it.
    """
    texts = table.astype(object).where(table.notna(), None).map(number)
    numeric = frozenset(name for name in table if table[name].dtype.kind in "iuf")
    bold = [value == best for value in table[metric]] if metric in table else [False] * len(table)
    return Paper(texts, numeric, metric if metric in table else str(table.columns[0]), tuple(bold))


def _with_interval(mean: float, half: float) -> str:
    """A mean with as many digits as its interval leaves it."""
    if not (math.isfinite(mean) and math.isfinite(half)):
        return number(mean)
    if half <= 0:
        return f"{number(mean)} ± 0"
    places = max(0, DIGITS - 1 - math.floor(math.log10(half)))
    return f"{mean:.{places}f} ± {half:.{places}f}" if places <= 8 else f"{number(mean)} ± {half:.{DIGITS}g}"
