"""One training as `raysweep.fit` is given it: what is trained on what, and the ordinary loop that does it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset

from raysweep.training.recorder import Recorder

Loss = Callable[[Any, Any], Any]  # (predictions, targets) -> the mean over the batch, one element
Pair = tuple[Tensor, Tensor]  # inputs (N, ...) and targets (N, ...)
Data = Pair | Dataset[Any]
VALIDATION_BATCH = 1000  # samples; numbers do not depend on it


@dataclass
class Course:
    """One training; the attributes are the arguments of `raysweep.fit`.

    But for `recording`, what its Recorder is made with, and `prepare`, what makes inputs of the stored ones: of any
    number of batches at once, (..., B, *shape).
    """

    network: nn.Module
    optimizer: Optimizer
    loss: Loss
    train: Data
    validation: Data | None
    epochs: int
    batch_size: int
    schedule: LRScheduler | None = None
    clip: float | None = None
    shuffle: bool = True
    recording: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Tensor], Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    def recorder(self) -> Recorder:
        """What keeps the books of it."""
        return Recorder(self.network, optimizer=self.optimizer, scheduler=self.schedule, **self.recording)

    def run(self) -> None:
        """Train it alone: the loop that one would write oneself."""
        recorder = self.recorder()
        for _ in recorder.epochs(self.epochs):
            self.network.train()
            for inputs, targets in recorder.batches(self.batches(self.train, self.batch_size, self.shuffle)):
                recorder.count(*self.step(inputs, targets), size=len(inputs))
            metrics = self.validate()
            recorder.metrics(**metrics)
            self.advance(metrics.get("val_loss", recorder.loss))

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Train on one batch; returns what `Recorder.count` takes."""
        predictions = self.network(inputs)
        loss = self.loss(predictions, targets)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.trained(), self.clip)
        self.optimizer.step()
        return (loss, predictions, targets) if classified(predictions, targets) else (loss, None, None)

    def trained(self) -> list[Tensor]:
        """The parameters that the optimizer has."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss, and of classes the accuracy, over the validation samples."""
        if self.validation is None:
            return {}
        self.network.eval()
        total, correct, samples, has_classes = 0.0, 0, 0, False
        for inputs, targets in self.batches(self.validation, VALIDATION_BATCH, shuffle=False):
            predictions = self.network(inputs)
            total += float(self.loss(predictions, targets)) * len(inputs)
            samples += len(inputs)
            if has_classes := classified(predictions, targets):
                correct += int(torch.eq(predictions.argmax(dim=1), targets).sum())
        return {"val_loss": total / samples, **({"val_accuracy": correct / samples} if has_classes else {})}

    def advance(self, loss: float) -> None:
        """Let the schedule take its step of an epoch, a plateau's by the validation's loss, or else the training's."""
        with warnings.catch_warnings():  # it has not seen the optimizer's steps, which a program takes in its place
            warnings.filterwarnings("ignore", "(Detected call of `lr_scheduler|Seems like `optimizer)")
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(loss)
            elif self.schedule is not None:
                self.schedule.step()

    def batches(self, data: Data, size: int, shuffle: bool) -> Iterator[Pair]:
        """Data in batches of such a size, where the network is."""
        device = self.device
        if not isinstance(data, tuple):
            for inputs, targets in DataLoader(data, batch_size=size, shuffle=shuffle):
                yield inputs.to(device), targets.to(device)
            return
        count = len(data[0])
        order = order_of(count, None) if shuffle else None
        for start in range(0, count, size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            yield self.taken(data, chosen)

    def taken(self, data: Pair, chosen: Tensor | slice) -> Pair:
        """Some samples, prepared, where the network is."""
        inputs, targets = (part[chosen] for part in data)
        ready = inputs if self.prepare is None else self.prepare(inputs)
        return ready.to(self.device), targets.to(self.device)


def classified(predictions: Any, targets: Any) -> bool:
    """Whether targets are classes and predictions their scores, so that there is an accuracy."""
    whole = not (targets.is_floating_point() or targets.is_complex())
    return whole and predictions.dim() == 2 and targets.dim() == 1 and predictions.shape[1] > 1


def order_of(count: int, generator: torch.Generator | None) -> Tensor:
    """A random order of so many samples: the one that a shuffling DataLoader would draw from this generator.

    Args:
        count: how many.
        generator: None for torch's own.
    """
    drawn = torch.empty((), dtype=torch.int64)
    drawn.random_(generator=generator)  # the seed of a DataLoader's workers, which it draws first
    drawn.random_(generator=generator)
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(drawn)))


def first_batch(course: Course, state: Tensor) -> Tensor:
    """Which samples a training's first batch has, where its generator has this state."""
    assert isinstance(course.train, tuple)  # of others nobody knows it
    count = len(course.train[0])
    order = order_of(count, torch.Generator().set_state(state)) if course.shuffle else torch.arange(count)
    return order[: course.batch_size]
