"""What was measured, as one Markdown table that says when, where and with what."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

PACKAGES = ("ray", "torch", "torchvision", "optuna", "hydra-core", "hydra-joblib-launcher")
HEAD = ("what is compared", "raysweep", "the other", "raysweep / the other", "goal")


@dataclass(frozen=True)
class Row:
    """One comparison, round by round; or, without another, one figure that has a goal of its own.

    Attributes:
        what: is compared.
        ours: raysweep's figure in each round.
        other: whom with.
        theirs: the other's figures, of the same rounds; empty where there is no other.
        unit: of the figures.
        at_most: the goal: a bound of the ratio, or of the figure where there is no other.
        at_least: likewise.
        goal: the goal in words, where it is said otherwise.
    """

    what: str
    ours: Sequence[float]
    other: str = ""
    theirs: Sequence[float] = ()
    unit: str = "s"
    at_most: float | None = None
    at_least: float | None = None
    goal: str = ""

    @property
    def ratios(self) -> list[float]:
        """raysweep's figure by the other's, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)] if self.theirs else []

    def cells(self) -> tuple[str, ...]:
        """The row's text, column by column."""
        theirs = f"{self.other}: {number(median(self.theirs))} {self.unit}" if self.theirs else "-"
        ratio = spread(self.ratios) if self.theirs else "-"
        ours = f"{number(median(self.ours))} {self.unit}" if self.theirs else f"{spread(self.ours)} {self.unit}"
        return self.what, ours, theirs, ratio, self._verdict()

    def _verdict(self) -> str:
        value = median(self.ratios or self.ours)
        if self.at_most is not None:
            bound, met = f"at most {number(self.at_most)}", value <= self.at_most
        elif self.at_least is not None:
            bound, met = f"at least {number(self.at_least)}", value >= self.at_least
        else:
            return "-"
        words = f" ({self.goal})" if self.goal else ""
        return f"{bound}{words}: {'met' if met else 'missed'}"


@dataclass(frozen=True)
class Findings:
    """What one benchmark found.

    Attributes:
        rows: of the table.
        notes: what else is to be said, a sentence each.
    """

    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())


def number(value: float) -> str:
    """A figure, with as many digits as say something."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """A median, the least and the most."""
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))}) of {len(values)}"


def markdown(findings: Sequence[Findings], command: str) -> str:
    """The table, under a line that says when, where and with what it was measured."""
    rows = [row for found in findings for row in found.rows]
    lines = [f"{machine()}; `{command}`", ""]
    lines += [_line(HEAD), _line(["---"] * len(HEAD))]
    lines += [_line(row.cells()) for row in rows]
    notes = [f"- {note}" for found in findings for note in found.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The date, the machine and the versions."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {os.cpu_count()} cores ({models[0] if models else '?'}), "
        f"{memory:.0f} GiB, Python {platform.python_version()}, {', '.join(filter(None, map(_version, PACKAGES)))}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""  # only some benchmarks need it
