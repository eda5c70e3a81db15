"""Tables hold every value as it was, in memory and in each of their files."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raysweep.results.frames import condition, csv_text, json_text, table_of, write
from raysweep.store.records import whole

numbers = st.integers() | st.sampled_from(
    [2**53 + 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 10**400]
)
floats = st.floats() | st.sampled_from([1 / 3, 1.0995116277760001e-26, 123456789.123456789, 5e-324])
texts = st.text(st.characters(), max_size=5) | st.sampled_from(
    [
        "NaN",
        "nan",
        "None",
        "null",
        "",
        "Infinity",
        "=1+1",
        "@x",
        "-1",
        "+1",
        "a\rb",
        "a\r\nb",
        'a"b',
        "a,b",
        "\x1b[31m",
        "\x00",
    ]
)
cells = st.none() | st.booleans() | numbers | floats | texts
columns = st.one_of(
    *[st.lists(kind, min_size=1, max_size=6) for kind in (cells, numbers, numbers | st.none(), numbers | floats, texts)]
)


def same(value: Any, original: Any) -> bool:
    """Whether a cell says what was put into it; NaN and nothing are the same gap."""
    if original is None or original != original:
        return value is None or value is pd.NA or value != value
    if isinstance(original, str):
        return bool(value == whole(original))
    if isinstance(value, str):  # in a column of text
        return value == str(original)
    return bool(value == original) and isinstance(value, bool) == isinstance(original, bool)


def all_same(values: Any, originals: list[Any]) -> bool:
    return all(same(value, original) for value, original in zip(values, originals, strict=True))


@given(columns)
@example([2**53 + 1, math.inf])
def test_in_every_file_they_are_what_they_were(values: list[Any]) -> None:
    table = table_of([{"x": value, "y": 1} for value in values])
    assert all_same(table["x"].astype(object), values)
    with tempfile.TemporaryDirectory() as folder:
        write(table, Path(folder, "t"))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["t.csv", "t.json", "t.parquet"]
        assert all_same(pd.read_parquet(Path(folder, "t.parquet"))["x"].astype(object), values)
        rows = json.loads(
            Path(folder, "t.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name}: no JSON")
        )
        is_text = any(isinstance(value, str) for value in table["x"])  # beside numbers that no float can hold
        infinities = {} if is_text else {math.inf: "Infinity", -math.inf: "-Infinity"}
        told = [infinities.get(value, value) if isinstance(value, float) else value for value in values]
        if not any(isinstance(value, str) for value in values):
            assert all_same([row["x"] for row in rows], told)
        check_csv(Path(folder, "t.csv"), table)


def check_csv(path: Path, table: pd.DataFrame) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["x", "y"]
    for (x, y), value in zip(rows, table["x"].astype(object), strict=True):
        assert y == "1"
        if isinstance(value, str):
            assert x == value
        elif value is None or value is pd.NA or value != value:
            assert x == ""
        else:
            assert x == str(value)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, None], "float64"),
        ([1, 0.5], "float64"),
        ([2**53 + 1, None], "Int64"),
        ([2**63, None], "UInt64"),
        ([2**63, 1], "uint64"),
        ([12345678901234567890, math.nan], "UInt64"),
        ([0.5, None], "float64"),
        ([True, False], "bool"),
    ],
)
def test_columns_have_the_type_that_holds_them(values: list[Any], dtype: str) -> None:
    assert str(table_of([{"x": value} for value in values])["x"].dtype) == dtype


@pytest.mark.parametrize("values", [[2**64 + 1, 1], [2**63, -1], [2**53 + 1, 0.5], [1, "auto"], [True, 1]])
def test_what_no_type_holds_is_text(values: list[Any]) -> None:
    table = table_of([{"x": value} for value in values])
    assert table["x"].tolist() == [str(value) for value in values]
    for value in values:
        text = json.dumps(value) if not isinstance(value, str) else value
        assert condition(table, f"x={text}").tolist() == [value is other for other in values]


def test_nothing_is_a_table_as_well(tmp_path: Path) -> None:
    table = table_of([], ["a", "b"])
    assert list(table.columns) == ["a", "b"] and table.empty
    assert json.loads(json_text(table)) == [] and csv_text(table) == "a,b\n"
    write(table, tmp_path / "t")
    assert list(pd.read_parquet(tmp_path / "t.parquet").columns) == ["a", "b"]


def test_any_name_can_be_in_json() -> None:
    rows: list[dict[str, Any]] = [{"a%s": 1, 'b"\n%': "%d\n"}, {"a%s": 2, 'b"\n%': None}]
    assert json.loads(json_text(table_of(rows))) == rows


def test_a_csv_has_a_line_for_each_row() -> None:
    text = csv_text(table_of([{"x": "a"}, {"x": "b\r\nc"}]))
    assert text == 'x\na\n"b\r\nc"\n'
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["x"], ["a"], ["b\r\nc"]]


def test_several_may_write_the_same_tables(tmp_path: Path) -> None:
    table = table_of([{"x": index, "text": "y" * 100} for index in range(2000)])
    failures: list[Exception] = []

    def again() -> None:
        try:
            for _ in range(5):
                write(table, tmp_path / "t")
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=again) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.json", "t.parquet"]
    assert len(json.loads((tmp_path / "t.json").read_text())) == 2000
