"""A program of several trainings has, for each, the numbers that it has alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau, StepLR

from raysweep.fusion.course import Course
from raysweep.fusion.likeness import alike, check, parts
from raysweep.fusion.program import Program
from raysweep.fusion.refusal import RefusedError

pytestmark = pytest.mark.usefixtures("one_thread")
EPOCHS, SAMPLES, BATCH = 10, 50, 10  # 50 steps
Builder = Callable[[], nn.Module]


def rows(classes: bool = True, seed: int = 0) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    inputs = torch.randn(SAMPLES, 6, generator=made, dtype=torch.float64)
    if classes:
        return inputs, torch.randint(4, (SAMPLES,), generator=made)
    return inputs, torch.randn(SAMPLES, 2, generator=made, dtype=torch.float64)


def images() -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, 2, 8, 8, generator=made, dtype=torch.float64), torch.randint(
        4, (SAMPLES,), generator=made
    )


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def courses(
    build: Builder,
    optimizers: Sequence[Callable[[Any], Optimizer]],
    schedule: Callable[[Optimizer], LRScheduler] | None = None,
    **options: Any,
) -> list[Course]:
    made = []
    for seed, optimizer in enumerate(optimizers):
        torch.manual_seed(seed)
        network = build().double()
        own = optimizer(network.parameters())
        given = {"train": rows(), "validation": None, "loss": functional.cross_entropy, "batch_size": BATCH} | options
        made.append(Course(network, own, epochs=EPOCHS, schedule=schedule(own) if schedule else None, **given))
    return made


def alone(given: Sequence[Course]) -> list[list[float]]:
    """The losses of each, and the validation's, of all epochs; trained one after another."""
    told = []
    for seed, course in enumerate(given):
        torch.manual_seed(100 + seed)
        losses = []
        for _ in range(course.epochs):
            course.network.train()
            total = 0.0
            for inputs, targets in course.batches(course.train, course.batch_size, course.shuffle):
                total += float(course.step(inputs, targets)[0].detach()) * len(inputs)
            metrics = course.validate()
            losses += [total / SAMPLES, *metrics.values()]
            course.advance(metrics.get("val_loss", total / SAMPLES))
        told.append(losses)
    return told


def together(given: Sequence[Course], stops: int | None = None) -> list[list[float]]:
    """The same, trained as one program; begun anew in the middle."""
    generators = [torch.Generator().manual_seed(100 + seed) for seed in range(len(given))]
    told: list[list[float]] = [[] for _ in given]
    program = Program(given, generators)
    for epoch in range(given[0].epochs):
        counted, metrics = program.epoch(), program.validate()
        program.store()
        for course, losses, one, also in zip(given, told, counted, metrics, strict=True):
            losses += [one.loss / one.samples, *also.values()]
            course.advance(also.get("val_loss", one.loss / one.samples))
        if epoch == stops:
            program = Program(given, generators)
    return told


def states(course: Course) -> list[dict[str, Any]]:
    """Of the optimizer, for each parameter."""
    return [course.optimizer.state[parameter] for parameter in course.trained()]


def assert_equal(given: list[Course], stops: int | None = None, within: float = 1e-10) -> None:
    assert parts(given)[0] == [list(range(len(given)))], parts(given)[1]
    others = copy.deepcopy(given)
    assert torch.allclose(torch.tensor(alone(others)), torch.tensor(together(given, stops)), rtol=within, atol=0)
    for course, other in zip(given, others, strict=True):
        for state, expected in (
            (course.network.state_dict(), other.network.state_dict()),
            *zip(states(course), states(other), strict=True),
        ):
            assert state.keys() == expected.keys()
            for name, value in expected.items():
                assert torch.allclose(state[name].double(), value.double(), rtol=within, atol=within), name


def made(kind: type[Optimizer], *options: dict[str, Any]) -> list[Callable[[Any], Optimizer]]:
    """An optimizer for each trial."""
    return [partial(kind, **one) for one in options]


