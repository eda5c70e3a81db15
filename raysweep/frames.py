"""DataFrames of results: what a cell may hold, conditions on rows, and the files they are written to."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.parameters import nearest

if TYPE_CHECKING:
    import pandas as pd

COMPARISONS = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


def cell(value: object) -> Any:
    """A parameter as a table can hold it: lists and objects as JSON text."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of one type each, so that parquet and csv agree: what is mixed becomes text."""
    for name in table.columns:
        if table[name].dtype == object:
            kinds = {type(value) for value in table[name] if value is not None and value == value}
            if len(kinds) > 1 and not kinds <= {int, float}:
                table[name] = table[name].map(lambda v: v if v is None or v != v else str(v))
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table to `path` with each of the suffixes .csv, .json and .parquet.

    Raises:
        OSError: it cannot be written.
    """

    def json_text(target: Path) -> None:
        table.to_json(target, orient="records", indent=1)

    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda target: table.to_csv(target, index=False),
        ".json": json_text,
        ".parquet": lambda target: table.to_parquet(target, index=False),
    }
    for suffix, to_file in writers.items():
        temporary = path.with_name(f".{path.name}{suffix}.tmp")
        to_file(temporary)
        temporary.replace(path.with_suffix(suffix))


def condition(table: pd.DataFrame, text: str) -> Any:
    """The rows for which a condition such as `lr<=0.1` holds, as a boolean column.

    Raises:
        SpecError: it is malformed, or there is no such column.
    """
    match = re.fullmatch(r"\s*([^<>=!\s]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*", text)
    if match is None:
        raise SpecError(f"--where {text}: write NAME=VALUE; also != < <= > >=")
    name, sign, value = match.groups()
    known(table, name)
    try:
        wanted = json.loads(value)
    except ValueError:
        wanted = value
    wanted = cell(wanted)
    try:
        return COMPARISONS[sign](table[name], wanted)
    except TypeError:
        raise SpecError(f"--where {text}: {name!r} cannot be compared with {value!r}") from None


def known(table: pd.DataFrame, name: str) -> None:
    """See that a column is there.

    Raises:
        SpecError: it is not.
    """
    if name not in table:
        raise SpecError(f"there is no column {name!r}; {nearest(name, table.columns)}")
