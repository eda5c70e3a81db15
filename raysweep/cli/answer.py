"""What several verbs print: JSON, tables, paths and command lines."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.results.text import shown, shown_lines

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.results.results import Results


def say(text: str) -> None:
    """Tell a person something beside the answer; nothing in it is obeyed by the terminal."""
    print(shown_lines(text), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Tell a person how to read the answer; on a terminal, in lines of its width."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else sys.maxsize
    say("\n".join(textwrap.wrap(shown(text), width, subsequent_indent="  ", break_on_hyphens=False)))


def show_csv(table: pd.DataFrame) -> None:
    """Print a table as comma-separated values; on a terminal nothing in it is obeyed."""
    from raysweep.results.frames import csv_text

    text = csv_text(table)
    print(shown_lines(text) if sys.stdout.isatty() else text, end="")


def json_text(value: object) -> str:
    """The answer as JSON text, for a program."""
    return json.dumps(_writable(value), indent=1, default=str)


def _writable(value: Any) -> Any:
    """NaN and the infinities as text: JSON has none."""
    if isinstance(value, dict):
        return {key: _writable(member) for key, member in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def best_facts(results: Results) -> dict[str, Any]:
    """What is told of the best trial, and of its configuration where there are several seeds."""
    best = results.best
    report = results.judged(best)
    assert report is not None  # the best trial has reported the metric
    weights = best.checkpoint_of(results.weighed(best))
    facts = {
        "trial": best.id,
        "name": best.name,
        "metric": results.spec.metric.name,
        "at": results.spec.metric.at,
        "value": report.metrics[results.spec.metric.name],
        "epoch": report.epoch,
        "config": dict(best.config),
        "weights": str(weights) if weights else None,
    }
    statistics = results.statistics()
    if statistics.ties is None or statistics.winner is None:
        return facts
    spread = statistics.spreads[statistics.winner]
    over_seeds = {"n": spread.n, "mean": spread.mean, "low": spread.low, "high": spread.high}
    return facts | over_seeds | {"expected": statistics.corrected, "tied": [one.name for one in statistics.tied]}


def command_line(*arguments: str) -> str:
    """A command line as the user can type it, in the way that this one was called."""
    program = ["python", "-m", "raysweep"] if sys.argv[0].endswith("__main__.py") else ["raysweep"]
    return shlex.join([*program, *arguments])


def near(path: Path) -> Path:
    """The path as short as it can be written: from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
