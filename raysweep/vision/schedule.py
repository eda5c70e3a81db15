"""The learning rate over a training: a function of the step, so that there is nothing to save."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.optim import Optimizer

from raysweep.vision.options import Options

PEAK, RISE, FALL = 0.3, 25.0, 1e4  # one-cycle's, as torch.optim.lr_scheduler.OneCycleLR has them


@dataclass(frozen=True)
class Schedule:
    """What the optimizer's learning rates are multiplied by, step by step.

    Attributes:
        options: of the training: which schedule it is, how many epochs there are and how many of them warm up.
        steps: in an epoch.
        rates: the optimizer's, of each of its groups.
    """

    options: Options
    steps: int
    rates: tuple[float, ...]

    @classmethod
    def of(cls, options: Options, steps: int, optimizer: Optimizer) -> Schedule | None:
        """The schedule that `options` ask for; None where the learning rate stays as it is."""
        if options.schedule_name == "none" and not options.warmup:
            return None
        return cls(options, steps, tuple(group["lr"] for group in optimizer.param_groups))

    def set(self, optimizer: Optimizer, step: int) -> float:
        """Give the optimizer the learning rates of a step; returns the first."""
        factor = self.factor(step)
        for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        return float(optimizer.param_groups[0]["lr"])

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by in a step, the first of which is 0.

        Linear warm-up ends at 1 (Goyal et al. 2017, arXiv:1706.02677). What follows is half a cosine down to 0
        (Loshchilov and Hutter 2017, arXiv:1608.03983), a drop by `factor` every so many epochs, or one cycle
        (Smith and Topin 2018, arXiv:1708.07120).
        """
        warming, total = self.options.warmup * self.steps, self.options.epochs * self.steps
        if step < warming:
            return (step + 1) / (math.floor(warming) + 1)
        done = (step - warming) / max(total - warming, 1)
        arguments = self.options.schedule_arguments
        if self.options.schedule_name == "cosine":
            return _between(1.0, 0.0, done)
        if self.options.schedule_name == "step":
            return float(arguments["factor"] ** (step // self.steps // arguments["every"]))
        if self.options.schedule_name == "one-cycle":
            return _one_cycle(step, total)
        return 1.0


def _one_cycle(step: int, total: int) -> float:
    """From 1/25 up to 1, and down to 1/250,000 in the last step."""
    top = PEAK * total - 1
    if step < top:
        return _between(1 / RISE, 1.0, step / top)
    return _between(1.0, 1 / RISE / FALL, (step - top) / max(total - 1 - top, 1))


def _between(start: float, end: float, done: float) -> float:
    """On half a cosine from `start` to `end`, how far it has come."""
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
