"""Trials on a GPU: what they see of it, share of it and leave of it. Skipped where there is none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import raysweep
from raysweep.store.folder import TrialFolder
from raysweep.store.records import State
from raysweep.sweepfile.spec import check

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA"),
    pytest.mark.usefixtures("ray_1_gpu"),
]


@pytest.fixture(scope="module")
def ray_1_gpu() -> Iterator[None]:
    """A Ray with four CPUs and a GPU."""
    import ray

    from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**DRIVER_ENVIRONMENT, **WORKER_ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}.items():
            patch.setenv(name, value)
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without which CUDA's matrix products are not deterministic
        patch.delenv("RAY_ADDRESS", raising=False)
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        ray.init("local", num_cpus=4, num_gpus=1, **quiet)
        try:
            yield
        finally:
            ray.shutdown()


def sweep(folder: Path, function: str, parameters: dict[str, Any], gpu: float, **keys: Any) -> raysweep.Results:
    content = {
        "name": "sweep",
        "trainable": f"cuda_functions.py:{function}",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": parameters,
        "resources": {"cpu": 1, "gpu": gpu},
        **keys,
    }
    return raysweep.run(check(content, "test"), runs=folder, directory=HERE)


def test_nothing_of_a_trial_is_left_on_the_gpu_for_the_next(tmp_path: Path) -> None:
    free = torch.cuda.mem_get_info()[0]
    results = sweep(tmp_path, "seen", {"x": [1, 2, 3], "seed": 5, "megabytes": 500}, 1.0)
    found = [dict(trial.reports[0].metrics) for trial in results.trials]
    assert len({trial.pop("process") for trial in found}) == 3
    assert found[0] == found[1] == found[2]
    expected = {"gpus": 1, "initialized": "False", "benchmark": "False", "precision": "highest", "allocated": 0}
    assert found[0] == found[0] | expected
    assert torch.cuda.mem_get_info()[0] > free - 400 * 2**20


def test_a_trial_that_asks_for_no_gpu_sees_none(tmp_path: Path) -> None:
    results = sweep(tmp_path, "seen", {"x": [1, 2]}, 0)
    assert [trial.reports[0].metrics["gpus"] for trial in results.trials] == [0, 0]


def test_a_trial_that_wants_more_than_its_share_fails_alone(tmp_path: Path) -> None:
    results = sweep(tmp_path, "greedy", {"share": [0.1, 0.15, 0.4, 0.05]}, 0.25)
    done, too_much = State.DONE, State.OUT_OF_MEMORY
    assert [trial.state for trial in results.trials] == [done, done, too_much, done]


def test_a_broken_context_is_gone_with_its_trial(tmp_path: Path) -> None:
    results = sweep(tmp_path, "asserting", {"index": [1, 99, 2, 3]}, 1.0)
    assert [trial.state for trial in results.trials] == [State.DONE, State.FAILED, State.DONE, State.DONE]
    error = results.trials[1].error
    assert error is not None
    assert "device-side assert" in error.message


def test_a_trial_that_was_killed_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    whole = sweep(tmp_path / "whole", "learning", {"lr": [0.01, 0.1], "epochs": 5, "seed": 1}, 0.5)
    killed = {"lr": [0.01, 0.1], "epochs": 5, "seed": 1, "dies": str(tmp_path / "died")}
    again = sweep(tmp_path / "again", "learning", killed, 0.5, untracked=["dies"])
    assert (tmp_path / "died").exists()
    for one, other in zip(whole.trials, again.trials, strict=True):
        assert (one.state, other.state) == (State.DONE, State.DONE)
        losses = [[report.metrics["loss"] for report in trial.reports] for trial in (one, other)]
        assert losses[0] == losses[1]
        assert {report.metrics["device"] for report in one.reports} == {"cuda:0"}


def test_the_reference_training_takes_the_gpu_that_it_is_given(tmp_path: Path) -> None:
    parameters = {"lr": [0.01, 0.001], "epochs": 3, "device": "cuda"}
    results = vision(tmp_path, parameters)
    assert {trial.state for trial in results.trials} == {State.DONE}
    assert results.best is not None
    assert results.best.best is not None
    assert float(results.best.best.metrics["val_accuracy"]) > 0.8


def test_a_group_has_on_the_gpu_what_its_trials_have_alone(tmp_path: Path) -> None:
    parameters = {"lr": [0.01, 0.001], "seed": [0, 1], "epochs": 3, "device": "cuda", "network": "lenet"}
    alone, fused = (vision(tmp_path / str(fuse), parameters, fuse=fuse) for fuse in (False, 4))
    records = [TrialFolder(trial.path).record() for trial in fused.trials]
    assert len({record.pid for record in records if record}) == 1
    for one, other in zip(alone.trials, fused.trials, strict=True):
        losses = [float(trial.reports[0].metrics["loss"]) for trial in (one, other)]  # later ones drift by rounding
        assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def vision(folder: Path, parameters: dict[str, Any], **keys: Any) -> raysweep.Results:
    content = {
        "name": "digits",
        "trainable": "raysweep.vision:train",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": parameters,
        "resources": {"gpu": 0.5},
        **keys,
    }
    return raysweep.run(check(content, "test"), runs=folder)
