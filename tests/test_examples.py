"""What is in examples/, and several of Ray Tune's own examples, run for real."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import raysweep
from raysweep.cli import program as cli
from raysweep.results.results import Results
from raysweep.store.records import State

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


pytestmark = pytest.mark.usefixtures("ray_2_cpus")


def sweep(grid: Path, runs: Path, *overrides: str) -> Results:
    arguments = [part for override in overrides for part in ("--set", override)]
    assert cli.main(["run", str(grid), "--runs", str(runs), *arguments]) == 0
    results = raysweep.load(raysweep.load_spec(grid).name, runs)
    assert all(trial.state is State.DONE for trial in results.trials)
    return results


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_sweeps_the_tutorials_grid(tmp_path: Path) -> None:
    results = sweep(EXAMPLES / "fashion_mnist/grid.json", tmp_path, "+limit=500", "epochs=1")
    swept = {tuple(trial.config[name] for name in ("lr", "batch_size", "shuffle")) for trial in results.trials}
    assert swept == set(itertools.product((0.01, 0.001), (100, 1000), (True, False)))
    assert len(results) == 8
    history = results.history()
    assert history["val_accuracy"].between(0, 1).all()
    assert {"loss", "accuracy", "val_loss", "epoch_duration", "run_duration"} <= set(history.columns)


def test_a_script_that_knows_nothing_of_sweeps_is_swept(tmp_path: Path) -> None:
    assert "raysweep" not in (EXAMPLES / "script/regression.py").read_text()
    results = sweep(EXAMPLES / "script/grid.json", tmp_path)
    assert len(results) == 4
    assert all([report.epoch for report in trial.reports] == list(range(1, 21)) for trial in results.trials)
    assert results.best.best is not None and float(results.best.best.metrics["Loss/train"]) < 1


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, ray_2_cpus: None) -> Results:
    return sweep(EXAMPLES / "own/grid.yaml", tmp_path_factory.mktemp("own"), "epochs=2")


def test_own_training_is_swept(own: Results) -> None:
    optimizers = [(trial.config["optimizer"]["name"], trial.config["optimizer"]["lr"]) for trial in own.trials]
    assert len(own) == 24
    assert ("adam", 0.1) not in optimizers
    assert own.best.best is not None
    assert float(own.best.best.metrics["val_accuracy"]) > 0.9


def test_own_weights_load_into_the_own_network(own: Results) -> None:
    best, module = own.best, _module(EXAMPLES / "own/train.py")
    assert best.checkpoint is not None
    assert best.best is not None
    network = module.Classifier(30, best.config["hidden"], 2, best.config["dropout"]).eval()
    network.load_state_dict(torch.load(best.checkpoint / "weights.pt", weights_only=True))
    features, targets = module.load_data()[1].tensors
    accuracy = (network(features).argmax(1) == targets).float().mean().item()
    assert accuracy == pytest.approx(best.best.metrics["val_accuracy"])


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_training_is_also_an_ordinary_script() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLES / "own/train.py")]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert [line.split("=")[0] for line in printed.splitlines()] == ["loss"] * 5
    assert "val_accuracy=" in printed


def test_ray_tune_trainables_do_not_know_of_raysweep() -> None:
    tree = ast.parse((EXAMPLES / "ray_tune/trainables.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [name for name in imported if name and name.startswith("raysweep")]


@pytest.mark.parametrize("grid", ["function.json", "class.json"])
def test_ray_tune_trainables_run_unchanged(grid: str, tmp_path: Path) -> None:
    results = sweep(EXAMPLES / "ray_tune" / grid, tmp_path)
    assert len(results) == 3
    for trial in results.trials:
        assert [report.epoch for report in trial.reports] == list(range(1, 11))
        expected = 10 * (1 - 2 * trial.config["lr"]) ** 10
        assert trial.reports[-1].metrics["x"] == pytest.approx(expected)
        assert trial.checkpoint is not None
    assert results.best.config["lr"] == 0.4


POINTS = {"width": [10, 20], "height": 1}
RAY_TUNE: dict[str, tuple[str, str, Mapping[str, Any], int | None]] = {
    # trainable below ray.tune.examples: metric, goal, parameters, and where to stop if it does not itself
    "async_hyperband_example:easy_objective": ("mean_loss", "minimize", {**POINTS, "steps": 3}, None),
    "tune_basic_example:easy_objective": (
        "mean_loss",
        "minimize",
        {"width": 5, "height": 1, "steps": 3, "activation": {"grid_search": ["relu", "tanh"]}},
        None,
    ),
    "custom_func_checkpointing:train_func": ("mean_loss", "minimize", POINTS, 3),
    "hyperband_function_example:train_func": ("episode_reward_mean", "maximize", POINTS, 3),
    "hyperband_example:MyTrainableClass": ("episode_reward_mean", "maximize", POINTS, 3),
    "pbt_example:PBTBenchmarkExample": ("mean_accuracy", "maximize", {"lr": [0.001, 0.01]}, 3),
    "pbt_function:pbt_function": ("mean_accuracy", "maximize", {"lr": [0.001, 0.01]}, 3),
}


@pytest.mark.parametrize("trainable", RAY_TUNE)
def test_ray_tunes_own_examples_run_unchanged(trainable: str, tmp_path: Path) -> None:
    metric, goal, parameters, stop = RAY_TUNE[trainable]
    grid = tmp_path / "grid.json"
    content: dict[str, Any] = {
        "trainable": f"ray.tune.examples.{trainable}",
        "metric": {"name": metric, "goal": goal},
        "parameters": parameters,
        "stop": {"training_iteration": stop} if stop else {},
    }
    grid.write_text(json.dumps(content))
    results = sweep(grid, tmp_path / "runs")
    assert [len(trial.reports) for trial in results.trials] == [3, 3]
    assert all(isinstance(trial.reports[0].metrics[metric], (int, float)) for trial in results.trials)
