"""One training, cut into what is built, one step, and the loop."""

from __future__ import annotations

import inspect
import math
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from raysweep.errors import TrainableError
from raysweep.fusion.course import Course
from raysweep.training.recorder import Recorder, Stateful
from raysweep.training.reporting import current_trial
from raysweep.vision.augment import augmented
from raysweep.vision.average import Average
from raysweep.vision.data import DataSet
from raysweep.vision.description import Description
from raysweep.vision.networks import build
from raysweep.vision.options import Options, unknown
from raysweep.vision.precision import Precision
from raysweep.vision.schedule import Schedule

VALIDATION_BATCH = 250  # as fast as 1,000 on one core, and 50 MB less in each process; numbers do not depend on it
UNFIT = ("LBFGS", "Muon", "SparseAdam")  # they want a closure, matrices only, sparse gradients


@dataclass(frozen=True)
class Training:
    """A network, its data and its optimizer, ready to be trained."""

    options: Options
    data: DataSet
    description: Description
    network: nn.Module
    optimizer: Optimizer
    device: torch.device
    layout: torch.memory_format  # of the images, and of the network's weights
    precision: Precision
    schedule: Schedule | None
    average: Average | None

    @classmethod
    def build(cls, options: Options) -> Training:
        """Seed all generators, and make the parts in the order in which a plain script would.

        Raises:
            TrainableError: a part cannot be made as `options` ask for it.
        """
        device = _device(options.device)
        data = DataSet.load(options)
        description = Description.of(options, data)
        seed_all(options.seed)
        layout = torch.channels_last if options.channels_last else torch.preserve_format
        network = build(description, options.pretrained).to(device).to(memory_format=layout)
        average = Average(network, options.ema) if options.ema else None
        if options.compile:
            _compile(network, *([average.network] if average else []))
        optimizer = make_optimizer(network, options)
        schedule = Schedule.of(options, math.ceil(len(data.train) / options.batch_size), optimizer)
        precision = Precision.of(options.precision, device)
        return cls(options, data, description, network, optimizer, device, layout, precision, schedule, average)

    @property
    def kept(self) -> nn.Module:
        """The network that is validated, and that the checkpoints hold: the trained one, or its average."""
        return self.network if self.average is None else self.average.network

    def run(self) -> None:
        """Train for all epochs, or those that are left, and report each."""
        if self._trained_together():
            return
        recorder = self._recorder()
        options = self.options
        loader = self.data.train.loader(options.batch_size, options.shuffle, options.num_workers)
        for epoch in recorder.epochs(options.epochs):
            for step, (images, labels) in enumerate(recorder.batches(loader), (epoch - 1) * len(loader)):
                recorder.count(*self.step(images, labels, step))
            loss, accuracy = self.validate()
            recorder.metrics(val_loss=loss, val_accuracy=accuracy)
            if self.schedule is not None:
                recorder.metrics(learning_rate=self.optimizer.param_groups[0]["lr"])

    def _trained_together(self) -> bool:
        """Train with others as one program, where that is asked for and comes to the same."""
        trial, options = current_trial(), self.options
        if trial is None or trial.companions is None:
            return False
        train, validation = self.data.train.stored, self.data.validation.stored
        changes = (options.augment != "none", options.precision != "float32", options.compile, options.num_workers)
        if any((*changes, self.average, self.schedule)) or train is None or validation is None:
            return False
        loss = partial(functional.cross_entropy, label_smoothing=options.label_smoothing)
        course = Course(
            self.network,
            self.optimizer,
            loss,
            train,
            validation,
            options.epochs,
            options.batch_size,
            shuffle=options.shuffle,
            recording=self._recording(),
            prepare=self.data.train.prepare,
        )
        return trial.companions.train(course)

    def step(self, images: Tensor, labels: Tensor, step: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Train on one batch.

        Args:
            images: (N, C, H, W) float32, on any device.
            labels: (N,) int64.
            step: which of the training's this is, from 0: the learning rate and random changes depend on it.

        Returns:
            the mean loss, the scores (N, classes) and the labels, on the training's device.
        """
        labels = labels.to(self.device)
        if self.schedule is not None:
            self.schedule.set(self.optimizer, step)
        images = augmented(self._placed(images), self.options.augment, self.options.seed, step)
        with self.precision.autocast():
            scores = self.network(images)
            loss = functional.cross_entropy(scores, labels, label_smoothing=self.options.label_smoothing)
        self.precision.descend(loss, self.optimizer)
        if self.average is not None:
            self.average.update(self.network, step)
        return loss, scores, labels

    def validate(self) -> tuple[float, float]:
        """Mean loss and accuracy over the validation samples; changes nothing, random states included."""
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with evaluating(self.kept), self.precision.autocast():
            for images, labels in self.data.validation.slices(VALIDATION_BATCH):
                expected = labels.to(self.device)
                scores = self.kept(self._placed(images))
                loss += functional.cross_entropy(scores, expected, reduction="sum")
                correct += torch.eq(scores.argmax(dim=1), expected).sum()
        size = len(self.data.validation)
        return float(loss) / size, int(correct) / size

    def _placed(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=self.layout)

    def _recorder(self) -> Recorder:
        state: dict[str, Stateful] = {} if self.average is None else {"trained": self.network}
        if self.precision.scaler is not None:
            state["scaler"] = self.precision.scaler
        return Recorder(self.kept, optimizer=self.optimizer, state=state, **self._recording())

    def _recording(self) -> dict[str, Any]:
        """What is recorded."""
        return {
            "histograms": self.options.histograms,
            "images": self.options.images,
            "graph": self.options.graph,
            "description": self.description.to_json(),
        }


def seed_all(seed: int) -> None:
    """Seed the generators of Python, numpy and torch, CUDA's included."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within the block the network is in evaluation mode and no gradients are made."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def make_optimizer(network: nn.Module, options: Options) -> Optimizer:
    """The optimizer that `options` ask for, over all parameters.

    Raises:
        TrainableError: torch.optim has none of this name, or it does not take an argument or its value.
    """
    known = {
        name.lower(): made
        for name, made in vars(torch.optim).items()
        if isinstance(made, type) and made is not Optimizer and name not in UNFIT
    }
    name = options.optimizer_name.lower()
    if name not in known:
        raise unknown("optimizer", options.optimizer_name, known)
    takes = set(inspect.signature(known[name]).parameters) - {"params"}
    arguments = {
        key: value
        for key, value in options.optimizer_arguments.items()
        if key in takes or key not in ("weight_decay", "momentum") or value  # 0 is what it does without
    }
    for key in arguments:
        if key not in takes:
            raise unknown(f"argument of optimizer {name!r}:", key, takes)
    try:
        made: Optimizer = known[name](network.parameters(), **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainableError(f"optimizer {name!r} cannot be made of {arguments}: {error}") from error
    return made


def _compile(*networks: nn.Module) -> None:
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise TrainableError(
            "compile needs a C++ compiler, and there is none here: install g++, or set compile to false"
        )
    for network in networks:
        network.compile()  # in place: its weights keep their names


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainableError(
            'device is "cuda", but this trial sees no GPU: give trials one, "resources": {"gpu": 1}, '
            'or set device to "auto" or "cpu"'
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
