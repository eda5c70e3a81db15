"""What a person sees while a sweep runs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from raysweep import tables
from raysweep.cluster import Cluster
from raysweep.display import LineProgress, LiveProgress, duration, for_stream
from raysweep.progress import Progress
from raysweep.reconciliation import reconcile
from raysweep.records import State, TrialError
from raysweep.store import RunDirectory
from raysweep.trials import plan
from tests.sweeps import spec


def follow(progress: Progress, tmp_path: Path) -> None:
    """A sweep of four trials: one done, one failed, one at work, one waiting."""
    sweep = spec({"lr": [0.1, 0.2, 0.3, 0.4], "epochs": 2})
    trials = plan(sweep)
    progress.planned(sweep, reconcile(sweep, trials, RunDirectory(tmp_path)), 4)
    progress.connected(Cluster(({"CPU": 2.0, "GPU": 0.0},)), 2)
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
