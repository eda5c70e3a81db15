"""Training functions that misbehave: each trial has its own message, and the others go on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.cli.program import main
from raysweep.results.reading import load
from raysweep.results.results import Results
from raysweep.results.trial import TrialResult
from raysweep.store.records import State
from tests.bad_functions import ACTIONS

pytestmark = pytest.mark.usefixtures("ray_2_cpus")
FUNCTION = f"{Path(__file__).with_name('bad_functions.py')}:act"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, ray_2_cpus: None) -> Path:
    """The sweep file of all of them."""
    path = tmp_path_factory.mktemp("bad") / "sweep.json"
    content = {
        "trainable": FUNCTION,
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"do": list(ACTIONS)},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def code(sweep: Path) -> int:
    """What running them all exits with."""
    return main(["run", str(sweep), "--runs", str(sweep.parent / "runs")])


@pytest.fixture(scope="module")
def results(sweep: Path, code: int) -> Results:
    return load(sweep, sweep.parent / "runs")


@pytest.fixture
def trials(results: Results) -> Iterator[dict[str, TrialResult]]:
    yield {trial.config["do"]: trial for trial in results.trials}


FAILURES = {
    "raise": "ValueError: no luck",
    "raise_late": "ValueError: too late",
    "raise_silently": "SilentError",
    "raise_unpicklable": "StubbornError: this and that",
    "raise_unprintable": "RudeError: its text cannot be shown: its __str__ failed",
    "raise_non_ascii": r"ValueError: zu groß: 日本\ud800",
    "raise_many_lines": "ValueError: first\nsecond",
    "raise_group": "ExceptionGroup: several (2 sub-exceptions)",
    "exit": "SystemExit: 3",
    "exit_well": "NoReport",
    "interrupt": "KeyboardInterrupt",
    "stop_iteration": "StopIteration",
    "recurse": "RecursionError: maximum recursion depth exceeded",
    "report_nothing": "NoReport: the training function returned without reporting; call raysweep.report()",
    "report_empty": "MetricMissing: the metric 'loss' was never reported; reported: nothing",
    "report_text": "MetricMissing: the metric 'loss' was reported as text, and never as a number",
    "report_tensor": "TrainableError: metric 'loss' is a Tensor of shape (2, 3); report one number",
    "report_array": "TrainableError: metric 'loss' is a ndarray of shape (4,); report one number",
    "report_none": "TrainableError: metric 'loss' is None",
    "report_list": "TrainableError: metric 'loss' is a list",
    "report_complex": "TrainableError: metric 'loss' is a complex",
    "report_number": "TrainableError: report() takes a dict of metrics",
    "report_numbered": "TrainableError: a metric's name must be text; report() was given 1",
    "report_other": "MetricMissing: the metric 'loss' was never reported; reported: accuracy",
    "close_output": "ValueError: I/O operation on closed file",
    "report_missing_checkpoint": "the checkpoint 'no/such/folder' must be a directory, and is not there",
    "report_file": "must be a directory, and is a file; give the directory that it is in",
    "report_dangling_checkpoint": "odd: is a link to something that is not there (No such file or directory)",
    "report_pipe_checkpoint": "odd: is neither a file nor a folder, and cannot be copied",
    "full_elsewhere": "OSError: [Errno 28] No space left on device: '/elsewhere/data'",
    "open_too_many": "OSError: [Errno 24] Too many open files",
    "tune_missing_checkpoint": "TrainableError: the checkpoint '/no/such/folder' must be a directory",
    "tune_text": "MetricMissing: the metric 'loss' was reported as text, and never as a number",
    "tune_list": "TrainableError: metric 'loss' is a list",
    "report_huge": "TrainableError: metric 'steps' is a number that is too large",
    "return_text": "TrainableError: the training function returned a str",
    "return_tensor_dict": "TrainableError: metric 'loss' is a Tensor of shape (2,)",
}
WORKING = {
    "report_text_beside": 0.5,
    "report_scalar_tensor": 0.5,
    "report_numpy": 0.5,
    "report_nan": math.nan,
    "report_infinity": math.inf,
    "report_different_keys": 1 / 3,
    "report_own_columns": 0.5,
    "exit_after_a_report": 0.5,
    "return_dict": 0.5,
    "return_number": 0.5,
    "yield": 0.25,
    "print": 0.5,
}


def test_every_function_is_looked_at() -> None:
    assert sorted([*FAILURES, *WORKING]) == sorted(ACTIONS)


def test_the_exit_code_says_that_some_failed(code: int) -> None:
    assert code == 1


@pytest.mark.parametrize("action", FAILURES)
def test_failures_have_their_message(trials: dict[str, TrialResult], action: str) -> None:
    trial = trials[action]
    assert trial.state is State.FAILED
    assert FAILURES[action] in str(trial.error)
    assert trial.error is not None
    assert trial.error.type in (trial.path / "error.txt").read_text()


@pytest.mark.parametrize("action", WORKING)
def test_others_are_done(trials: dict[str, TrialResult], action: str) -> None:
    trial = trials[action]
    assert (trial.error, trial.state) == (None, State.DONE)
    assert trial.best is not None
    assert trial.best.metrics["loss"] == pytest.approx(WORKING[action], nan_ok=True)


def test_a_traceback_begins_in_the_users_code(trials: dict[str, TrialResult]) -> None:
    text = (trials["raise"].path / "error.txt").read_text()
    assert text.startswith("Traceback (most recent call last):\n")
    assert "bad_functions.py" in text.splitlines()[1]


def test_what_was_printed_is_kept(trials: dict[str, TrialResult]) -> None:
    text = (trials["print"].path / "output.log").read_text()
    assert text.count("é" * 100 + "\n") == 2000
    assert "é" not in (trials["return_dict"].path / "output.log").read_text()


def test_reports_before_a_failure_are_kept(trials: dict[str, TrialResult]) -> None:
    assert [report.metrics for report in trials["raise_late"].reports] == [{"loss": 0.5}]


def test_keys_that_differ_are_columns_with_gaps(results: Results) -> None:
    history = results.history()
    rows = history[history["do"] == "report_different_keys"]
    assert rows["only_2"].tolist() == pytest.approx([math.nan, 2, math.nan], nan_ok=True)


def test_tables_have_every_trial(results: Results) -> None:
    import pandas as pd

    tables = [
        pd.read_csv(results.directory / "results.csv"),
        pd.read_json(results.directory / "results.json"),
        pd.read_parquet(results.directory / "results.parquet"),
    ]
    for table in tables:
        assert table["do"].tolist() == list(ACTIONS)
        assert (table["state"] == "failed").sum() == len(FAILURES)


@pytest.mark.parametrize("style", ["table", "csv", "json", "md"])
def test_the_leaderboard_can_be_printed(sweep: Path, code: int, style: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(sweep), "--runs", str(sweep.parent / "runs"), "--format", style]) == 0
    assert "report_different_keys" in capsys.readouterr().out


def test_nothing_is_run_again(sweep: Path, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(sweep), "--runs", str(sweep.parent / "runs"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"failed": len(FAILURES), "done": len(WORKING)}
    assert told["best"]["config"] == {"do": "yield"}


def test_a_gpu_that_is_not_there(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps({**json.loads(sweep.read_text()), "resources": {"gpu": 0.5}}))
    assert main(["run", str(path), "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert "a trial asks for 1 CPU and 0.5 GPU, and no node has that" in told
    assert "2 CPU and 0 GPU" in told
    assert "Traceback" not in told
