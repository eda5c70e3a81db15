"""Before a group is trained, its first step is taken alone as well: what that finds, and that it changes nothing."""

from __future__ import annotations

import copy
import random
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import StepLR

from raysweep.fusion.refusal import RefusedError
from raysweep.fusion.rehearsal import rehearse
from raysweep.fusion.stack import Stack
from tests.fusion.test_program import OPTIMIZERS, Builder, Residual, courses, linear

pytestmark = pytest.mark.usefixtures("one_thread")


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


class Drawing(nn.Module):
    """Draws from a generator that no trial has for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.out(inputs) * random.random()
        return scores


@pytest.mark.parametrize("build", [linear, Residual])
def test_it_says_what_is_gained_and_changes_nothing(build: Builder) -> None:
    def loss(scores: Any, labels: Any) -> Any:
        if not isinstance(scores, Stack):
            time.sleep(0.2)  # so that the machine's other work does not decide
        return functional.cross_entropy(scores, labels)

    given = courses(build, OPTIMIZERS["adamw"], lambda own: StepLR(own, 1), loss=loss)
    own = generators(3)
    before = [copy.deepcopy((c.network.state_dict(), c.optimizer.state_dict())) for c in given]
    states = [*(generator.get_state() for generator in own), torch.get_rng_state()]
    gain = rehearse(given, own, timed=True)
    assert gain is not None and gain > 1
    assert rehearse(given, own, timed=False) is None
    for course, (weights, state) in zip(given, before, strict=True):
        assert all(torch.equal(value, weights[name]) for name, value in course.network.state_dict().items())
        assert course.optimizer.state_dict() == state
    assert all(
        torch.equal(a, b) for a, b in zip(states, [*(g.get_state() for g in own), torch.get_rng_state()], strict=True)
    )


def test_what_no_look_at_a_network_tells_is_found() -> None:
    with pytest.raises(RefusedError, match="does not come to the same"):
        rehearse(courses(Drawing, OPTIMIZERS["sgd"]), generators(2), timed=False)


def test_what_is_slower_as_one_program_is_left_alone() -> None:
    def loss(scores: Any, labels: Any) -> Any:
        if isinstance(scores, Stack):
            time.sleep(0.2)
        return functional.cross_entropy(scores, labels)

    given = courses(linear, OPTIMIZERS["sgd"], loss=loss)
    assert rehearse(given, generators(2), timed=False) is None
    with pytest.raises(RefusedError, match="one program of 2 trials is slower"):
        rehearse(given, generators(2), timed=True)
