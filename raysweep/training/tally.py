"""What a Recorder adds up in an epoch: the loss, and how many samples were predicted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.errors import TrainableError


@dataclass
class Tally:
    """What count() adds up in one epoch, as tensors on the network's device."""

    loss: Tensor | float = 0.0  # summed over samples, float64
    correct: Tensor | int = 0
    classified: int = 0  # samples that came with predictions
    samples: int = 0

    def metrics(self) -> dict[str, float]:
        """The means per sample, of what was counted."""
        values = {"loss": float(self.loss) / self.samples} if self.samples else {}
        if self.classified:
            values["accuracy"] = int(self.correct) / self.classified
        return values

    def speed(self, seconds: float) -> dict[str, float]:
        """Training samples per second of the whole epoch, what was validated in it included."""
        return {"samples_per_second": self.samples / seconds} if self.samples and seconds > 0 else {}


def mean(loss: Tensor | float) -> Tensor | float:
    """The loss in float64, as `.item()` would give it, but still on its device."""
    if not isinstance(loss, Tensor):
        return float(loss)
    if loss.numel() != 1:
        raise TrainableError(
            f"count() takes the batch's mean loss, one number; it was given a tensor of shape "
            f"{tuple(loss.shape)}: use reduction='mean', or loss.mean()"
        )
    return loss.detach().reshape(()).double()


def samples_of(targets: Tensor | None, size: int | None) -> int:
    """How many samples a batch without predictions has.

    Raises:
        TrainableError: nothing tells.
    """
    if size is not None:
        return size
    if targets is None:
        raise TrainableError("count(loss) cannot know how many samples the batch has: add size=len(batch)")
    return len(targets)


def correct(predictions: Tensor, targets: Tensor | None) -> Tensor:
    """How many are predicted, of scores (N, classes) and classes (N,).

    Raises:
        TrainableError: the shapes are not these.
    """
    shape = None if targets is None else tuple(targets.shape)
    if predictions.ndim != 2 or predictions.shape[1] < 2 or targets is None or shape != predictions.shape[:1]:
        raise TrainableError(
            "count() takes predictions of shape (N, classes) and targets of shape (N,); it was given "
            f"{tuple(predictions.shape)} and {shape}. Without classes, use count(loss, size=N)"
        )
    return torch.eq(predictions.detach().argmax(dim=1), targets).sum()
