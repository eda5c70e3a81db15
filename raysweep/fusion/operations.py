"""Functions of torch on stacks, computed by hand where one call serves all trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raysweep.fusion.refusal import RefusedError
from raysweep.fusion.stack import BY_HAND, Operation, Stack


def by_hand(*functions: Any) -> Callable[[Operation], Operation]:
    """Compute these functions so."""

    def take(operation: Operation) -> Operation:
        BY_HAND.update(dict.fromkeys(functions, operation))
        return operation

    return take


def _element_by_element(function: Any) -> None:
    def operation(inputs: Stack, *args: Any, **options: Any) -> Any:
        if not isinstance(inputs, Stack) or any(isinstance(value, Stack) for value in (*args, *options.values())):
            return NotImplemented
        return inputs.like(function(inputs.whole, *args, **options), inputs.is_wide)

    BY_HAND[function] = operation


for _name in ("relu", "leaky_relu", "elu", "gelu", "silu", "hardswish", "softplus", "hardtanh", "relu6", "mish",
              "hardsigmoid", "selu", "celu", "tanh", "sigmoid", "logsigmoid", "softsign", "tanhshrink"):  # fmt: skip
    _element_by_element(getattr(functional, _name))
_function: Any
for _function in (torch.relu, torch.relu_, torch.sigmoid, torch.tanh, torch.exp, Tensor.relu, Tensor.relu_,
                  Tensor.sigmoid, Tensor.tanh, Tensor.exp, Tensor.detach, Tensor.float, Tensor.contiguous):  # fmt: skip
    _element_by_element(_function)


def _of_images(function: Any) -> None:
    def operation(inputs: Stack, *args: Any, **options: Any) -> Any:
        if not isinstance(inputs, Stack) or inputs.dim() != 4 or options.get("return_indices"):
            return NotImplemented
        return inputs.like(function(inputs.wide, *args, **options), is_wide=True)

    BY_HAND[function] = operation


for _function in (functional.max_pool2d, torch.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d):
    _of_images(_function)


def _of_two(function: Any) -> None:
    def operation(left: Any, right: Any, **options: Any) -> Any:
        stack = left if isinstance(left, Stack) else right
        if isinstance(left, Stack) and isinstance(right, Stack):
            if left.is_wide != right.is_wide or left.shape != right.shape:
                return NotImplemented
        elif not isinstance(right if stack is left else left, (int, float)):
            return NotImplemented
        values = (value.whole if isinstance(value, Stack) else value for value in (left, right))
        return stack.like(function(*values, **options), stack.is_wide)

    BY_HAND[function] = operation


for _name in ("add", "sub", "mul", "div", "__add__", "__radd__", "__mul__", "__rmul__", "__sub__", "__truediv__",
              "add_", "mul_"):  # fmt: skip
    _of_two(getattr(Tensor, _name))
for _function in (torch.add, torch.sub, torch.mul, torch.div):
    _of_two(_function)


@by_hand(functional.linear)
def linear(inputs: Any, weight: Any, bias: Any = None) -> Any:
    """One batched product for all trials."""
    if not isinstance(weight, Stack) or inputs.dim() != 2:
        return NotImplemented
    rows = inputs.by_trial if isinstance(inputs, Stack) else inputs.expand(weight.size_of_group, *inputs.shape)
    return weight.like(_Linear.apply(rows, weight.whole, None if bias is None else bias.whole))


class _Linear(torch.autograd.Function):
    """Batched products whose gradients lie as the weights do, so that none is copied to become so."""

    @staticmethod
    def forward(context: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(rows, weight)
        matrix = weight.transpose(1, 2)
        return torch.bmm(rows, matrix) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, matrix)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        rows, weight = context.saved_tensors
        (gradient,) = gradients
        of_rows, of_weight, of_bias = context.needs_input_grad
        return (
            torch.bmm(gradient, weight) if of_rows else None,
            torch.bmm(gradient.transpose(1, 2), rows) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


@by_hand(functional.conv2d, torch.conv2d)
def conv2d(  # noqa: PLR0913, PLR0917 - as torch has it
    inputs: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """One grouped convolution for all trials; of inputs that all have in common, a plain one."""
    if not isinstance(weight, Stack) or inputs.dim() != 4 or (groups != 1 and not isinstance(inputs, Stack)):
        return NotImplemented
    kernels = weight.whole.reshape(-1, *weight.whole.shape[2:])
    biases = None if bias is None else bias.whole.reshape(-1)
    images = inputs.wide if isinstance(inputs, Stack) else inputs
    times = weight.size_of_group * groups if isinstance(inputs, Stack) else 1
    return weight.like(functional.conv2d(images, kernels, biases, stride, padding, dilation, times), is_wide=True)


_norm: Any = functional.batch_norm


@by_hand(functional.batch_norm)
def batch_norm(  # noqa: PLR0913, PLR0917 - as torch has it
    inputs: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each trial's channels are channels of one batch; running statistics are updated in place."""
    if not isinstance(inputs, Stack) or inputs.dim() not in (2, 4):
        return NotImplemented
    # running statistics are stacked by themselves, so that these are views of them
    flat: list[Any] = [
        None if value is None else value.whole.reshape(-1) for value in (running_mean, running_var, weight, bias)
    ]
    if inputs.dim() == 4:
        return inputs.like(_norm(inputs.wide, *flat, training, momentum, eps), is_wide=True)
    batch = inputs.shape[0]
    rows = inputs.by_trial.transpose(0, 1).reshape(batch, -1)
    made = _norm(rows, *flat, training, momentum, eps)
    return inputs.like(made.view(batch, inputs.size_of_group, -1).transpose(0, 1))


