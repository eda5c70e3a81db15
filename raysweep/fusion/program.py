"""Trainings that are alike as one program: one step trains all of them on a batch of each one's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from raysweep.fusion import operations  # noqa: F401 - what it computes by hand it enters into stack.BY_HAND
from raysweep.fusion.block import Block
from raysweep.fusion.course import VALIDATION_BATCH, Course, Pair, classified, order_of
from raysweep.fusion.likeness import same_data
from raysweep.fusion.refusal import RefusedError
from raysweep.fusion.stack import Stack


@dataclass
class Counted:
    """What an epoch has come to for one trial; `correct` is None where there are no classes."""

    loss: float
    correct: int | None
    samples: int


class Program:
    """K trainings as one.

    Args:
        courses: alike, as `likeness` says.
        generators: each training's own, whose states are where its own would be; they are drawn from.

    Raises:
        RefusedError: they cannot be one program.
    """

    def __init__(self, courses: Sequence[Course], generators: Sequence[torch.Generator]) -> None:
        self._courses, self._generators = courses, generators
        self._first = courses[0]
        self._device = self._first.device
        groups = range(len(self._first.optimizer.param_groups))
        self._blocks = [Block([course.optimizer for course in courses], index) for index in groups]
        self._buffers: list[tuple[str, str, list[Tensor]]] = []
        self._network = self._stacked()
        self._train = _Samples([cast(Pair, course.train) for course in courses], self._first)
        validation = [course.validation for course in courses if isinstance(course.validation, tuple)]
        self._validation = _Samples(validation, self._first) if validation else None

    def _stack(self, whole: Tensor) -> Stack:
        return Stack.of(whole, len(self._courses), generators=self._generators)

    def _stacked(self) -> nn.Module:
        """A copy of the first network, with stacks of all trials' tensors in it."""
        trained = {
            id(parameter): leaf
            for group, block in zip(self._first.optimizer.param_groups, self._blocks, strict=True)
            for parameter, leaf in zip(group["params"], block.leaves, strict=True)
        }
        template = copy.deepcopy(self._first.network)
        networks = [dict(course.network.named_modules()) for course in self._courses]
        made: dict[int, Stack] = {}
        for name, module in template.named_modules():
            own = [network[name] for network in networks]
            for kind in ("_parameters", "_buffers"):
                for key, tensor in getattr(own[0], kind).items():
                    if tensor is None:
                        continue
                    if id(tensor) not in made:
                        alone = [getattr(one, kind)[key].detach() for one in own]
                        leaf = trained.get(id(tensor))
                        made[id(tensor)] = self._stack(torch.stack(alone) if leaf is None else leaf)
                        if kind == "_buffers":
                            self._buffers.append((name, key, alone))
                    getattr(module, kind)[key] = made[id(tensor)]
        return template

    def first_step(self) -> Callable[[], Tensor]:
        """What takes a step of all on each one's first batch, however often it is called, and returns the losses (K,).

        Raises:
            RefusedError: when it is called; see `epoch`.
        """
        self._network.train()
        chosen = self._orders(self._train.count)[:, : self._first.batch_size]
        batch = self._train.chosen(chosen, self._stack)

        def step() -> Tensor:
            for block in self._blocks:
                block.update.plan(1)
            return self._step(*batch, 0)[0]

        return step

    def epoch(self) -> list[Counted]:
        """Train all for one epoch; returns what each has come to.

        Raises:
            RefusedError: something in the network, or in the loss, cannot be computed for all at once.
        """
        self._network.train()
        size, count = self._first.batch_size, self._train.count
        steps = -(-count // size)
        for block in self._blocks:
            block.update.plan(steps)
        orders = self._orders(count)
        losses, correct = [], []
        for index in range(steps):
            chosen = orders[:, index * size : (index + 1) * size]
            keeps = self._has_histograms and index == steps - 1
            loss, right = self._step(*self._train.chosen(chosen, self._stack), index, keeps)
            losses.append(loss.double() * chosen.shape[1])
            correct.append(right)
        return self._counted(losses, correct, count)

    def _orders(self, count: int) -> Tensor:
        if not self._first.shuffle:
            return torch.arange(count, device=self._device).expand(len(self._courses), count)
        return torch.stack([order_of(count, generator) for generator in self._generators]).to(self._device)

    @property
    def _has_histograms(self) -> bool:
        return any(course.recording.get("histograms") for course in self._courses)

    def _step(self, inputs: Any, targets: Any, index: int, keeps: bool = False) -> tuple[Tensor, Tensor | None]:
        loss, right = self._evaluated(inputs, targets)
        leaves = [leaf for block in self._blocks for leaf in block.leaves]
        gradients = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            raise RefusedError("a parameter takes no part in the loss")
        with torch.no_grad():
            rest = iter(gradients)
            flat = [block.gathered(rest) for block in self._blocks]
            for block, gradient in zip(self._blocks, self._clipped(flat), strict=True):
                block.last = gradient.clone() if keeps else None
                block.update.step(block.values, gradient, index)
        return loss.detach(), right

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        """Each trial's gradients, scaled down to its own norm; as `torch.nn.utils.clip_grad_norm_`."""
        if self._first.clip is None:
            return gradients
        norms = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients]), dim=0)
        most = torch.tensor([course.clip for course in self._courses], dtype=norms.dtype, device=norms.device)
        factor = (most / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1)
        return [gradient.mul_(factor) for gradient in gradients]

    def _evaluated(self, inputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """The mean loss of each trial's batch, (K,), and how many of it are right where there are classes."""
        predictions = self._network(inputs)
        loss = self._first.loss(predictions, targets)
        if not isinstance(loss, Stack) or loss.dim() != 0:
            raise RefusedError("the loss is not one number for each trial")
        if not isinstance(predictions, Stack) or not classified(predictions, targets):
            return loss.whole, None
        labels = targets.by_trial if isinstance(targets, Stack) else targets
        return loss.whole, torch.eq(predictions.by_trial.detach().max(dim=2).indices, labels).sum(dim=1)

    def _counted(self, losses: Sequence[Tensor], correct: Sequence[Tensor | None], samples: int) -> list[Counted]:
        totals = torch.stack([*losses]).sum(dim=0).tolist()
        known = [right for right in correct if right is not None]
        rights = torch.stack(known).sum(dim=0).tolist() if known else [None] * len(totals)
        return [Counted(total, right, samples) for total, right in zip(totals, rights, strict=True)]

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """As `Course.validate`, of each training."""
        if self._validation is None:
            return [{} for _ in self._courses]
        self._network.eval()
        losses, correct = [], []
        for start in range(0, self._validation.count, VALIDATION_BATCH):
            inputs, targets = self._validation.part(slice(start, start + VALIDATION_BATCH), self._stack)
            loss, right = self._evaluated(inputs, targets)
            losses.append(loss.double() * min(VALIDATION_BATCH, self._validation.count - start))
            correct.append(right)
        return [
            {"val_loss": one.loss / one.samples}
            | ({} if one.correct is None else {"val_accuracy": one.correct / one.samples})
            for one in self._counted(losses, correct, self._validation.count)
        ]

    @torch.no_grad()
    def store(self) -> None:
        """Bring what was learned back to each training's own network and optimizer."""
        for block in self._blocks:
            block.store()
        modules = dict(self._network.named_modules())
        for name, key, own in self._buffers:
            stack = cast(Stack, getattr(modules[name], key))  # the network may have put another in its place
            for mine, value in zip(own, stack.by_trial, strict=True):
                mine.copy_(value)


class _Samples:
    """The data of all trainings: once where all have the same, which then are in memory once as well."""

    def __init__(self, pairs: Sequence[Pair], course: Course) -> None:
        self._prepare = course.prepare or (lambda inputs: inputs)
        self._is_shared = same_data(pairs)
        parts = pairs[0] if self._is_shared else tuple(torch.stack(part) for part in zip(*pairs, strict=True))
        self._inputs, self._targets = (part.to(course.device) for part in parts)
        self.count = len(pairs[0][0])

    def chosen(self, indices: Tensor, stack: Any) -> tuple[Stack, Stack]:
        """A batch of each training's own: indices (K, B)."""
        if not self._is_shared:
            rows = torch.arange(len(indices), device=indices.device).unsqueeze(1)
            return stack(self._prepare(self._inputs[rows, indices])), stack(self._targets[rows, indices])
        return stack(self._prepare(self._inputs[indices])), stack(self._targets[indices])

    def part(self, rows: slice, stack: Any) -> tuple[Any, Any]:
        """The same samples of each."""
        if self._is_shared:
            return self._prepare(self._inputs[rows]), self._targets[rows]
        return stack(self._prepare(self._inputs[:, rows])), stack(self._targets[:, rows])
