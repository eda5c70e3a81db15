"""raysweep.fit alone: the numbers of the loop that one would write, and a trial that goes on where it stopped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

import raysweep
from raysweep.errors import TrainableError
from tests.fake_session import FakeSession, without_times

pytestmark = pytest.mark.usefixtures("one_thread")
EPOCHS = 4


def data(count: int = 50) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, 8, 8, generator=made), torch.randint(3, (count,), generator=made)


class Parts:
    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.schedule = StepLR(self.optimizer, 2, 0.1)

    def fit(self, **changed: Any) -> nn.Module:
        given: dict[str, Any] = {
            "optimizer": self.optimizer, "train": data(), "validation": data(20), "epochs": EPOCHS, "batch_size": 16,
            "schedule": self.schedule, "clip": 1.0,
        }  # fmt: skip
        raysweep.fit(self.network, **given | changed)
        return self.network


def by_hand() -> tuple[list[list[float]], nn.Module]:
    parts, told = Parts(), []
    inputs, targets = data(20)
    for _ in range(EPOCHS):
        total = 0.0
        for images, labels in DataLoader(TensorDataset(*data()), batch_size=16, shuffle=True):
            loss = functional.cross_entropy(parts.network(images), labels)
            parts.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parts.network.parameters(), 1.0)
            parts.optimizer.step()
            total += loss.item() * len(images)
        parts.schedule.step()
        parts.network.eval()
        with torch.no_grad():
            scores = parts.network(inputs)
        parts.network.train()
        right = int((scores.argmax(1) == targets).sum())
        told.append([total / 50, float(functional.cross_entropy(scores, targets)), right / 20])
    return told, parts.network


def test_it_is_the_loop_that_one_would_write(session: FakeSession) -> None:
    with session.trial():
        network = Parts().fit()
    told, other = by_hand()
    assert [[r["loss"], r["val_loss"], r["val_accuracy"]] for r in session.reports] == [pytest.approx(e) for e in told]
    for name, value in other.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_a_trial_that_was_killed_goes_on_with_the_same_numbers(session: FakeSession, tmp_path_factory: Any) -> None:
    with session.trial():
        Parts().fit()
    other = FakeSession(tmp_path_factory.mktemp("killed"))
    with other.trial(dies_after=2):
        Parts().fit()
    with other.trial():
        Parts().fit()
    assert without_times(other.reports) == without_times(session.reports)
    assert len(other.reports) == EPOCHS


def test_a_data_set_is_taken_as_well(session: FakeSession) -> None:
    with session.trial():
        Parts().fit(train=torch.utils.data.Subset(TensorDataset(*data()), range(50)), validation=None)
    assert session.column("loss") == pytest.approx([row[0] for row in by_hand()[0]])


def test_a_plateau_is_told_of_the_validations_loss(session: FakeSession) -> None:
    parts = Parts()
    plateau = ReduceLROnPlateau(parts.optimizer, patience=0)
    with session.trial():
        parts.fit(schedule=plateau)
    assert plateau.best == pytest.approx(min(session.column("val_loss")), rel=1e-3)


def test_outside_a_sweep_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    Parts().fit(epochs=1)
    assert "val_accuracy=" in capsys.readouterr().out


@pytest.mark.parametrize(("changed", "told"), [
    ({"epochs": 0}, "as epochs; it was given 0"),
    ({"batch_size": 2.5}, "as batch_size; it was given 2.5"),
    ({"train": (data()[0], data(20)[1])}, "as train, two tensors of equal length"),
    ({"validation": (data()[0][:0], data()[1][:0])}, "as validation, two tensors"),
    ({"schedule": StepLR(torch.optim.SGD([torch.zeros(1)]), 1)}, "another optimizer's"),
])  # fmt: skip
def test_what_cannot_be_trained_is_told(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainableError, match=told):
        Parts().fit(**changed)