OPTIMIZERS: dict[str, list[Callable[[Any], Optimizer]]] = {
    "sgd": made(SGD, {"lr": 0.1}, {"lr": 0.01, "weight_decay": 0.1}),
    "momentum": made(
        SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-3}, {"lr": 0.03, "momentum": 0.5}
    ),
    "nesterov": made(SGD, *({"lr": lr, "momentum": 10 * lr, "nesterov": True} for lr in (0.09, 0.03))),
    "adam": made(Adam, {"lr": 0.01}, {"lr": 0.03, "betas": (0.8, 0.99), "weight_decay": 0.1, "eps": 1e-6}),
    "amsgrad": made(Adam, {"lr": 0.01, "amsgrad": True}, {"lr": 0.03, "amsgrad": True, "foreach": False}),
    "adamw": made(AdamW, {"lr": 0.01, "weight_decay": 0.1}, {"lr": 0.03}, {"lr": 0.001, "weight_decay": 0.0}),
    "rmsprop": made(RMSprop, {"lr": 0.01}, {"lr": 0.003, "alpha": 0.9, "weight_decay": 0.1}),
    "centered": made(RMSprop, *({"lr": lr, "momentum": 90 * lr, "centered": True} for lr in (0.01, 0.003))),
    "adagrad": made(
        Adagrad, {"lr": 0.1}, {"lr": 0.03, "lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.1}
    ),
    "maximize": made(SGD, {"lr": 1e-3, "maximize": True}, {"lr": 1e-4, "maximize": True}),
}


