"""The recorder's books equal a plain loop's, and keeping them changes nothing."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from raysweep.errors import TrainableError
from raysweep.training.randomness import random_states, set_random_states
from raysweep.training.recorder import Recorder
from raysweep.training.summaries import histograms, image_grid
from tests.fake_session import FakeSession, without_times

EPOCHS = 4
pytestmark = pytest.mark.usefixtures("one_thread")


class Net(nn.Module):
    """Has all that tracing could disturb: dropout, batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(4 * 6 * 6, 3)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.out(self.drop(self.norm(self.conv(images))).flatten(1))
        return scores


class Parts:
    """What a script makes before its loop: 50 samples in batches of 16, the last one of 2."""

    def __init__(self, network: type[nn.Module] = Net) -> None:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        self.network = network()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=1, gamma=0.5)
        made = torch.Generator().manual_seed(1)
        images = torch.rand(50, 1, 8, 8, generator=made)
        labels = torch.randint(3, (50,), generator=made)
        self.loader = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        predictions = self.network(images)
        loss = functional.cross_entropy(predictions, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss, predictions


def plain() -> tuple[list[tuple[float, float]], dict[str, Tensor]]:
    parts = Parts()
    rows = []
    for _ in range(EPOCHS):
        total, correct = 0.0, 0
        for images, labels in parts.loader:
            loss, predictions = parts.step(images, labels)
            total += loss.item() * len(labels)
            correct += int((predictions.argmax(1) == labels).sum())
        parts.scheduler.step()
        rows.append((total / 50, correct / 50))
    return rows, parts.network.state_dict()


def recorded(network: type[nn.Module] = Net, **options: Any) -> nn.Module:
    parts = Parts(network)
    recorder = Recorder(parts.network, optimizer=parts.optimizer, scheduler=parts.scheduler, **options)
    for _ in recorder.epochs(EPOCHS):
        for images, labels in recorder.batches(parts.loader):
            loss, predictions = parts.step(images, labels)
            recorder.count(loss, predictions, labels)
        parts.scheduler.step()
        recorder.metrics(noise=random.random() + np.random.rand())  # draws from the other generators
    return parts.network


def test_numbers_equal_the_plain_loops(session: FakeSession) -> None:
    with session.trial():
        network = recorded()
    rows, weights = plain()
    assert list(zip(session.column("loss"), session.column("accuracy"), strict=True)) == [
        (pytest.approx(loss, abs=1e-12), accuracy) for loss, accuracy in rows
    ]
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_times_are_seconds_and_add_up(session: FakeSession) -> None:
    with session.trial():
        recorded()
    durations, runs = session.column("epoch_duration"), session.column("run_duration")
    assert all(0 < duration < 10 for duration in durations)
    assert runs == sorted(runs)
    assert runs[-1] >= sum(durations)
    for speed, duration in zip(session.column("samples_per_second"), durations, strict=True):
        assert speed == pytest.approx(50 / duration)


@pytest.mark.parametrize("stop", [1, 3])
def test_interrupted_trial_goes_on_to_the_same_numbers(stop: int, tmp_path: Path) -> None:
    whole = FakeSession(tmp_path / "whole")
    with whole.trial():
        uninterrupted = recorded()
    session = FakeSession(tmp_path / "cut")
    with session.trial(dies_after=stop):
        recorded()
    assert len(session.reports) == stop
    torch.rand(7), random.random(), np.random.rand()  # a new process's generators are elsewhere
    with session.trial():
        resumed = recorded()
    assert without_times(session.reports) == without_times(whole.reports)
    pairs = zip(resumed.state_dict().values(), uninterrupted.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert session.column("run_duration") == sorted(session.column("run_duration"))


def test_finished_trial_has_no_epoch_left(session: FakeSession) -> None:
    with session.trial():
        recorded()
    with session.trial():
        recorded()
    assert len(session.reports) == EPOCHS


def test_checkpoint_is_loadable_without_trust(session: FakeSession) -> None:
    with session.trial():
        network = recorded(description={"network": "net", "size": (8, 8)})
    last = session.checkpoints[-1]
    assert sorted(path.name for path in last.iterdir()) == ["network.json", "training.pt", "weights.pt"]
    weights = torch.load(last / "weights.pt", weights_only=True)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in weights.items())
    training = torch.load(last / "training.pt", weights_only=True)
    assert training["epoch"] == EPOCHS
    assert {"optimizer", "scheduler", "random"} < set(training)
    assert json.loads((last / "network.json").read_text())["size"] == [8, 8]


def test_checkpoints_can_be_turned_off(session: FakeSession) -> None:
    with session.trial():
        recorded(checkpoint=False)
    assert len(session.reports) == EPOCHS
    assert not session.checkpoints


def test_histograms_images_and_graph_are_in_the_event_file(session: FakeSession) -> None:
    with session.trial():
        network = recorded()
    events = session.events()
    names = [name for name, _ in network.named_parameters()]
    assert sorted(events.Tags()["histograms"]) == sorted(names + [f"{name}.grad" for name in names])
    series = events.Histograms("conv.weight")
    assert [point.step for point in series] == [1, 2, 3, 4]
    last = network.state_dict()["conv.weight"].double()
    assert series[-1].histogram_value.num == last.numel() == sum(series[-1].histogram_value.bucket)
    assert series[-1].histogram_value.sum == pytest.approx(float(last.sum()))
    assert series[-1].histogram_value.min == pytest.approx(float(last.min()))
    (grid,) = events.Images("images")
    assert (grid.step, grid.width, grid.height) == (0, 8 * 10, 2 * 10)  # 16 images, 8 a row, each with a frame
    nodes = [node.name for node in events.Graph().node]
    assert any("Conv2d[conv]" in name for name in nodes), nodes
    assert events.Tags()["scalars"] == []  # scalars are written where reports arrive


def test_resumed_trial_is_not_drawn_again(session: FakeSession) -> None:
    with session.trial(dies_after=2):
        recorded()
    with session.trial():
        recorded()
    assert len(session.events().Images("images")) == 1
    assert [point.step for point in session.events().Histograms("conv.weight")] == [1, 2, 3, 4]


@pytest.mark.parametrize(("histograms", "steps"), [(False, []), (0, []), (True, [1, 2, 3, 4]), (2, [2, 4]), (3, [3])])
def test_histograms_can_be_thinned(histograms: int, steps: list[int], session: FakeSession) -> None:
    with session.trial():
        recorded(histograms=histograms)
    tags = session.events().Tags()["histograms"]
    assert bool(tags) == bool(steps)
    assert not steps or [point.step for point in session.events().Histograms("conv.weight")] == steps


def test_images_and_graph_can_be_turned_off(session: FakeSession) -> None:
    with session.trial():
        recorded(images=False, graph=False)
    tags = session.events().Tags()
    assert tags["images"] == []
    assert tags["graph"] is False


class Untraceable(Net):
    def forward(self, images: Tensor) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise ValueError("this network\ncannot be traced")
        return super().forward(images)


def test_network_that_cannot_be_traced_is_trained_all_the_same(
    session: FakeSession, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with session.trial():
        recorded(Untraceable)
    assert len(session.reports) == EPOCHS
    assert session.events().Tags()["graph"] is False
    assert caplog.messages == ["no graph of Untraceable, it cannot be traced: this network"]
    assert capsys.readouterr().out == ""


def test_outside_a_sweep_it_prints_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == EPOCHS
    assert lines[0].startswith("loss=")
    assert list(tmp_path.iterdir()) == []


def test_batches_are_the_loaders_own_and_no_more() -> None:
    batches = [(torch.rand(2, 3), torch.tensor([0, 1])) for _ in range(3)]
    drawn = []

    def loader() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            drawn.append(batch)
            yield batch

    recorder = Recorder(nn.Linear(3, 2))
    assert all(got is batch for got, batch in zip(recorder.batches(loader()), batches, strict=True))
    assert len(drawn) == 3


def test_regression_has_a_loss_and_no_accuracy(session: FakeSession) -> None:
    recorder = Recorder(nn.Linear(1, 1), checkpoint=False)
    with session.trial():
        for _ in recorder.epochs(1):
            recorder.count(torch.tensor(1.0), size=3)
            recorder.count(5.0, targets=torch.zeros(1, 1))
    assert session.reports[0]["loss"] == 2.0
    assert "accuracy" not in session.reports[0]


def test_an_epoch_left_with_break_is_not_reported(session: FakeSession) -> None:
    recorder = Recorder(nn.Linear(1, 1), checkpoint=False)
    with session.trial():
        for epoch in recorder.epochs(9):
            recorder.count(1.0, size=1)
            if epoch == 3:
                break
    assert len(session.reports) == 2


def test_own_metrics_belong_to_one_epoch_and_come_first(session: FakeSession) -> None:
    recorder = Recorder(nn.Linear(1, 1), checkpoint=False)
    with session.trial():
        for epoch in recorder.epochs(2):
            recorder.count(1.0, size=1)
            if epoch == 1:
                recorder.metrics(loss=torch.tensor(7.0), val_loss=math.nan)
    assert session.column("loss") == [7.0, 1.0]
    assert math.isnan(session.reports[0]["val_loss"])
    assert "val_loss" not in session.reports[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2),), r"mean loss, one number; it was given a tensor of shape \(2,\)"),
        ((torch.tensor(1.0), torch.ones(4), torch.ones(4)), r"was given \(4,\) and \(4,\)"),
        ((torch.tensor(1.0), torch.ones(4, 1), torch.ones(4)), r"was given \(4, 1\)"),
        ((torch.tensor(1.0), torch.ones(4, 2), torch.ones(3)), r"\(4, 2\) and \(3,\)"),
        ((torch.tensor(1.0), torch.ones(4, 2)), r"\(4, 2\) and None"),
        ((torch.tensor(1.0),), r"add size=len\(batch\)"),
    ],
)
def test_count_refuses_other_shapes(arguments: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(TrainableError, match=message):
        Recorder(nn.Linear(1, 1)).count(*arguments)


def test_description_must_be_json() -> None:
    with pytest.raises(TrainableError, match=r"cannot be written as JSON.*Linear"):
        Recorder(nn.Linear(1, 1), description={"network": nn.Linear(1, 1)})


def test_foreign_checkpoint_is_refused(session: FakeSession, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    session.reports.append({"run_duration": 1.0})
    session.checkpoints.append(tmp_path / "foreign")
    with session.trial(), pytest.raises(TrainableError, match=r"has no training\.pt"):
        recorded()


def test_histograms_of_a_network_that_diverged() -> None:
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[math.nan, 1e30]]))
        network.bias.fill_(math.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (only,) = histograms(network).value
    assert (only.tag, only.histo.num) == ("weight", 1)


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 8, 8), (0, 1, 8, 8)])
def test_no_grid_of_what_are_no_images(shape: tuple[int, ...]) -> None:
    assert image_grid(torch.zeros(shape)) is None


@pytest.mark.parametrize("images", [torch.randn(4, 3, 8, 8), torch.full((4, 1, 8, 8), 7, dtype=torch.uint8)])
def test_grid_of_normalised_and_of_byte_images(images: Tensor) -> None:
    grid = image_grid(images)
    assert grid is not None
    assert grid.value[0].image.width == 4 * 10


def test_random_states_come_back_also_from_checkpoints_of_earlier_versions() -> None:
    random.seed(7)
    random.gauss()
    states = random_states()
    version, words, normal = states["python"].values()
    old = {**states, "python": (version, tuple(words.tolist()), normal)}
    expected = [random.gauss(), random.random(), np.random.rand(), float(torch.rand(1))]
    for saved in (states, old):
        set_random_states(saved)
        assert [random.gauss(), random.random(), np.random.rand(), float(torch.rand(1))] == expected
