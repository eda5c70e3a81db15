"""What a trial finds in its process is what a fresh process would show it, whatever ran before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import raysweep
from raysweep.plan.reference import Reference
from raysweep.store.records import State
from raysweep.sweepfile.spec import check
from raysweep.worker import preload
from tests import messy

HERE = Path(__file__).parent
pytestmark = pytest.mark.usefixtures("ray_2_cpus")
DRAWN = ("torch", "numpy", "python")  # what depends on the seed, which a script has none of
GIVEN = ("threads", "gpus", "directory", "filters")  # by its worker, and by modules that it has imported beforehand


def sweep(folder: Path, trainable: str, parameters: dict[str, Any], **keys: Any) -> raysweep.Results:
    content = {
        "name": "sweep",
        "trainable": trainable,
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": parameters,
        "max_concurrent": 1,
        **keys,
    }
    return raysweep.run(check(content, "test"), runs=folder, directory=folder)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, ray_2_cpus: None) -> list[dict[str, Any]]:
    """What trials found that ran one after another, in both orders: a mess before, and a mess after."""
    told = []
    for order in ([True, False], [False, True]):
        results = sweep(tmp_path_factory.mktemp("mess"), f"{HERE / 'messy.py'}:train", {"mess": order, "again": [1, 2]})
        assert {trial.state for trial in results.trials} == {State.DONE}
        told += [dict(trial.reports[0].metrics) for trial in results.trials]
    return told


@pytest.fixture(scope="module")
def fresh() -> dict[str, Any]:
    """What a fresh process finds."""
    code = "import json, torch; from tests.messy import found; print(json.dumps(found()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_trial_has_a_process_of_its_own(trials: list[dict[str, Any]]) -> None:
    assert len({trial["process"] for trial in trials}) == len(trials)


@pytest.mark.parametrize("setting", sorted(messy.found().keys()))
def test_nothing_of_a_trial_is_left_for_the_next(
    trials: list[dict[str, Any]], fresh: dict[str, Any], setting: str
) -> None:
    assert len({trial[setting] for trial in trials}) == 1
    if setting not in (*DRAWN, *GIVEN):
        assert trials[0][setting] == fresh[setting]


def test_a_model_of_the_module_is_trained_by_one_trial(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import torch, raysweep\n"
        "torch.manual_seed(0)\n"
        "model = torch.nn.Linear(4, 1)\n"
        "x = torch.randn(64, 4); y = x.sum(1, keepdim=True)\n"
        "def train(config):\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=config['lr'])\n"
        "    for epoch in range(3):\n"
        "        loss = torch.nn.functional.mse_loss(model(x), y)\n"
        "        optimizer.zero_grad(); loss.backward(); optimizer.step()\n"
        "        raysweep.report({'loss': loss})\n"
    )
    together = sweep(tmp_path, "train.py:train", {"lr": [0.1, 0.01, 0.001]})
    first = [trial.reports[0].metrics["loss"] for trial in together.trials]
    assert len(set(first)) == 1  # each begins with the same weights
    last = [trial.reports[-1].metrics["loss"] for trial in together.trials]
    assert sorted(last) == last  # and the largest learning rate gets furthest


def test_all_that_a_trial_prints_is_in_its_own_log(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import logging, os, subprocess, sys, warnings\n"
        "import raysweep\n"
        "early = logging.StreamHandler(sys.stdout); own = logging.getLogger('own'); own.addHandler(early)\n"
        "def train(config):\n"
        "    logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "    for where in ('print', 'stderr', 'raw', 'child', 'log', 'own', 'warning'):\n"
        "        text = f'{where} of {config[\"x\"]}'\n"
        "        if where == 'print': print(text)\n"
        "        elif where == 'stderr': sys.stderr.write(text + '\\n')\n"
        "        elif where == 'raw': os.write(1, (text + '\\n').encode())\n"
        "        elif where == 'child': subprocess.run(['echo', text])\n"
        "        elif where == 'log': logging.info(text)\n"
        "        elif where == 'own': own.warning(text)\n"
        "        else: warnings.warn(text)\n"
        "    raysweep.report({'loss': config['x']})\n"
    )
    for trial in sweep(tmp_path, "train.py:train", {"x": [1, 2, 3]}).trials:
        text = (trial.path / "output.log").read_text()
        for where in ("print", "stderr", "raw", "child", "log", "own", "warning"):
            assert f"{where} of {trial.config['x']}" in text
        assert not any(f"of {other}" in text for other in {1, 2, 3} - {trial.config["x"]})


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os._exit(3)", "ProcessDied: the trial's process ended with exit code 3"),
        ("os.abort()", "ProcessDied: the trial's process was killed by SIGABRT"),
        ("ctypes.string_at(0)", "ProcessDied: the trial's process was killed by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "ProcessDied: the trial's process was killed by SIGKILL"),
    ],
)
def test_a_process_that_dies_says_why(tmp_path: Path, deed: str, reason: str) -> None:
    (tmp_path / "train.py").write_text(
        f"import ctypes, os\ndef train(config):\n    print('the last words')\n    {deed}\n"
    )
    (trial,) = sweep(tmp_path, "train.py:train", {"x": 1}, retries=0).trials
    assert trial.state is State.FAILED
    assert str(trial.error).startswith(reason)
    text = (trial.path / "error.txt").read_text()
    assert reason in text and "the last words" in text


def test_threads_may_report_and_processes_are_told_why_not(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import multiprocessing, threading\n"
        "import raysweep\n"
        "def tell(value):\n"
        "    raysweep.report({'loss': value})\n"
        "def try_to(value, pipe):\n"
        "    try: tell(value)\n"
        "    except raysweep.TrainableError as error: pipe.send(str(error))\n"
        "def train(config):\n"
        "    for value in (3.0, 2.0):\n"
        "        thread = threading.Thread(target=tell, args=(value,)); thread.start(); thread.join()\n"
        "    fork = multiprocessing.get_context('fork')\n"
        "    ours, theirs = fork.Pipe()\n"
        "    process = fork.Process(target=try_to, args=(99.0, theirs)); process.start()\n"
        "    print(ours.recv()); process.join()\n"
        "    tell(1.0)\n"
    )
    (trial,) = sweep(tmp_path, "train.py:train", {"x": 1}).trials
    assert [report.metrics["loss"] for report in trial.reports] == [3.0, 2.0, 1.0]
    assert [report.epoch for report in trial.reports] == [1, 2, 3]
    assert "which the training function has started" in (trial.path / "output.log").read_text()


def test_signals_can_be_handled_and_arguments_parsed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import argparse, os, signal\n"
        "import raysweep\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--size', type=int, default=3)\n"
        "options = parser.parse_args()\n"
        "def train(config):\n"
        "    got = []\n"
        "    signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    raysweep.report({'loss': got[0], 'size': options.size})\n"
    )
    (trial,) = sweep(tmp_path, "train.py:train", {"x": 1}).trials
    assert trial.error is None
    assert trial.reports[0].metrics == {"loss": int(signal.SIGUSR1), "size": 3}


def test_a_summary_writer_of_ones_own_writes_under_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "import raysweep\n"
        "def train(config):\n"
        "    from torch.utils.tensorboard import SummaryWriter\n"
        "    with SummaryWriter() as writer:\n"
        "        writer.add_scalar('mine', config['x'], 1)\n"
        "        writer.add_hparams({'x': config['x']}, {'final': 7.0}, global_step=2)\n"
        f"    with SummaryWriter('{tmp_path}/elsewhere') as writer:\n"
        "        writer.add_scalar('mine', 1.0, 1)\n"
        "    raysweep.report({'loss': config['x']})\n"
    )
    runs = tmp_path / "runs"
    (trial,) = sweep(runs, str(tmp_path / "train.py:train"), {"x": 3}).trials
    assert trial.error is None
    assert sorted(path.name for path in runs.iterdir()) == ["sweep"]  # none of SummaryWriter's own names
    assert {path.parent for path in runs.rglob("events.out.*")} == {trial.path, trial.path / "own"}
    events = EventAccumulator(str(trial.path / "own")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("mine")] == [(1, 3.0)]
    assert [(event.step, event.value) for event in events.Scalars("final")] == [(2, 7.0)]
    assert list((tmp_path / "elsewhere").iterdir())


def test_a_function_that_calls_ray_runs_inside_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import os, ray, raysweep\n"
        "seen = []\n"
        "def train(config):\n"
        "    seen.append(1)\n"
        "    value = ray.get(ray.put(config['x']))\n"
        "    print('x is', value)\n"
        "    raysweep.report({'loss': value, 'seen': len(seen), 'process': os.getpid()})\n"
    )
    results = sweep(tmp_path, "train.py:train", {"x": [1, 2]})
    assert [trial.error for trial in results.trials] == [None, None]
    metrics = [trial.reports[0].metrics for trial in results.trials]
    assert [told["loss"] for told in metrics] == [1, 2] and [told["seen"] for told in metrics] == [1, 1]
    assert metrics[0]["process"] != metrics[1]["process"]
    assert (results.trials[0].path / "output.log").read_text() == "x is 1\n"


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import ray\ndef train(config): ray.get(1)", True),
        ("import ray\ndef train(config): helper()\ndef helper(): return ray.put(1)", True),
        ("from ray import remote\ndef train(config): ...", True),
        ("import ray.data\ndef train(config): ...", True),
        ("from ray.util.queue import Queue\ndef train(config): ...", True),
        ("from ray import tune\ndef train(config): tune.report({})", False),
        ("from ray.tune import Checkpoint\ndef train(config): ...", False),
        ("import ray\ndef train(config): ray.tune.report({})", False),
        ("import ray\ndef train(config): ...\ndef main(): ray.init()\nif __name__ == '__main__': main()", False),
        ("def train(config): return array.get(1)", False),
    ],
)
def test_whether_a_function_calls_ray_is_seen_in_its_source(tmp_path: Path, source: str, calls: bool) -> None:
    (tmp_path / "train.py").write_text(source)
    assert preload.calls_ray(Reference("train.py:train", tmp_path)) is calls


def test_what_is_imported_ahead_is_installed_and_never_the_users(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import pandas\n")
    (tmp_path / "train.py").write_text(
        "import helper, no_such_module\nfrom torch.optim import Adam\ndef train(config):\n    import sklearn.datasets\n"
    )
    named = preload.modules(Reference("train.py:train", tmp_path))
    assert {"torch", "torch.optim", "sklearn.datasets", "pandas"} <= {*named}
    assert not {"helper", "no_such_module", "train"} & {*named}
