"""What a person sees while a sweep runs."""

from __future__ import annotations

import io
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from raysweep.cli.answer import show_csv
from raysweep.driver.display import LineProgress, LiveProgress, for_stream, summary
from raysweep.driver.progress import Progress
from raysweep.engine.nodes import Cluster
from raysweep.plan.reconciliation import reconcile
from raysweep.plan.trials import plan
from raysweep.results import tables
from raysweep.results.frames import table_of
from raysweep.results.text import duration, shown, shown_lines
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State, TrialError
from tests.sweeps import spec


def follow(progress: Progress, tmp_path: Path) -> None:
    """A sweep of four trials: one done, one failed, one at work, one waiting."""
    sweep = spec({"lr": [0.1, 0.2, 0.3, 0.4], "epochs": 2})
    trials = plan(sweep)
    progress.planned(sweep, reconcile(sweep, trials, RunDirectory(tmp_path)), 4)
    progress.ready(Cluster(({"CPU": 2.0, "GPU": 0.0},)), 2)
    for trial in trials[:3]:
        progress.started(trial)
    for epoch, loss in ((1, 0.9), (2, 0.5)):
        progress.reported(trials[0], epoch, epoch, {"loss": loss, "note": "x"})
    progress.ended(trials[0], State.DONE, None)
    progress.ended(trials[1], State.FAILED, TrialError("ValueError", "no luck"))
    progress.reported(trials[2], 1, 1.0, {"loss": 0.7})


