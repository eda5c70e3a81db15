"""Odd places to be started from: closed streams, readers that go, directories that Ray cannot use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raysweep.engine import connection
from tests.sweeps import TRAIN, content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep in a folder with an odd name."""
    folder = tmp_path / "a b [c] {ü}"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "grid.json").write_text(json.dumps(content()))
    return folder


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which $RAYSWEEP is the command."""
    variables = {
        **os.environ,
        "RAYSWEEP": f"{sys.executable} -m raysweep",
        "PYTHONPATH": str(Path.cwd()),
        **environment,
    }
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_nowhere(folder: Path, closed: str) -> None:
    told = shell(f"$RAYSWEEP plan grid.json {closed}; echo code $?", folder)
    assert told.stdout.endswith("code 0\n")
    assert ("lr=0.1" in told.stdout) == (">&-" not in closed.split())
    assert "Error" not in told.stderr


def test_a_reader_that_goes_ends_nothing_and_is_not_told(folder: Path) -> None:
    told = shell("($RAYSWEEP plan grid.json; echo code $? >code) | true; cat code", folder)
    assert (told.stdout, told.stderr) == ("code 0\n", "grid: 2 trials (2 new); 2 to run\n")


@pytest.mark.slow  # a Ray for each
@pytest.mark.parametrize("line", ["($RAYSWEEP run grid.json 2>&1; echo code $? >code) | head -1; cat code",
                                  "$RAYSWEEP run grid.json <&- >&- 2>&-; echo code $?",
                                  "ulimit -n 256; $RAYSWEEP run grid.json; echo code $?",
                                  "OMP_NUM_THREADS=2 PYTHONOPTIMIZE=1 COLUMNS=40 $RAYSWEEP run grid.json; echo code $?",
                                  "TERM=dumb NO_COLOR=1 HOME= $RAYSWEEP run grid.json; echo code $?",
                                  "env -u HOME $RAYSWEEP run grid.json --runs $'a ü [x]/'$(printf 'r%.0s' {1..120}); "
                                  "echo code $?; mv a*/r* runs"])  # fmt: skip
def test_a_sweep_runs_to_its_end(folder: Path, line: str) -> None:
    told = shell(line, folder)
    assert "code 0" in told.stdout, told
    rows: list[dict[str, Any]] = json.loads((folder / "runs/grid/results.json").read_text())
    assert [row["state"] for row in rows] == ["done", "done"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("TMPDIR", "tmp ü", "set TMPDIR to a path of ASCII of at most 39 characters"),
        ("TMPDIR", "t" * 100, "set TMPDIR to a path of ASCII of at most 39 characters"),
        ("HOME", "/proc", "in ~/.ray/auth_token, which cannot be written: set HOME to a directory that can be"),
        ("PYTHONOPTIMIZE", "2", "unset PYTHONOPTIMIZE, or run Python without -OO"),
    ],
)
def test_what_ray_cannot_use_is_told_with_its_cure(folder: Path, variable: str, value: str, cure: str) -> None:
    if variable == "TMPDIR":
        value = str(folder / value)
        Path(value).mkdir()
    told = shell("unset RAY_AUTH_MODE; $RAYSWEEP run grid.json", folder, **{variable: value})
    assert told.returncode == 2
    assert cure in told.stderr
    assert "Traceback" not in told.stderr


def test_the_longest_place_is_as_ray_has_it() -> None:
    assert connection.LONGEST == 39
    assert connection.LONGEST + len(connection.SOCKET) == 107
