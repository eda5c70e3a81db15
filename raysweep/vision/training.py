"""One training, cut into what is built, one step, and the loop."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from raysweep.errors import TrainableError
from raysweep.recorder import Recorder
from raysweep.vision.data import DataSet
from raysweep.vision.description import Description
from raysweep.vision.networks import build
from raysweep.vision.options import Options, unknown

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
        return cls(options, data, description, network, make_optimizer(network, options), device, layout)

    def run(self) -> None:
        """Train for all epochs, or those that are left, and report each."""
        recorder = self._recorder()
        options = self.options
        loader = self.data.train.loader(options.batch_size, options.shuffle, options.num_workers)
        for _ in recorder.epochs(options.epochs):
            for images, labels in recorder.batches(loader):
                recorder.count(*self.step(images, labels))
            loss, accuracy = self.validate()
            recorder.metrics(val_loss=loss, val_accuracy=accuracy)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Train on one batch.

        Args:
            images: (N, C, H, W) float32, on any device.
            labels: (N,) int64.

        Returns:
            the mean loss, the scores (N, classes) and the labels, on the training's device.
        """
        labels = labels.to(self.device)
        scores = self._scores(images)
        loss = functional.cross_entropy(scores, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimizer.step()
        return loss, scores, labels

    def validate(self) -> tuple[float, float]:
        """Mean loss and accuracy over the validation samples; changes nothing, random states included."""
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with evaluating(self.network):
            for images, labels in self.data.validation.slices(VALIDATION_BATCH):
                expected = labels.to(self.device)
                scores = self._scores(images)
                loss += functional.cross_entropy(scores, expected, reduction="sum")
                correct += torch.eq(scores.argmax(dim=1), expected).sum()
        size = len(self.data.validation)
        return float(loss) / size, int(correct) / size

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images.to(self.device, memory_format=self.layout))
        return scores

    def _recorder(self) -> Recorder:
        return Recorder(
            self.network,
            optimizer=self.optimizer,
            histograms=self.options.histograms,
            images=self.options.images,
            graph=self.options.graph,
            description=self.description.to_json(),
        )


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


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainableError(
            'device is "cuda", but this trial sees no GPU: give trials one, "resources": {"gpu": 1}, '
            'or set device to "auto" or "cpu"'
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