@by_hand(functional.dropout)
def dropout(inputs: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each trial drops what its own generator says, as torch would for it alone on a CPU."""
    if not isinstance(inputs, Stack):
        return NotImplemented
    if not training or p == 0:
        return inputs
    if inputs.generators is None or inputs.whole.is_cuda or inplace or p == 1:
        raise RefusedError("dropout draws on a GPU, in place, or drops everything: no trial's numbers would be its own")
    noise = [torch.empty(inputs.shape, dtype=inputs.dtype).bernoulli_(1 - p, generator=g) for g in inputs.generators]
    return inputs.like(inputs.by_trial * torch.stack(noise).div_(1 - p))


@by_hand(torch.flatten, Tensor.flatten)
def flatten(inputs: Stack, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Images become rows without a copy in between."""
    if not inputs.is_wide or start_dim != 1 or end_dim not in (-1, 3):
        return NotImplemented
    batch = inputs.whole.shape[0]
    return inputs.like(inputs.whole.reshape(batch, inputs.size_of_group, -1).transpose(0, 1))


@by_hand(Tensor.reshape, Tensor.view, torch.reshape)
def reshape(inputs: Stack, *shape: Any) -> Any:
    """Another shape for each trial."""
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if not all(isinstance(size, int) for size in sizes):
        return NotImplemented
    if inputs.is_wide and len(sizes) == 2 and sizes[0] == inputs.shape[0]:
        return flatten(inputs, 1)
    known = [size if size != -1 else _rest(inputs.numel(), sizes) for size in sizes]
    return inputs.like(inputs.by_trial.reshape(inputs.size_of_group, *known))


def _rest(count: int, sizes: Any) -> int:
    for size in sizes:
        if size != -1:
            count //= size
    return count


@by_hand(functional.cross_entropy)
def cross_entropy(  # noqa: PLR0913, PLR0917 - as torch has it
    inputs: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Of all trials' rows at once."""
    plain = weight is None and size_average is None and reduce is None and ignore_index == -100
    if not plain or not isinstance(inputs, Stack) or inputs.dim() != 2 or target.is_floating_point():
        return NotImplemented
    if reduction not in ("mean", "sum"):
        return NotImplemented
    labels = target.by_trial if isinstance(target, Stack) else target.expand(inputs.size_of_group, -1)
    scores = inputs.by_trial.transpose(1, 2)  # (K, C, B): torch is faster where the classes are not the last
    each = functional.cross_entropy(scores, labels, reduction="none", label_smoothing=label_smoothing)
    return inputs.like(each.mean(1) if reduction == "mean" else each.sum(1))
