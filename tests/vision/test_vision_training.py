"""The reference trainable's numbers are a plain loop's, alike every time, also when interrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from raysweep.training.recorder import Recorder
from raysweep.vision import load, train
from raysweep.vision.options import Options
from raysweep.vision.training import Training
from tests.fake_session import FakeSession, without_times

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_loop.py"
QUICK = {"limit": 120, "batch_size": 32, "epochs": 3}


def trained(folder: Path, **config: Any) -> FakeSession:
    session = FakeSession(folder)
    with session.trial():
        train({**QUICK, **config})
    return session


def test_numbers_equal_the_plain_script(session: FakeSession) -> None:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: sums depend on how they are split
    command = [sys.executable, str(EXAMPLE)]
    printed = subprocess.run(command, env=one_thread, check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"epoch=\d+  loss=(\S+)  accuracy=(\S+)", printed)
    with session.trial():
        train({"shuffle": False})
    assert len(rows) == len(session.reports) == 5
    for report, (loss, accuracy) in zip(session.reports, rows, strict=True):
        assert report["loss"] == pytest.approx(float(loss), abs=1e-5)
        assert report["accuracy"] == pytest.approx(float(accuracy), abs=1e-5)
    assert session.column("accuracy")[-1] > 0.9
    assert session.column("val_accuracy")[-1] > 0.9


def test_metrics_of_an_epoch(tmp_path: Path) -> None:
    session = trained(tmp_path)
    expected = "accuracy epoch_duration loss run_duration samples_per_second val_accuracy val_loss"
    assert [" ".join(sorted(report)) for report in session.reports] == [expected] * 3


RECIPE = {
    "schedule": "one-cycle",
    "augment": "crop-flip",
    "precision": "fp16",
    "label_smoothing": 0.1,
    "ema": 0.9,
    "network": "lenet_bn",
}


@pytest.mark.parametrize(
    "change",
    [
        *({"network": "lenet_bn"}, {"network": "mlp"}, {"channels_last": True}),
        *(RECIPE, {"schedule": "cosine", "warmup": 1.5, "precision": "bf16"}),
    ],
)
def test_interrupted_training_goes_on_bit_by_bit(change: dict[str, Any], tmp_path: Path) -> None:
    config = {**QUICK, "optimizer": {"name": "sgd", "momentum": 0.9}, "normalize": True, **change}
    whole = trained(tmp_path / "whole", **config)
    cut = FakeSession(tmp_path / "cut")
    for dies_after in (1, 2, 0):
        with cut.trial(dies_after):
            train(config)
    assert without_times(cut.reports) == without_times(whole.reports)
    one, other = (load(session.checkpoints[-1]).state_dict() for session in (whole, cut))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("change", [{"num_workers": 2}, {"histograms": 0, "images": False, "graph": False}])
def test_how_it_is_loaded_and_drawn_changes_no_number(change: dict[str, Any], tmp_path: Path) -> None:
    one = trained(tmp_path / "one", network="lenet_bn")
    other = trained(tmp_path / "other", network="lenet_bn", **change)
    assert without_times(one.reports) == without_times(other.reports)


@pytest.mark.parametrize("network", ["lenet_bn", "mlp", "resnet18"])
def test_channels_last_changes_numbers_by_rounding(network: str, tmp_path: Path) -> None:
    config = {"network": network, "epochs": 1, "limit": 32, "optimizer": "sgd"}  # one step: differences grow
    one = trained(tmp_path / "one", **config)
    other = trained(tmp_path / "other", **config, channels_last=True)
    for metric in ("loss", "val_loss"):
        assert one.column(metric) == pytest.approx(other.column(metric), rel=1e-4)
    training = Training.build(Options.of({**QUICK, **config, "channels_last": True}))
    kernels = [weight for weight in training.network.parameters() if weight.dim() == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_validation_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = trained(tmp_path / "one", network="lenet_bn")
    monkeypatch.setattr(Training, "validate", lambda _: (0.0, 0.0))
    other = trained(tmp_path / "other", network="lenet_bn")
    assert one.column("loss") == other.column("loss")


def test_validation_is_the_mean_over_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training.build(Options())
    whole = training.validate()
    monkeypatch.setattr("raysweep.vision.training.VALIDATION_BATCH", 7)
    loss, accuracy = training.validate()
    assert loss == pytest.approx(whole[0], abs=1e-6)
    assert accuracy == whole[1]
    assert training.network.training


def test_equal_seeds_equal_weights() -> None:
    first, again, other = (Training.build(Options(limit=20, seed=seed)).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "lr": 0.1}, {"momentum": 0.9, "lr": 0.1, "weight_decay": 0.0}),
        ({"optimizer": "adamw"}, {"lr": 0.01, "weight_decay": 0.0}),
        ({"optimizer": {"name": "adamw", "weight_decay": 0.2}}, {"weight_decay": 0.2}),
        ({"optimizer": "rmsprop", "momentum": 0.5}, {"momentum": 0.5}),
        ({"optimizer": "Rprop"}, {"lr": 0.01}),
    ],
)
def test_optimizer_gets_its_arguments(config: dict[str, Any], expected: dict[str, float]) -> None:
    optimizer = Training.build(Options.of({"limit": 20, **config})).optimizer
    assert expected.items() <= optimizer.defaults.items()


def test_torchvision_network_trains(tmp_path: Path) -> None:
    session = trained(tmp_path, network="resnet18", limit=16, batch_size=8, epochs=1, histograms=0)
    assert len(session.reports) == 1
    assert session.events().Tags()["graph"] is True


def test_event_file_has_what_the_tutorials_had(tmp_path: Path) -> None:
    events = trained(tmp_path).events()
    layers = ("conv1", "conv2", "fc1", "fc2", "out")
    tags = {f"{layer}.{kind}{grad}" for layer in layers for kind in ("weight", "bias") for grad in ("", ".grad")}
    assert set(events.Tags()["histograms"]) == tags
    assert (len(events.Images("images")), events.Tags()["graph"]) == (1, True)


def test_outside_a_sweep_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    train({**QUICK, "epochs": 1})
    assert re.match(r"loss=\S+  accuracy=\S+", capsys.readouterr().out)


def test_the_loop_is_the_recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the recorder owns the loop: build, step and loop are apart."""
    asked: list[int] = []

    def none(_: Recorder, count: int) -> list[int]:
        asked.append(count)
        return []

    monkeypatch.setattr(Recorder, "epochs", none)
    Training.build(Options(limit=20, epochs=3)).run()
    assert asked == [3]
