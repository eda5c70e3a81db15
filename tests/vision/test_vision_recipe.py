"""How people train today: schedules, augmentation, precision, averages. Each is what its literature or torch says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

from raysweep.training.recorder import Recorder
from raysweep.vision import train
from raysweep.vision.augment import augmented
from raysweep.vision.average import Average
from raysweep.vision.networks import LeNet
from raysweep.vision.options import Options
from raysweep.vision.schedule import Schedule
from raysweep.vision.sources import source
from raysweep.vision.training import Training
from tests.fake_session import FakeSession, without_times

QUICK: dict[str, Any] = {"limit": 120, "batch_size": 32, "epochs": 2}


def trained(folder: Path, **config: Any) -> FakeSession:
    session = FakeSession(folder)
    with session.trial():
        train({**QUICK, **config})
    return session


def weights(session: FakeSession) -> dict[str, Tensor]:
    loaded: dict[str, Tensor] = torch.load(session.checkpoints[-1] / "weights.pt", weights_only=True)
    return loaded


def test_without_options_the_weights_are_those_of_a_plain_loop_bit_by_bit(tmp_path: Path) -> None:
    (images, labels), _, _ = source("digits", Path("nowhere"))
    torch.manual_seed(3)
    network = LeNet(1, (28, 28), 10)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(images[:120], labels[:120]), batch_size=32, shuffle=True)
    for _ in range(2):
        for batch, targets in loader:
            loss = cross_entropy(network(batch), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
    ours = weights(trained(tmp_path, seed=3))
    assert ours.keys() == network.state_dict().keys()
    assert all(torch.equal(value, ours[name]) for name, value in network.state_dict().items())


STEPS, EPOCHS = 7, 6
TORCHS: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, STEPS * EPOCHS),
    "one-cycle": lambda optimizer: OneCycleLR(optimizer, 0.5, total_steps=STEPS * EPOCHS, cycle_momentum=False),
    "step": lambda optimizer: StepLR(optimizer, 2 * STEPS, 0.3),
}


def rates(**options: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = Schedule.of(Options.of({"epochs": EPOCHS, **options}), STEPS, optimizer)
    assert schedule is not None
    return [schedule.set(optimizer, step) for step in range(STEPS * EPOCHS)]


@pytest.mark.parametrize("name", TORCHS)
def test_a_schedule_is_torchs(name: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = TORCHS[name](optimizer)
    expected = []
    for _ in range(STEPS * EPOCHS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    group = {"name": "step", "every": 2, "factor": 0.3} if name == "step" else name
    assert rates(schedule=group) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", ["none", "cosine", "step"])
def test_the_rate_rises_to_its_own_value_and_then_the_schedule_takes_over(schedule: str) -> None:
    rising, after = rates(schedule=schedule, warmup=1.5)[:11], rates(schedule=schedule, warmup=1.5)[11:]
    assert rising == pytest.approx([0.5 * (step + 1) / 11 for step in range(11)])
    assert after[0] == pytest.approx(0.5, rel=1e-2)
    assert after == sorted(after, reverse=True)


def test_the_rate_is_reported_where_it_changes(tmp_path: Path) -> None:
    assert "learning_rate" not in trained(tmp_path / "none").reports[0]
    reported = trained(tmp_path / "step", schedule={"name": "step", "every": 1}).column("learning_rate")
    assert reported == pytest.approx([0.01, 0.001])


@given(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_an_augmented_image_is_the_image_flipped_and_moved(
    count: int, channels: int, height: int, width: int, seed: int
) -> None:
    images = torch.arange(1.0, count * channels * height * width + 1).reshape(count, channels, height, width)
    for one, flipped in zip(images, augmented(images, "flip", seed, 0), strict=True):
        assert torch.equal(flipped, one) or torch.equal(flipped, one.flip(2))
    down, right = max(1, height // 8), max(1, width // 8)
    for one, moved in zip(images, augmented(images, "crop-flip", seed, 0), strict=True):
        padded = [nn.functional.pad(kind, (right, right, down, down)) for kind in (one, one.flip(2))]
        windows = [
            whole[:, top : top + height, left : left + width]
            for whole in padded
            for top in range(2 * down + 1)
            for left in range(2 * right + 1)
        ]
        assert any(torch.equal(moved, window) for window in windows)


def test_augmentation_draws_by_seed_and_step_and_from_nobody_else() -> None:
    images = torch.rand(64, 3, 32, 32)
    before = torch.get_rng_state()
    first, again, other_step, other_seed = (
        augmented(images, "crop-flip", seed, step) for seed, step in ((1, 1), (1, 1), (1, 2), (2, 1))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other_step)
    assert not torch.equal(first, other_seed)
    layout = images.contiguous(memory_format=torch.channels_last)
    moved = augmented(layout, "crop-flip", 1, 1)
    assert torch.equal(moved, first)
    assert moved.is_contiguous(memory_format=torch.channels_last)


def test_augmenting_leaves_the_order_of_the_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Tensor] = []
    step = Training.step

    def watched(self: Training, images: Tensor, labels: Tensor, at: int) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(images)
        return step(self, images, labels, at)

    monkeypatch.setattr(Training, "step", watched)
    for how in ("none", "flip"):
        trained(tmp_path / how, augment=how)
    half = len(seen) // 2
    assert all(torch.equal(one, other) for one, other in zip(seen[:half], seen[half:], strict=True))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_train_and_their_weights_have_32(precision: str, tmp_path: Path) -> None:
    half = trained(tmp_path / "half", precision=precision, epochs=4)
    full = trained(tmp_path / "full", epochs=4)
    assert half.column("loss") != full.column("loss")
    assert half.column("val_loss") == pytest.approx(full.column("val_loss"), rel=0.2)
    assert {value.dtype for value in weights(half).values()} == {torch.float32}
    saved = torch.load(half.checkpoints[-1] / "training.pt", weights_only=True)
    assert ("scaler" in saved) == (precision == "fp16")


def test_label_smoothing_is_in_training_only(tmp_path: Path) -> None:
    training = Training.build(Options.of({**QUICK, "label_smoothing": 0.2}))
    images, labels = next(training.data.train.slices(32))
    scores = training.network(images)
    loss, _, _ = training.step(images, labels)
    assert loss.item() == pytest.approx(cross_entropy(scores, labels, label_smoothing=0.2).item())
    plain = Training.build(Options.of(QUICK))
    plain.network.load_state_dict(training.network.state_dict())
    assert training.validate() == plain.validate()


def test_an_average_is_the_recurrence_that_it_is_said_to_be() -> None:
    linear, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    network = nn.Sequential(linear, norm)
    average = Average(network, 0.4)
    expected = linear.weight.detach().clone()
    for step in range(8):
        network(torch.rand(4, 2))
        with torch.no_grad():
            linear.weight.add_(torch.rand(2, 2))
        average.update(network, step)
        kept = min(0.4, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * linear.weight.detach()
    averaged = average.network.state_dict()
    assert torch.allclose(averaged["0.weight"], expected)
    assert torch.equal(averaged["1.running_mean"], network.state_dict()["1.running_mean"])


def test_what_is_validated_and_kept_is_the_average(tmp_path: Path) -> None:
    training = Training.build(Options.of({**QUICK, "ema": 0.99}))
    session = FakeSession(tmp_path)
    with session.trial():
        training.run()
    kept = weights(session)
    assert all(torch.equal(value, kept[name]) for name, value in training.kept.state_dict().items())
    assert not torch.equal(kept["out.weight"], training.network.state_dict()["out.weight"])
    assert session.column("val_loss")[-1] == training.validate()[0]
    plain = trained(tmp_path / "plain")
    assert session.column("loss") == plain.column("loss")  # the training is the same


@pytest.mark.slow
def test_a_compiled_network_has_the_names_and_nearly_the_numbers_of_another(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", optimizer="sgd")
    compiled = trained(tmp_path / "compiled", optimizer="sgd", compile=True, ema=0.0)
    assert weights(compiled).keys() == weights(plain).keys()
    assert compiled.column("val_loss") == pytest.approx(plain.column("val_loss"), rel=1e-3)


def test_without_a_compiler_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(Exception, match=r"compile needs a C\+\+ compiler, and there is none here: install g\+\+"):
        train({**QUICK, "compile": True})


def test_a_recorder_saves_what_else_there_is(tmp_path: Path) -> None:
    session, ends = FakeSession(tmp_path), []
    for dies_after in (1, 0):
        network, other = nn.Linear(2, 2), nn.Linear(1, 1)
        recorder = Recorder(network, state={"other": other}, graph=False, histograms=0)
        with session.trial(dies_after):
            for epoch in recorder.epochs(2):
                with torch.no_grad():
                    other.weight += epoch
                ends.append(other.weight.item())
                recorder.count(0.0, size=1)
    assert ends[1] == pytest.approx(ends[0] + 2)
    with pytest.raises(Exception, match="the recorder's state cannot be called 'epoch', which it uses itself"):
        Recorder(nn.Linear(1, 1), state={"epoch": nn.Linear(1, 1)})
    assert len(without_times(session.reports)) == 2
