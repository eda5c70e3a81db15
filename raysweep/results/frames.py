"""DataFrames of results: what a cell may hold, conditions on rows, and the files they are written to."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError
from raysweep.store.files import replacing
from raysweep.store.records import whole
from raysweep.sweepfile.parameters import nearest

if TYPE_CHECKING:
    import pandas as pd

EXACT = 2**53  # up to here a float holds every whole number
COMPARISONS = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_SIGN = "|".join(COMPARISONS)


def cell(value: object) -> Any:
    """A parameter as a table can hold it: lists and objects as JSON text."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def table_of(rows: Sequence[Mapping[str, Any]], names: Iterable[str] = ()) -> pd.DataFrame:
    """A table whose columns are of one type each, so that parquet, json and csv agree with it.

    Nothing is rounded: whole numbers that a column of floats cannot hold are in one of pandas' nullable types. What no
    type holds exactly becomes text: numbers beside text, and whole numbers beyond 64 bits.

    Args:
        rows: column to value; None, or no such key, where there is none.
        names: the columns, where there are no rows to tell.
    """
    import pandas as pd

    columns = dict.fromkeys(name for row in rows for name in row) if rows else dict.fromkeys(names)
    return pd.DataFrame({name: _typed([row.get(name) for row in rows]) for name in columns})


def _typed(values: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    kinds = set(map(type, values)) - {NoneType}
    if str in kinds:  # no file can hold half of a character
        values = [whole(value) if isinstance(value, str) and not value.isascii() else value for value in values]
    if int in kinds and kinds <= {int, float}:
        return _whole_numbers(values)
    if len(kinds) > 1 and len({type(value) for value in values if value is not None and value == value}) > 1:
        return _texts(values)
    return pd.Series(values, dtype=None if values else object)


def _whole_numbers(values: list[Any]) -> pd.Series[Any]:
    """A column in which there are whole numbers; floats and gaps may be beside them."""
    import pandas as pd

    numbers = [value for value in values if type(value) is int]
    least, most = min(numbers), max(numbers)
    if max(-least, most) <= EXACT:
        return pd.Series(values)
    there = [value for value in values if value is not None and value == value]
    if len(numbers) < len(there):  # there are floats as well
        return pd.Series(values, dtype=float) if all(map(_is_exact, numbers)) else _texts(values)
    kind = "Int64" if max(-least - 1, most) < 2**63 else "UInt64" if least >= 0 and most < 2**64 else None
    if kind is None:
        return _texts(values)
    gaps = len(there) < len(values)
    return pd.Series([value if value == value else None for value in values], dtype=kind if gaps else kind.lower())


def _is_exact(number: int) -> bool:
    """Whether a float can be that number."""
    try:
        return float(number) == number
    except OverflowError:
        return False


def _texts(values: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series([None if v is None or v != v else str(v) for v in values])


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table to `path` with each of the suffixes .csv, .json and .parquet.

    Raises:
        OSError: it cannot be written.
    """
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda target: target.write_text(csv_text(table), encoding="utf-8", newline=""),
        ".json": lambda target: target.write_text(json_text(table), encoding="utf-8"),
        ".parquet": lambda target: table.to_parquet(target, index=False),
    }
    for suffix, to_file in writers.items():
        with replacing(path.with_suffix(suffix), lasting=False) as temporary:  # they can be made again
            to_file(temporary)


def csv_text(table: pd.DataFrame) -> str:
    """A table as comma-separated values; a cell is empty where there is no value, or NaN."""
    text: str = table.to_csv(index=False, lineterminator="\r\n")  # so that a cell with either of these is quoted
    parts = text.split('"')  # every second one is quoted
    return '"'.join(part if index % 2 else part.replace("\r\n", "\n") for index, part in enumerate(parts))


def json_text(table: pd.DataFrame) -> str:
    """A table as a JSON list with one object per row, each in a line.

    Numbers have all their digits, which pandas' own writer rounds. Where there is no value, or NaN, there is null; the
    infinities, which JSON has not, are the texts "Infinity" and "-Infinity", as in result.json.
    """
    if table.empty:
        return "[]\n"
    # column by column, which takes a fifth of the time: no JSON text has a line's end in it
    columns = [
        json.dumps(_json_values(table[name]), separators=("\n", ":"))[1:-1].split("\n") for name in table.columns
    ]
    names = (json.dumps(str(name)).replace("%", "%%") for name in table.columns)
    row = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
    return "[\n" + ",\n".join(row % values for values in zip(*columns, strict=True)) + "\n]\n"


def _json_values(column: pd.Series[Any]) -> list[Any]:
    is_whole = column.dtype.kind in "iu" and not column.hasnans
    return column.tolist() if is_whole else list(map(_json_value, column.tolist()))


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return None if value != value else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (str, int)) else None  # pandas' own sign of a gap


def condition(table: pd.DataFrame, text: str) -> Any:
    """The rows for which a condition such as `lr<=0.1` holds, as a boolean column.

    Raises:
        SpecError: it is malformed, or there is no such column.
    """
    cuts = _cuts(text)
    if not cuts or not cuts[0][0]:
        raise SpecError(f"--where {text}: write NAME=VALUE; also != < <= > >=")
    name, sign, value = next((cut for cut in cuts if cut[0] in table), cuts[0])  # a name may have a sign in it
    known(table, name)
    try:
        wanted = cell(json.loads(value))
    except ValueError:
        wanted = value
    if not isinstance(wanted, str) and any(isinstance(member, str) for member in table[name]):
        wanted = str(wanted)  # as a number is written in a column of text
    try:
        return COMPARISONS[sign](table[name], wanted)
    except TypeError:
        raise SpecError(f"--where {text}: {name!r} cannot be compared with {value!r}") from None


def chosen(
    table: pd.DataFrame, where: Iterable[str] = (), sort_by: str | None = None, top: int | None = None
) -> pd.DataFrame:
    """The rows that are asked for, in the order that is asked for.

    Args:
        table: all of them.
        where: conditions, of which all must hold.
        sort_by: a column, ascending; "-NAME" for descending.
        top: only so many.

    Raises:
        SpecError: a condition is malformed, or there is no such column.
    """
    for text in where:
        table = table[condition(table, text)]
    if sort_by:
        descending = sort_by.startswith("-") and sort_by not in table
        name = sort_by.removeprefix("-") if descending else sort_by
        known(table, name)
        table = table.sort_values(name, ascending=not descending, kind="stable")
    return table.head(top).reset_index(drop=True) if top else table.reset_index(drop=True)


def is_about(names: Collection[str], text: str) -> bool:
    """Whether a condition is one on a column of that name."""
    return any(name in names for name, _, _ in _cuts(text))


def _cuts(text: str) -> list[tuple[str, str, str]]:
    """Each way to read a condition: name, sign and value."""
    return [(text[: at.start()].strip(), at[0], text[at.end() :].strip()) for at in re.finditer(_SIGN, text)]


def known(table: pd.DataFrame, name: str) -> None:
    """See that a column is there.

    Raises:
        SpecError: it is not.
    """
    if name not in table:
        raise SpecError(f"there is no column {name!r}; {nearest(name, table.columns)}")