def test_lines_have_no_control_characters(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = for_stream(stream)
    assert isinstance(progress, LineProgress)
    follow(progress, tmp_path)
    text = stream.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    lines = text.splitlines()
    assert lines[0] == "sweep: 4 trials (4 new); 4 to run"
    assert lines[1] == "2 at once on this machine (2 CPU, 0 GPU)"
    assert "lr=0.1: epoch 2: loss=0.5 note=x" in lines
    assert any(line.startswith("lr=0.2: failed: ValueError: no luck (2 of 4") for line in lines)


def test_the_live_table_shows_what_runs_and_what_is_best(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    progress = LiveProgress(console)
    follow(progress, tmp_path)
    with console.capture() as captured:
        console.print(progress._draw())
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    assert re.search(r"lr=0.3 +1/2 +0.7 +0s", text)
    assert "lr=0.1" in text.splitlines()[-2]  # the best, before the last error
    assert "1 done, 1 running, 1 waiting, 1 failed of 4; 1/2 CPU" in text
    assert "best loss 0.5  lr=0.1 (epoch 2)" in text and "about" in text
    assert "lr=0.2: ValueError: no luck" in text


LONG: dict[str, Any] = {
    "pretrained_model": ["organisation/model-base-uncased-v2", "organisation/model-large-cased-v2"],
    "hidden_layer_sizes": [[128, 64], [256, 128]],
    "gradient_clipping_value": [0.5, 1.0],
    "tag": ["a b", "a_b"],
}


def test_every_line_tells_its_trial_apart(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = for_stream(stream)
    sweep = spec(LONG)
    trials = plan(sweep)
    progress.planned(sweep, reconcile(sweep, trials, RunDirectory(tmp_path)), len(trials))
    for trial in trials:
        progress.started(trial)
    assert len(set(stream.getvalue().splitlines()[1:])) == len(trials)


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_every_row_of_the_live_table_tells_its_trial_apart(width: int, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    progress = LiveProgress(console)
    sweep = spec(LONG, metric={"name": "validation_accuracy_top_1", "goal": "maximize"})
    trials = plan(sweep)
    progress.planned(sweep, reconcile(sweep, trials, RunDirectory(tmp_path)), len(trials))
    for trial in trials:
        progress.started(trial)
        progress.reported(trial, 7, 1.0, {"validation_accuracy_top_1": 0.123456789})
    with console.capture() as captured:
        console.print(progress._table())
    rows = re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()[1:]
    assert len(set(rows)) == len(trials) == 16
    assert all(len(row) <= width and " 7 " in row and "0.12346" in row for row in rows)


NASTY = "[red]a[/x] :smile:\x1b[31m\x1b]0;title\x07\x9b2J\r\u202eb"
ESCAPED = r"[red]a[/x] :smile:\x1b[31m\x1b]0;title\x07\x9b2J\r\u202eb"


def nasty(progress: Progress, tmp_path: Path) -> None:
    """A sweep in which all that can have a name or a text has a nasty one."""
    sweep = spec({"tag": [NASTY, "b"], "lr": [1]}, metric={"name": f"m{NASTY}", "goal": "minimize"})
    one, other = plan(sweep)
    progress.planned(sweep, reconcile(sweep, (one, other), RunDirectory(tmp_path)), 2)
    progress.ready(Cluster(({"CPU": 2.0, "GPU": 0.0},)), 2)
    progress.noticed(f"notice {NASTY}")
    for trial in (one, other):
        progress.started(trial)
        progress.reported(trial, 1, 1.0, {f"m{NASTY}": 0.5, "note": NASTY})
    progress.ended(other, State.FAILED, TrialError("ValueError", f"{NASTY}\nsecond line"))


def obeyed(text: str) -> list[str]:
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)


def test_nothing_in_a_line_is_obeyed(tmp_path: Path) -> None:
    stream = io.StringIO()
    nasty(for_stream(stream), tmp_path)
    text = stream.getvalue()
    assert not obeyed(text)
    for line in (
        f"notice {ESCAPED}",
        f"tag=b: epoch 1: m{ESCAPED}=0.5 note={ESCAPED}",
        f"tag=b: failed: ValueError: {ESCAPED}",
    ):
        assert line in text.splitlines()


def test_nothing_in_the_live_table_is_obeyed(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=300)
    progress = LiveProgress(console)
    with console.capture() as captured:
        nasty(progress, tmp_path)
        console.print(progress._draw())
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())  # rich's own colours
    assert not obeyed(text)
    assert f"notice {ESCAPED}" in text
    assert re.search(rf"running trial +epoch +m{re.escape(ESCAPED)} +time", text)
    assert f"best m{ESCAPED} 0.5" in text
    assert f"tag=b: ValueError: {ESCAPED}" in text


def test_nothing_in_a_table_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of([{f"c{NASTY}": NASTY, "n": 1, "gap": None}, {f"c{NASTY}": "a|b\nc", "n": 2**64 - 1, "gap": 1}])
    tables.show(table, [])
    told = capsys.readouterr().out
    assert not obeyed(told) and len(told.splitlines()) == 3
    assert f"c{ESCAPED}" in told and ESCAPED in told.splitlines()[1] and r"a|b\nc" in told
    markdown = tables.markdown(table)
    assert not obeyed(markdown) and len(markdown.splitlines()) == 4
    assert r"| a\|b\nc | 18446744073709551615 | 1 |" in markdown


def test_the_live_table_is_drawn_while_trials_start_and_end(tmp_path: Path) -> None:
    progress = LiveProgress(Console(file=io.StringIO(), force_terminal=True, width=100))
    sweep = spec({"x": list(range(200)), "epochs": 3})
    trials = plan(sweep)
    progress.planned(sweep, reconcile(sweep, trials, RunDirectory(tmp_path)), len(trials))
    progress.ready(Cluster(({"CPU": 2.0, "GPU": 0.0},)), 2)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            for trial in trials:
                progress.started(trial)
                progress.reported(trial, 1, 1.0, {"loss": 0.5})
            for trial in trials:
                progress.lost(trial)

    worker = threading.Thread(target=work)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    worker.start()
    try:
        for _ in range(100):
            progress._draw()
            progress.seconds_left()
    finally:
        over.set()
        worker.join()
        sys.setswitchinterval(before)


@given(st.text())
def test_text_that_a_terminal_obeys_is_escaped(text: str) -> None:
    assert not obeyed(shown(text)) and "\n" not in shown(text)
    assert shown_lines(text).count("\n") == text.count("\n")
    if text.isprintable():
        assert shown(text) == shown_lines(text) == text


@pytest.mark.parametrize(
    ("keys", "end"),
    [
        ({"parameters": {"lr": {"min": 0.0, "max": 1.0}, "wd": [1, 2]}}, '; lr drawn once: "samples" says how often'),
        ({"parameters": {"lr": {"min": 0.0, "max": 1.0}, "wd": [1, 2]}, "samples": 1}, "; 2 to run"),
        ({"parameters": {"lr": [1, 2]}, "method": "random", "run_cap": 9}, "; all that differ, of a run_cap of 9"),
        ({"parameters": {"lr": [1, 2]}, "method": "random", "run_cap": 2}, "; 2 to run"),
    ],
)
def test_a_plan_says_what_was_left_to_it(keys: dict[str, Any], end: str, tmp_path: Path) -> None:
    sweep = spec(**keys)
    told = summary(sweep, reconcile(sweep, plan(sweep), RunDirectory(tmp_path)), 2)
    assert told.startswith("sweep: 2 trials (2 new); 2 to run") and told.endswith(end)


def test_a_plan_of_one_trial_and_one_of_none(tmp_path: Path) -> None:
    one = spec({"lr": [1]})
    told = summary(one, reconcile(one, plan(one), RunDirectory(tmp_path)), 1)
    assert told == "sweep: 1 trial (1 new); 1 to run"
    search = spec({"lr": {"min": 0.0, "max": 1.0}}, method="bayes", samples=3)
    told = summary(search, reconcile(search, [], RunDirectory(tmp_path)), 0, coming=3)
    assert told == "sweep: 0 trials; 0 to run; 3 to be suggested"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59.4, "59s"), (60, "1m00s"), (125, "2m05s"), (3720, "1h02m"), (90000, "25h00m")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_narrow_terminal_loses_optional_columns(capsys: pytest.CaptureFixture[str]) -> None:
    import pandas as pd

    table = pd.DataFrame({"lr": [0.1], "loss": [0.5], "other": [1.0], "more": ["x" * 40]})
    assert list(tables.fitting(table, ["other", "more"], 30).columns) == ["lr", "loss", "other"]
    assert list(tables.fitting(table, ["other", "more"], 200).columns) == list(table.columns)
    tables.show(table, ["other", "more"])
    assert "x" * 40 in capsys.readouterr().out  # a pipe has no width
    assert tables.markdown(table).splitlines()[1] == "| --- | --- | --- | --- |"


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, f"name\n{ESCAPED}\n"), (False, f"name\n{NASTY}\n")])
def test_csv_is_obeyed_by_no_terminal_and_left_to_programs(
    is_terminal: bool, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    show_csv(table_of([{"name": NASTY}]))
    assert capsys.readouterr().out == expected.replace(NASTY, f'"{NASTY}"').replace(ESCAPED, f'"{ESCAPED}"')