@pytest.mark.parametrize("stops", [None, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_is_exact(name: str, stops: int | None) -> None:
    assert_equal(courses(linear, OPTIMIZERS[name], validation=rows(seed=1)), stops)


@pytest.mark.parametrize("schedule", [
    partial(StepLR, step_size=2, gamma=0.5), partial(CosineAnnealingLR, T_max=EPOCHS),
    partial(ReduceLROnPlateau, patience=0),
], ids=["step", "cosine", "plateau"])  # fmt: skip
def test_schedules_are_each_trials_own(schedule: Callable[[Optimizer], LRScheduler]) -> None:
    assert_equal(courses(linear, OPTIMIZERS["adam"], schedule))


def test_gradients_are_clipped_for_each_trial() -> None:
    given = courses(linear, OPTIMIZERS["momentum"], clip=0.1)
    given[1].clip = 0.02
    assert_equal(given)


class Branches(nn.Module):
    """A forward of one's own: shapes, slices, functions of torch, two ways that join, normalisation, a buffer."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm, self.last = nn.BatchNorm2d(4), nn.LayerNorm(64)
        self.out = nn.Linear(64, 4, bias=False)
        self.register_buffer("scale", torch.rand(1))

    def forward(self, images: Tensor) -> Tensor:
        first = functional.relu(self.norm(self.conv(images)))
        both = torch.cat([first + self.more(first), first], dim=1) * self.scale
        pooled = functional.max_pool2d(both[:, :4], 2)
        scores: Tensor = self.out(self.last(pooled.view(images.size(0), -1)))
        return scores


class Residual(nn.Module):
    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.inner, self.norm, self.drop = nn.Linear(6, 6, bias=False), nn.BatchNorm1d(6), nn.Dropout(dropout)
        self.out = nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.out(inputs + self.drop(torch.tanh(self.norm(self.inner(inputs)))))
        return scores


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(), nn.Linear(27, 8),
        nn.Dropout(0.5), nn.GELU(), nn.Linear(8, 4),
    )  # fmt: skip


@pytest.mark.parametrize("build", [Branches, lenet])
@pytest.mark.parametrize("shuffle", [True, False])
def test_images_are_exact(build: Builder, shuffle: bool) -> None:
    assert_equal(courses(build, OPTIMIZERS["adamw"], train=images(), validation=images(), shuffle=shuffle), stops=3)


def test_dropout_and_batch_statistics_are_each_trials_own() -> None:
    assert_equal(courses(Residual, OPTIMIZERS["adam"], validation=rows(seed=1)), stops=2)


def test_a_regression_with_a_loss_of_ones_own() -> None:
    def loss(predictions: Tensor, targets: Tensor) -> Tensor:
        return ((predictions[:, :2] - targets) ** 2).mean() + 0.1 * predictions.abs().mean()

    given = courses(linear, OPTIMIZERS["momentum"], loss=loss, train=rows(classes=False), validation=rows(False, 1))
    assert_equal(given, stops=1)


@dataclass(frozen=True)
class Scaled:
    """Makes inputs of what is stored."""

    by: float

    def __call__(self, inputs: Tensor) -> Tensor:
        return inputs * self.by


def test_inputs_are_made_batch_by_batch() -> None:
    given = courses(linear, OPTIMIZERS["adam"], validation=rows(seed=9), prepare=Scaled(0.5), loss=partial(loss, 0.5))
    given[1].prepare, given[1].loss = Scaled(0.5), partial(loss, 0.5)
    assert_equal(given)
    given[1].loss = partial(loss, 0.6)
    assert alike(*given) == "the loss"
    given[1].prepare = Scaled(0.6)
    assert alike(*given) == "how the inputs are made"


def loss(weight: float, scores: Any, labels: Any) -> Any:
    return functional.cross_entropy(scores, labels) * weight


def test_histograms_have_the_gradients_of_the_last_step() -> None:
    given = courses(linear, OPTIMIZERS["adam"], recording={"histograms": 1}, clip=0.5)
    other = courses(linear, OPTIMIZERS["adam"], clip=0.5)
    together(given)
    alone(other)
    for course, expected in zip(given, other, strict=True):
        for parameter, own in zip(course.trained(), expected.trained(), strict=True):
            assert parameter.grad is not None and own.grad is not None
            assert torch.allclose(parameter.grad, own.grad, rtol=1e-8)


def test_each_may_have_data_of_its_own() -> None:
    given = courses(linear, OPTIMIZERS["adam"], validation=rows(seed=9))
    given[1].train, given[1].validation = rows(seed=5), rows(seed=6)
    assert_equal(given)


def test_groups_of_parameters_and_frozen_ones() -> None:
    def build() -> nn.Module:
        network = linear()
        network[0].bias.requires_grad_(False)  # type: ignore[index]  # its first is a linear layer
        return network

    def optimizer(lr: float) -> Callable[[Any], Optimizer]:
        def make(parameters: Any) -> Optimizer:
            first, _, second, last = parameters
            return AdamW([{"params": [first], "lr": lr / 10}, {"params": [second, last], "weight_decay": 0.1}], lr=lr)

        return make

    assert_equal(courses(build, [optimizer(0.1), optimizer(0.01)]))


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
            self.second.weight = self.first.weight

        def forward(self, inputs: Tensor) -> Tensor:
            scores: Tensor = self.out(torch.sigmoid(self.second(torch.relu(self.first(inputs)))))
            return scores

    assert_equal(courses(Tied, OPTIMIZERS["sgd"]))


def test_one_that_diverges_takes_none_along() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4))

    given = courses(build, [lambda p: SGD(p, lr=1e200), lambda p: SGD(p, lr=0.01)])
    told = together(given)
    assert told[0][-1] != told[0][-1]
    other = courses(build, [lambda p: SGD(p, lr=0.1), lambda p: SGD(p, lr=0.01)])
    assert told[1] == pytest.approx(alone(other)[1], rel=1e-10)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 9), max_size=3),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.ELU]),
    more=st.sampled_from([nn.Identity, nn.Dropout, lambda: nn.Dropout(0.1), None]),
    name=st.sampled_from(sorted(set(OPTIMIZERS) - {"maximize"})),
    batch=st.sampled_from([8, 10, 13, 50]),
    clip=st.sampled_from([None, 0.5]),
)
def test_whatever_the_network(  # noqa: PLR0917 - what hypothesis draws
    sizes: list[int], activation: type[nn.Module], more: Builder | None, name: str, batch: int, clip: float | None
) -> None:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        before = 6
        for size in sizes:
            layers += [
                nn.Linear(before, size, bias=more is not None),
                more() if more else nn.BatchNorm1d(size),
                activation(),
            ]
            before = size
        return nn.Sequential(*layers, nn.Linear(before, 4))

    # a bias before batch statistics has a gradient of nothing but rounding, which optimizers scale up: it has none here
    assert_equal(courses(build, OPTIMIZERS[name], batch_size=batch, clip=clip), within=1e-10 if more else 1e-6)


def test_single_precision_differs_by_the_order_of_sums() -> None:
    """Over seeds the errors against float64 are those of the trial alone: neither larger nor to one side."""
    seeds = range(12)
    exact = courses(linear, [lambda p: SGD(p, lr=0.1, momentum=0.9)] * len(seeds))
    single, fused = copy.deepcopy(exact), copy.deepcopy(exact)
    for course in (*single, *fused):
        course.network.float()
        inputs, targets = course.train  # type: ignore[misc]  # a pair
        course.train = (inputs.float(), targets)
    truth = torch.tensor(alone(exact))[:, -1]
    errors = [(torch.tensor(told)[:, -1] - truth) / truth for told in (alone(single), together(fused))]
    assert errors[1].abs().max() < 1e-4
    assert errors[1].abs().mean() < 5 * errors[0].abs().mean() + 1e-6
    assert errors[1].mean().abs() < 3 * errors[1].std() + 1e-7


class Judging(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.out = how, nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:  # noqa: PLR0911 - one for each thing that cannot be done
        scores: Tensor = self.out(inputs)
        match self.how:
            case "branch":
                return scores * 2 if scores.mean() > 0 else scores
            case "item":
                return scores * scores.max().item()
            case "noise":
                return scores + torch.randn_like(scores)
            case "mask":
                return scores + scores[scores > 0].sum()
            case "numpy":
                return scores + torch.from_numpy(scores.detach().numpy())
            case "inside":
                made = torch.zeros(scores.shape, dtype=scores.dtype)
                made[:, :3] = scores[:, :3]
                return made
        return scores


@pytest.mark.parametrize("how", ["branch", "item", "noise", "mask", "numpy", "inside"])
def test_what_has_a_value_for_each_trial_is_refused(how: str) -> None:
    given = courses(lambda: Judging(how), OPTIMIZERS["sgd"])
    with pytest.raises(RefusedError, match=r"\w"):
        together(given)


def unlike(change: Callable[[Course], object]) -> list[Course]:
    given = courses(Residual, [lambda parameters: SGD([*parameters][:2])] * 2)
    change(given[1])
    return given


@pytest.mark.parametrize(("change", "told"), [
    (lambda c: setattr(c, "batch_size", 5), "batch_size"),
    (lambda c: setattr(c, "shuffle", False), "shuffle"),
    (lambda c: setattr(c, "clip", 1.0), "clip"),
    (lambda c: setattr(c, "loss", functional.mse_loss), "the loss"),
    (lambda c: setattr(c, "train", rows(classes=False)), "the shapes of the data"),
    (lambda c: setattr(c.network.drop, "p", 0.1), "the networks"),
    (lambda c: setattr(c.network.norm, "eps", 1e-3), "the networks"),
    (lambda c: setattr(c.network, "drop", nn.AlphaDropout(0.3)), "the networks"),
    (lambda c: setattr(c, "optimizer", Adam(c.network.parameters())), "the optimizers"),
    (lambda c: setattr(c, "optimizer", SGD(c.network.parameters(), momentum=0.9)), "the optimizers"),
])  # fmt: skip
def test_what_differs_is_told(change: Callable[[Course], object], told: str) -> None:
    first, second = unlike(change)
    assert alike(first, second) == told
    assert parts([first, second]) == ([], dict.fromkeys((0, 1), f"no other is like it: {told} differ"))


@pytest.mark.parametrize(("change", "told"), [
    (lambda c: setattr(c, "train", torch.utils.data.TensorDataset(rows()[0])), "pair of tensors"),
    (lambda c: setattr(c, "optimizer", NAdam(c.network.parameters())), "NAdam"),
    (lambda c: setattr(c, "optimizer", SGD([torch.zeros(1)])), "not the network's"),
    (lambda c: setattr(c, "optimizer", Adam(c.network.parameters(), lr=torch.tensor(0.1))), "is a tensor"),
    (lambda c: c.network.register_forward_hook(lambda *_: None), "hooks"),
    (lambda c: setattr(c, "network", nn.LSTM(6, 4)), "_flat_weights"),
    (lambda c: c.network.inner.float(), "several types"),
    (lambda c: c.optimizer.register_step_post_hook(lambda *_: None), "hooks"),
])  # fmt: skip
def test_what_cannot_be_stacked_is_told(change: Callable[[Course], object], told: str) -> None:
    given = unlike(change)
    check(given[0])
    with pytest.raises(RefusedError, match=told):
        check(given[1])


def test_a_parameter_without_a_gradient_is_refused() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle, self.out = nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            scores: Tensor = self.out(inputs)
            return scores

    with pytest.raises(RefusedError, match="no part in the loss"):
        together(courses(Idle, OPTIMIZERS["sgd"]))
