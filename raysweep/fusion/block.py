"""The parameters of one group of an optimizer, of K trials, in one tensor; and how they come there and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from raysweep.fusion.refusal import RefusedError
from raysweep.fusion.updates import UPDATES, Update


class Block:
    """Parameters (K, P) that one group of each trial's optimizer has.

    Args:
        optimizers: one for each trial, alike.
        index: which of their groups.

    Attributes:
        leaves: of each parameter, (K, *shape), a part of the block that gradients are made for.
        values: the block.
        update: its optimizer.
        last: the gradients of the last step, where they are kept.
    """

    def __init__(self, optimizers: Sequence[Optimizer], index: int) -> None:
        self._optimizers, self._index = optimizers, index
        self._own: list[list[Tensor]] = [optimizer.param_groups[index]["params"] for optimizer in optimizers]
        flat = [torch.cat([parameter.detach().reshape(-1) for parameter in own]) for own in self._own]
        self.values = torch.stack(flat)
        sizes = [parameter.numel() for parameter in self._own[0]]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        self._spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self.leaves = [view.detach().requires_grad_() for view in self._views(self.values)]
        self._gradient = torch.empty_like(self.values)
        self._parts = self._views(self._gradient)
        self.last: Tensor | None = None
        self.update: Update = UPDATES[type(optimizers[0])](
            [optimizer.param_groups[index] for optimizer in optimizers], self.values
        )
        self._load()

    def _views(self, block: Tensor) -> list[Tensor]:
        """Of (K, P) each parameter's part, (K, *shape)."""
        shapes = [parameter.shape for parameter in self._own[0]]
        pairs = zip(self._spans, shapes, strict=True)
        return [block[:, start:end].view(len(block), *shape) for (start, end), shape in pairs]

    def gathered(self, gradients: Iterator[Tensor]) -> Tensor:
        """The next gradients, one of each leaf, as (K, P); valid until the next call."""
        for part in self._parts:
            part.copy_(next(gradients))
        return self._gradient

    @torch.no_grad()
    def _load(self) -> None:
        """Take up the states of the trials' optimizers."""
        views = {name: self._views(state) for name, state in self.update.states.items()}
        for trial, (optimizer, own) in enumerate(zip(self._optimizers, self._own, strict=True)):
            states = [optimizer.state.get(parameter, {}) for parameter in own]
            for place, state in enumerate(states):
                for name, parts in views.items():
                    if state.get(name) is not None:
                        parts[place][trial].copy_(state[name])
            steps = {float(state.get("step", state.get("momentum_buffer") is not None)) for state in states}
            if len(steps) > 1:
                raise RefusedError("the optimizer has taken more steps with some parameters than with others")
            self.update.done[trial] = steps.pop()

    @torch.no_grad()
    def store(self) -> None:
        """Bring parameters and states back to each trial's own network and optimizer."""
        values = self._views(self.values)
        gradients = [] if self.last is None else self._views(self.last)
        views = {name: self._views(state) for name, state in self.update.states.items()}
        done = self.update.done.flatten().tolist()
        for trial, (optimizer, own) in enumerate(zip(self._optimizers, self._own, strict=True)):
            for place, parameter in enumerate(own):
                parameter.copy_(values[place][trial])
                if gradients:
                    parameter.grad = gradients[place][trial].clone()
                if views and done[trial]:
                    state = optimizer.state[parameter]
                    for name, parts in views.items():
                        state[name] = parts[place][trial].clone()
                    if "momentum_buffer" not in views or len(views) > 1:
                        state["step"] = self._step(parameter, done[trial])

    def _step(self, parameter: Tensor, done: float) -> Tensor:
        group = self._optimizers[0].param_groups[self._index]
        is_there = group.get("capturable") or group.get("fused")
        return torch.tensor(done, device=parameter.device if is_there else "cpu")
