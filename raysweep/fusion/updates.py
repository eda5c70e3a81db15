"""The steps of torch's optimizers for K trials at once, each with hyper-parameters of its own.

The formulas, and the order of their operations, are those of torch.optim's `_single_tensor_*` functions. Parameters of
a group lie in one tensor (K, P), so a step takes a handful of operations however many layers there are; factors that
differ between trials are (K, 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

Group = Mapping[str, Any]  # one of an optimizer's param_groups: its hyper-parameters


class Update(ABC):
    """The step of one kind of optimizer.

    Args:
        groups: the hyper-parameters of each trial; those in `switches` are equal in all of them.
        like: (K, P), the parameters.

    Attributes:
        states: by the names that the optimizer's own state has; (K, P).
        done: how many steps each trial has taken, (K, 1) float64.
        switches: the hyper-parameters that change the formula.
    """

    switches: ClassVar[tuple[str, ...]] = ("maximize",)

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        self._groups, self._like = groups, like
        self.states = {name: torch.zeros_like(like) for name in self.names(groups[0])}
        self._room = torch.empty_like(like)  # new memory for each result would take longer than to compute it
        self.done = torch.zeros(len(groups), 1, dtype=torch.float64, device=like.device)

    @staticmethod
    @abstractmethod
    def names(group: Group) -> list[str]:
        """The names of its states."""

    @abstractmethod
    def plan(self, count: int) -> None:
        """Make the factors of the next so many steps, with the hyper-parameters that the trials have now."""

    @abstractmethod
    def apply(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """Take the step `index` of those that are planned; the gradient, and `self._room`, may be overwritten."""

    def step(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """Take the step `index` of those that are planned; the gradient may be overwritten."""
        self.apply(parameters, gradient.neg_() if self._groups[0].get("maximize") else gradient, index)
        self.done += 1

    def _each(self, name: str, index: int | None = None) -> Tensor:
        """A hyper-parameter of each trial, (K, 1) float64."""
        values = [float(group[name] if index is None else group[name][index]) for group in self._groups]
        return torch.tensor(values, dtype=torch.float64, device=self._like.device).unsqueeze(1)

    def _factor(self, values: Tensor) -> Tensor:
        """What the parameters are computed with."""
        return values.to(self._like.dtype)

    def _coming(self, count: int) -> Tensor:
        """The numbers of the next steps, from 1; (count, K, 1)."""
        return self.done + torch.arange(1, count + 1, dtype=torch.float64, device=self.done.device).view(-1, 1, 1)

    def _product(self, values: Tensor, factor: Tensor) -> Tensor:
        return torch.mul(values, factor, out=self._room)

    def _decayed(self, parameters: Tensor, gradient: Tensor, decay: Tensor) -> Tensor:
        """With what weight decay adds, where any trial has it."""
        return gradient.addcmul_(parameters, decay) if self._decays else gradient

    @property
    def _decays(self) -> bool:
        return any(group["weight_decay"] for group in self._groups)


class Momentum(Update):
    """SGD."""

    switches = ("maximize", "nesterov", "momentum?")  # with "?": whether it is 0

    @staticmethod
    def names(group: Group) -> list[str]:
        """See `Update.names`."""
        return ["momentum_buffer"] if group["momentum"] else []

    def plan(self, count: int) -> None:
        """See `Update.plan`."""
        self._lr, self._decay = self._factor(-self._each("lr")), self._factor(self._each("weight_decay"))
        self._momentum = self._factor(self._each("momentum"))
        damping = self._each("dampening")
        self._fresh = self._factor(torch.where(self._coming(count) == 1, 1.0, 1 - damping)) if damping.any() else None

    def apply(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """See `Update.apply`."""
        gradient = self._decayed(parameters, gradient, self._decay)
        if self.states:
            buffer = self.states["momentum_buffer"].mul_(self._momentum)
            buffer.add_(gradient if self._fresh is None else self._product(gradient, self._fresh[index]))
            gradient = gradient.addcmul_(buffer, self._momentum) if self._groups[0]["nesterov"] else buffer
        parameters.addcmul_(gradient, self._lr)


class Moments(Update):
    """Adam and AdamW."""

    switches = ("maximize", "amsgrad", "decoupled_weight_decay")

    @staticmethod
    def names(group: Group) -> list[str]:
        """See `Update.names`."""
        return ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]

    def plan(self, count: int) -> None:
        """See `Update.plan`."""
        lr, first, second = self._each("lr"), self._each("betas", 0), self._each("betas", 1)
        coming, decay = self._coming(count), self._each("weight_decay")
        self._kept, self._added = self._factor(second), self._factor(1 - second)
        self._pull, self._eps = self._factor(1 - first), self._factor(self._each("eps"))
        self._size = self._factor(-lr / (1 - first**coming))
        self._root = self._factor((1 - second**coming).sqrt())
        self._decay, self._shrunk = self._factor(decay), self._factor(1 - lr * decay)

    def apply(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """See `Update.apply`."""
        if not self._groups[0]["decoupled_weight_decay"]:
            gradient = self._decayed(parameters, gradient, self._decay)
        elif self._decays:
            parameters.mul_(self._shrunk)
        mean = self.states["exp_avg"].lerp_(gradient, self._pull)
        square = self.states["exp_avg_sq"].mul_(self._kept).addcmul_(self._product(gradient, self._added), gradient)
        if self._groups[0]["amsgrad"]:
            largest = self.states["max_exp_avg_sq"]
            square = torch.maximum(largest, square, out=largest)
        size = torch.mul(mean, self._size[index], out=gradient)
        parameters.addcdiv_(size, torch.sqrt(square, out=self._room).div_(self._root[index]).add_(self._eps))


class Squares(Update):
    """RMSprop."""

    switches = ("maximize", "centered", "momentum?")

    @staticmethod
    def names(group: Group) -> list[str]:
        """See `Update.names`."""
        more = {"momentum_buffer": group["momentum"], "grad_avg": group["centered"]}
        return ["square_avg", *(name for name, is_there in more.items() if is_there)]

    def plan(self, count: int) -> None:
        """See `Update.plan`."""
        kept = self._each("alpha")
        self._kept, self._added, self._eps = self._factor(kept), self._factor(1 - kept), self._factor(self._each("eps"))
        self._lr, self._decay = self._factor(-self._each("lr")), self._factor(self._each("weight_decay"))
        self._momentum = self._factor(self._each("momentum"))

    def apply(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """See `Update.apply`."""
        gradient = self._decayed(parameters, gradient, self._decay)
        square = self.states["square_avg"].mul_(self._kept).addcmul_(self._product(gradient, self._added), gradient)
        if self._groups[0]["centered"]:
            mean = self.states["grad_avg"].lerp_(gradient, self._added)
            square = torch.addcmul(square, mean, mean, value=-1, out=self._room)
        step = gradient.div_(torch.sqrt(square, out=self._room).add_(self._eps))
        if self._groups[0]["momentum"]:
            step = self.states["momentum_buffer"].mul_(self._momentum).add_(step)
        parameters.addcmul_(step, self._lr)


class Sums(Update):
    """Adagrad."""

    @staticmethod
    def names(group: Group) -> list[str]:
        """See `Update.names`."""
        return ["sum"]

    def plan(self, count: int) -> None:
        """See `Update.plan`."""
        rates = self._each("lr") / (1 + (self._coming(count) - 1) * self._each("lr_decay"))
        self._size, self._eps = self._factor(-rates), self._factor(self._each("eps"))
        self._decay = self._factor(self._each("weight_decay"))

    def apply(self, parameters: Tensor, gradient: Tensor, index: int) -> None:
        """See `Update.apply`."""
        gradient = self._decayed(parameters, gradient, self._decay)
        total = self.states["sum"].addcmul_(gradient, gradient)
        parameters.addcdiv_(gradient.mul_(self._size[index]), torch.sqrt(total, out=self._room).add_(self._eps))


UPDATES: dict[type[Optimizer], type[Update]] = {
    SGD: Momentum,
    Adam: Moments,
    AdamW: Moments,
    RMSprop: Squares,
    Adagrad: Sums,
}
