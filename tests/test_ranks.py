"""A trial of several processes: it reports once, goes on, and fails with the reason of whichever fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.errors import SpecError
from raysweep.results.results import Results
from raysweep.store.records import State
from raysweep.sweepfile.spec import check
from raysweep.training.ranks import rank
from tests.test_docs import shown_files

HERE = Path(__file__).parent


def run(folder: Path, function: str, parameters: dict[str, Any], **keys: Any) -> Results:
    content = {
        "name": "ranks",
        "trainable": f"distributed.py:{function}",
        "metric": {"name": "mean", "goal": "maximize"},
        "parameters": parameters,
        "resources": {"cpu": 2, "workers": 2},
    }
    return raysweep.run(check({**content, **keys}, "test"), runs=folder, directory=HERE)


@pytest.mark.usefixtures("ray_2_cpus")
def test_a_trial_of_two_processes_reports_once_and_fails_with_either(tmp_path: Path) -> None:
    does = ["print", "raise", "die", "raise last"]
    trials = run(tmp_path, "train", {"do": does, "epochs": 4}, retries=0).trials
    fine, raising, dying, last = trials
    assert fine.state is State.DONE
    means = [report.metrics["mean"] for report in fine.reports]
    assert means == pytest.approx([3.5 * (1 - 0.5**epoch) for epoch in (1, 2, 3, 4)])  # of all, and not of rank 0's
    assert {report.metrics["threads"] for report in fine.reports} == {1}
    assert "rank 1 was here" in (fine.path / "output.log").read_text()
    assert [trial.state for trial in (raising, dying, last)] == [State.FAILED] * 3
    told = [str(trial.error) for trial in (raising, dying, last)]
    assert "ValueError: rank 1 has no luck" in told[0]
    assert "the process of rank 1 has died" in told[1]
    assert "ValueError: rank 0 fails by itself" in told[2]
    assert "misbehave" in (raising.path / "error.txt").read_text()
    assert [len(trial.reports) for trial in trials] == [4, 1, 1, 4]

    again = run(tmp_path, "train", {"do": ["print"], "epochs": 5}).trials[0]  # both processes go on from epoch 4
    assert [report.metrics["mean"] for report in again.reports][:4] == means
    assert again.reports[4].metrics["mean"] == pytest.approx(3.5 * (1 - 0.5**5))


@pytest.mark.slow  # the same with another function
@pytest.mark.usefixtures("ray_2_cpus")
def test_what_the_documentation_shows_trains(tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(shown_files()["together.py"])
    content = {
        "name": "together",
        "trainable": "together.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": 0.1, "epochs": 3},
        "resources": {"cpu": 2, "workers": 2},
    }
    [trial] = raysweep.run(check(content, "test"), runs=tmp_path, directory=tmp_path).trials
    losses = [float(report.metrics["loss"]) for report in trial.reports]
    assert losses == sorted(losses, reverse=True) and len(losses) == 3


@pytest.mark.slow  # it waits for as long as such a process is waited for
@pytest.mark.usefixtures("ray_2_cpus")
def test_a_process_that_waits_for_one_that_has_failed_is_ended(tmp_path: Path) -> None:
    [trial] = run(tmp_path, "stuck", {"x": 1}).trials
    assert trial.state is State.FAILED
    assert "ValueError: rank 1 of 2 has no luck" in str(trial.error)


def test_trials_inside_rays_processes_have_no_others(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"ranks: resources\.workers: trials that run inside Ray's processes have no"):
        run(tmp_path, "train", {"do": "print"}, process="ray")


@pytest.mark.parametrize(("told", "expected"), [("", 0), ("0", 0), ("3", 3), ("-1", 0), ("one", 0)])
def test_the_rank_is_what_a_launcher_says(told: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", told)
    assert rank() == expected


def test_a_script_under_torchrun_prints_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import raysweep\nraysweep.report({'loss': 1.0})\n")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launcher, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.count("loss=1") == 1
