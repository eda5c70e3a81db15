"""A tensor of each of K trials as one: a network's own forward, called once with such tensors, computes all trials.

A `Stack` looks like the tensor of one trial: it has its shape, and torch's functions take it. Behind it is one tensor
with all trials in it. What is written in `operations` is computed by hand, a linear layer by one batched product and a
convolution by one grouped one; all else goes through `torch.vmap`, function by function. What needs a Python value of a
tensor (`item()`, `if`, `float()`) has one for each trial, and is refused; so is what draws random numbers, but dropout,
which draws from each trial's own generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from raysweep.fusion.refusal import RefusedError

Operation = Callable[..., Any]  # as torch's function of that name; NotImplemented where it does not know the case

BY_HAND: dict[Any, Operation] = {}  # filled by `operations`
# What is told of one trial's tensor without looking into it.
_SHAPE: frozenset[Any] = frozenset({
    Tensor.size, Tensor.dim, Tensor.numel, Tensor.__len__, Tensor.is_floating_point, Tensor.is_complex,
    Tensor.shape.__get__, Tensor.ndim.__get__, Tensor.dtype.__get__, Tensor.device.__get__,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__, Tensor.layout.__get__, Tensor.requires_grad.__get__,  # type: ignore[attr-defined]
    Tensor.is_sparse.__get__, Tensor.is_nested.__get__, Tensor.is_quantized.__get__,  # type: ignore[attr-defined]
    Tensor.get_device, Tensor.__hash__,
})  # fmt: skip
_VALUES: frozenset[Any] = frozenset({
    Tensor.item, Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.tolist, Tensor.numpy,
    Tensor.__contains__, Tensor.__array__, Tensor.__complex__,
})  # fmt: skip


class Stack(Tensor):
    """One tensor of each of K trials.

    Attributes:
        whole: (K, *shape), or of images (B, K * C, H, W) where `is_wide`: what grouped convolutions take and give.
        size_of_group: K.
        is_wide: see `whole`.
        generators: of the trials, which dropout draws from; None where nothing may be drawn.
    """

    whole: Tensor
    size_of_group: int
    is_wide: bool
    generators: Sequence[torch.Generator] | None

    @staticmethod
    def of(
        whole: Tensor, size: int, is_wide: bool = False, generators: Sequence[torch.Generator] | None = None
    ) -> Stack:
        """The stack that a tensor holds; see the attributes."""
        shape = (whole.shape[0], whole.shape[1] // size, *whole.shape[2:]) if is_wide else whole.shape[1:]
        made: Stack = Tensor._make_wrapper_subclass(Stack, shape, dtype=whole.dtype, device=whole.device)
        made.whole, made.size_of_group, made.is_wide, made.generators = whole, size, is_wide, generators
        return made

    def like(self, whole: Tensor, is_wide: bool = False) -> Stack:
        """What has been computed of this one."""
        return Stack.of(whole, self.size_of_group, is_wide, self.generators)

    @property
    def by_trial(self) -> Tensor:
        """All of it as (K, *shape)."""
        if not self.is_wide:
            return self.whole
        batch, _, height, width = self.whole.shape
        return self.whole.reshape(batch, self.size_of_group, -1, height, width).transpose(0, 1)

    @property
    def wide(self) -> Tensor:
        """All images, (K, B, C, H, W), as (B, K * C, H, W), the channels last on a CPU: convolutions are faster so."""
        if self.is_wide:
            return self.whole
        _, batch, _, height, width = self.whole.shape
        layout = torch.contiguous_format if self.whole.is_cuda else torch.channels_last
        return self.whole.transpose(0, 1).reshape(batch, -1, height, width).contiguous(memory_format=layout)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What torch calls instead of any function of its own that is given a stack."""
        options = kwargs or {}
        if (operation := BY_HAND.get(func)) is not None:
            result = operation(*args, **options)
            if result is not NotImplemented:
                return result
        if func in _SHAPE:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **options)
        if func in _VALUES:
            raise RefusedError(f"the network takes a Python value of a tensor ({_name(func)})")
        return _mapped(func, args, options)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # torch's own is no method
        """What torch calls where it would look behind a stack, at the memory that one trial's tensor would have.

        Raises:
            RefusedError: always; there is none.
        """
        raise RefusedError(f"{_name(func)} is no function of tensors of several trials")


def _mapped(func: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """A function of torch, mapped over the trials."""
    leaves, structure = pytree.tree_flatten((args, options))
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, Stack)]
    first: Stack = leaves[places[0]]

    def call(*tensors: Tensor) -> Any:
        for index, tensor in zip(places, tensors, strict=True):
            leaves[index] = tensor
        given, named = pytree.tree_unflatten(leaves, structure)
        return func(*given, **named)

    stacks = [leaves[index].by_trial for index in places]
    try:
        made = torch.vmap(call, randomness="error")(*stacks)
    except (RuntimeError, ValueError) as error:
        raise RefusedError(f"{_name(func)}: {str(error).strip().partition(chr(10))[0]}") from None
    return pytree.tree_map(lambda value: first.like(value) if isinstance(value, Tensor) else value, made)


def _name(func: Any) -> str:
    return str(getattr(func, "__name__", func))
