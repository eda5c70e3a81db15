"""raysweep.fit: the training loop that raysweep owns, which it can run for many trials at once."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import TensorDataset

from raysweep.errors import TrainableError
from raysweep.fusion.course import Course, Data, Loss
from raysweep.training.reporting import current_trial


def fit(  # noqa: PLR0913 - each is a keyword, and independent of the others
    network: nn.Module,
    *,
    optimizer: Optimizer,
    train: Data,
    epochs: int,
    batch_size: int,
    validation: Data | None = None,
    loss: Loss = functional.cross_entropy,
    schedule: LRScheduler | None = None,
    clip: float | None = None,
    shuffle: bool = True,
    histograms: int = 0,
    images: bool = True,
    graph: bool = True,
    checkpoint: bool = True,
    description: Mapping[str, object] | None = None,
) -> None:
    """Train a network for so many epochs, and report each; an interrupted trial goes on from its last checkpoint.

    It is the loop that one would write oneself, around a `Recorder`. In a sweep with `"fuse"` in its file, trials that
    call it with networks and data of equal shape are trained as one program.

    Reports `loss` (the mean over the training samples, while they are trained on), of classes `accuracy`, with
    validation samples `val_loss` and `val_accuracy`, and the recorder's times.

    Args:
        network: on the device that it is to be trained on.
        optimizer: of its parameters.
        train: inputs (N, ...) and targets (N, ...), two tensors; or a `torch.utils.data.Dataset` of such pairs, whose
            trials are trained one by one.
        epochs: how often it goes through `train`.
        batch_size: samples per step.
        validation: as `train`; evaluated after each epoch.
        loss: of predictions and targets the mean over the batch.
        schedule: a scheduler of the learning rate, which takes a step after each epoch.
        clip: the largest norm of the gradient; larger ones are scaled down to it.
        shuffle: whether the samples are in another order every epoch, the one that a shuffling DataLoader would draw.
        histograms: this and what follows goes to the `Recorder`: every how many epochs to write histograms.
        images: whether to show the first batch.
        graph: whether to show the network's graph.
        checkpoint: whether to save the state of every epoch.
        description: what to keep beside the weights, in network.json.

    Raises:
        TrainableError: the arguments do not belong together.
    """
    recording = {
        "histograms": histograms,
        "images": images,
        "graph": graph,
        "checkpoint": checkpoint,
        "description": description,
    }
    course = Course(
        network, optimizer, loss, _pair(train), None if validation is None else _pair(validation), epochs, batch_size,
        schedule, clip, shuffle, recording,
    )  # fmt: skip
    _check(course)
    trial = current_trial()
    if trial is None or trial.companions is None or not trial.companions.train(course):
        course.run()


def _pair(data: Data) -> Data:
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        return data.tensors[0], data.tensors[1]
    return data


def _check(course: Course) -> None:
    for name in ("epochs", "batch_size"):
        value = getattr(course, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise TrainableError(f"fit() takes a whole number of 1 or more as {name}; it was given {value!r}")
    for name in ("train", "validation"):
        data = getattr(course, name)
        if isinstance(data, tuple) and (len(data) != 2 or len(data[0]) != len(data[1]) or not len(data[0])):
            raise TrainableError(f"fit() takes inputs and targets as {name}, two tensors of equal length, not empty")
    if course.schedule is not None and course.schedule.optimizer is not course.optimizer:
        raise TrainableError("fit() was given a schedule that is another optimizer's")
