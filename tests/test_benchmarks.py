"""The benchmarks' own logic: alternation, figures, ratios, the table. How fast anything is, is not tested."""

from __future__ import annotations

import importlib
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import benchmark as command
from benchmarks import contest, processes
from benchmarks.__main__ import NAMES
from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call, last_line
from benchmarks.table import Findings, Row, markdown, number, spread

ROUNDS = 3
HERE = "tests.test_benchmarks"


def noted(log: str, name: str) -> dict[str, object]:
    """What a contender of these tests does, in its own process."""
    with Path(log).open("a") as file:
        file.write(f"{name} {os.getpid()}\n")
    Path("left").write_bytes(bytes(1000))
    return {"name": name, "folder": str(Path.cwd())}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.slow
def test_contenders_alternate_in_processes_and_folders_of_their_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    contenders = [Contender(n, call(f"{HERE}:noted", log=str(log), name=n), last_line) for n in ("a", "b")]
    measures = alternate(contenders, ROUNDS)
    names, pids = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert "".join(names) == "abbaab"  # a drift of the machine hits both alike
    assert len(set(pids)) == 2 * ROUNDS
    assert [len(measures[name]) for name in ("a", "b")] == [ROUNDS, ROUNDS]
    everyone = [measure for taken in measures.values() for measure in taken]
    assert all(measure.seconds > 0 and measure.disk == 1000 for measure in everyone)
    assert len({measure.figures["folder"] for measure in everyone}) == 2 * ROUNDS
    assert all(measure.figures["memory"] > 1_000_000 for measure in everyone)


def test_a_contender_that_fails_says_how() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\n(.|\n)*out of paper"):
        contest.run(Contender("wrong", python("import sys; print('out of paper', file=sys.stderr); sys.exit(3)")))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_until_takes_the_time_and_ends_all_that_was_started(stream: str) -> None:
    code = f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)
pathlib.Path('pid').write_text(str(child.pid))
print('ready', file=sys.{stream}, flush=True)
time.sleep(600)
"""
    started = time.monotonic()
    measure = contest.run(
        Contender("endless", python(code), lambda at, told: {"pid": (at / "pid").read_text()}, "ready")
    )
    assert measure.seconds <= time.monotonic() - started < 60
    assert int(measure.figures["pid"]) not in processes.marked("")


def test_until_needs_the_text() -> None:
    with pytest.raises(RuntimeError, match="ended with 0"):
        contest.run(Contender("silent", python("print('never')"), until="ready"))


def test_until_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "PATIENCE", 0.2)
    with pytest.raises(RuntimeError, match="took too long"):
        contest.run(Contender("stuck", python("import time; time.sleep(600)"), until="ready"))


def test_a_contender_is_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "SAMPLING", 0.05)
    code = "import time; held = bytearray(b'x' * 50_000_000); time.sleep(0.5)"
    assert contest.run(Contender("heavy", python(code), weighed=True)).peak > 50_000_000


def test_ratios_are_of_rounds_and_the_median_is_of_ratios() -> None:
    row = Row("work", [1.0, 4.0, 9.0], "the other", [2.0, 4.0, 6.0], at_most=1.0)
    assert row.ratios == [0.5, 1.0, 1.5]
    assert row.cells() == ("work", "4 s", "the other: 4 s", "1 (0.5 to 1.5) of 3", "at most 1: met")


@pytest.mark.parametrize(
    ("row", "goal"),
    [
        (Row("x", [3.0, 1.0, 2.0], at_most=1.9), "at most 1.9: missed"),
        (Row("x", [3.0, 1.0, 2.0], at_least=2, goal="twice"), "at least 2 (twice): met"),
        (Row("x", [3.0], "y", [2.0], at_most=1.4), "at most 1.4: missed"),
        (Row("x", [3.0], "y", [2.0]), "-"),
    ],
)
def test_a_goal_is_met_by_the_median(row: Row, goal: str) -> None:
    assert row.cells()[-1] == goal


def test_numbers_have_the_digits_that_say_something() -> None:
    assert [number(value) for value in (0.012345, 1.5, 34.56, 999.4, 12345.6)] == [
        "0.0123",
        "1.5",
        "34.6",
        "999",
        "12,346",
    ]
    assert spread([3.0, 1.0, 2.5]) == "2.5 (1 to 3) of 3"


def test_the_table_says_when_where_and_with_what() -> None:
    found = [Findings([Row("a", [1.0], "b", [2.0])]), Findings([Row("c", [1.0], unit="ms")], ["all agree"])]
    lines = markdown(found, "python -m benchmarks").splitlines()
    assert f"{os.cpu_count()} cores" in lines[0] and "torch" in lines[0] and "`python -m benchmarks`" in lines[0]
    assert lines[2:] == [
        "| what is compared | raysweep | the other | raysweep / the other | goal |",
        "| --- | --- | --- | --- | --- |",
        "| a | 1 s | b: 2 s | 0.5 (0.5 to 0.5) of 1 | - |",
        "| c | 1 (1 to 1) of 1 ms | - | - | - |",
        "",
        "- all agree",
    ]


def test_options_have_a_size_for_a_smoke_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "end_tidily", lambda: None)  # the tests' own process keeps its signals
    seen: list[dict[str, object]] = []

    def measure(told: Namespace) -> Findings:
        seen.append(vars(told))
        return Findings([])

    options = {"trials": Option(200, 2, "of each"), "growth": Option([200, 1000], [1, 2], "few and many")}
    benchmark = Benchmark("About.", options, measure)
    benchmark.main([])
    benchmark.main(["--quick", "--growth", "3", "4"])
    benchmark.main(["--trials", "7", "--rounds", "2"])
    assert seen == [
        {"trials": 200, "growth": [200, 1000], "rounds": 5},
        {"trials": 2, "growth": [3, 4], "rounds": 1},
        {"trials": 7, "growth": [200, 1000], "rounds": 2},
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_of_the_suite_can_be_loaded(name: str) -> None:
    benchmark = importlib.import_module(f"benchmarks.{name}").BENCHMARK
    assert isinstance(benchmark, Benchmark)
    assert benchmark.about
