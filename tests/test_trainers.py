"""Trainers that people use: their metrics are reported, and a trial that was killed goes on as if it had not been."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import raysweep
from raysweep.cli import program as cli
from raysweep.store.records import State
from tests.test_docs import shown_files

EXAMPLES = Path(__file__).parents[1] / "examples/trainers"
LINES = 40  # which an example has fewer than
TRAINERS = ["sklearn", "xgboost", "lightgbm", "accelerate", "lightning", "transformers"]
TORCH_FREE = TRAINERS[:3]
# A trainable beside an example's: its trial is killed once, right after a report.
KILLED = """\
import os, signal
from pathlib import Path
from with_{name} import train as example
from raysweep.worker.reporter import Reporter

def train(config):
    killed = Path(__file__).with_name("killed")
    report = Reporter.report
    def reported(self, *arguments, **options):
        report(self, *arguments, **options)
        if config["kill"] and config["kill"] == self.recording.reports.epoch and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    Reporter.report = reported
    example(config)
"""


def needs(name: str) -> pytest.MarkDecorator:
    is_there = importlib.util.find_spec(name) is not None
    return pytest.mark.skipif(not is_there, reason=f"needs {name}: pip install -e '.[trainers]'")


def trainers(*names: str) -> list[object]:
    slow = {"accelerate", "lightning", "transformers"}  # whose imports take as long as many a test
    return [pytest.param(name, marks=[needs(name), *([pytest.mark.slow] if name in slow else [])]) for name in names]


# What is different in an example whose trials have two processes each.
TOGETHER = {
    "accelerate": {
        "import Accelerator": "import Accelerator, DataLoaderConfiguration",
        "Accelerator()": "Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))",
        "for _ in loop": "for epoch in loop",
        "network.train()": "network.train()\n        loader.set_epoch(epoch)",
    },
    "lightning": {"Trainer(max": 'Trainer(accelerator="cpu", devices=2, strategy="ddp", max'},
}


@pytest.mark.usefixtures("ray_2_cpus")
@pytest.mark.parametrize("name", trainers(*TRAINERS))
def test_a_trial_that_is_killed_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / f"with_{name}.py", tmp_path)
    _killed_and_whole(name, tmp_path)


@pytest.mark.usefixtures("ray_2_cpus")
@pytest.mark.parametrize("name", trainers(*TOGETHER))
def test_so_does_one_of_two_processes(name: str, tmp_path: Path) -> None:
    text = (EXAMPLES / f"with_{name}.py").read_text()
    for old, new in TOGETHER[name].items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / f"with_{name}.py").write_text(text)
    _killed_and_whole(name, tmp_path, resources={"cpu": 2, "workers": 2})


def _killed_and_whole(name: str, tmp_path: Path, **keys: object) -> None:
    """Sweep an example beside a trainable that is killed in one of two trials: their numbers are the same."""
    (tmp_path / "killed.py").write_text(KILLED.format(name=name))
    content = json.loads((EXAMPLES / f"with_{name}.json").read_text())
    small = {key: value[0] if isinstance(value, list) else value for key, value in content["parameters"].items()}
    content |= {
        "name": name,
        "trainable": "killed.py:train",
        "parameters": {**small, "epochs": 3, "kill": [0, 2]},
        **keys,
    }
    (tmp_path / "grid.json").write_text(json.dumps(content))
    assert cli.main(["run", str(tmp_path / "grid.json"), "--runs", str(tmp_path / "runs")]) == 0
    whole, killed = raysweep.load(name, tmp_path / "runs").trials
    assert [trial.state for trial in (whole, killed)] == [State.DONE] * 2
    assert [len(trial.reports) for trial in (whole, killed)] == [3, 3]
    assert (tmp_path / "killed").exists()
    metric = content["metric"]["name"]
    one, other = ([report.metrics[metric] for report in trial.reports] for trial in (whole, killed))
    assert one == pytest.approx(other, rel=1e-6)
    assert len(set(one)) == 3


@pytest.mark.parametrize("name", TRAINERS)
def test_an_example_is_short_and_is_the_one_that_is_documented(name: str) -> None:
    text = (EXAMPLES / f"with_{name}.py").read_text()
    assert len(text.splitlines()) < LINES
    assert shown_files()[f"with_{name}.py"] == text


@pytest.mark.parametrize("name", trainers(*TORCH_FREE))
def test_what_needs_no_torch_loads_none(name: str) -> None:
    code = f"import sys, raysweep.integrations.{name}\nimport raysweep.worker.child\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
