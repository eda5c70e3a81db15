"""Which trainings can be one program: what each must be like, and in what they must be equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from raysweep.fusion.course import Course, Data, Loss
from raysweep.fusion.refusal import RefusedError
from raysweep.fusion.updates import UPDATES

_OWN = {"_parameters", "_buffers", "_modules"}  # of a module, compared by shape
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def check(course: Course) -> None:
    """See that a training can be stacked at all.

    Raises:
        RefusedError: it cannot.
    """
    if not isinstance(course.train, tuple) or not isinstance(course.validation, (tuple, type(None))):
        raise RefusedError("the data are no pair of tensors")
    _check_network(course.network)
    _check_optimizer(course.optimizer, {id(parameter) for parameter in course.network.parameters()})


def _check_network(network: nn.Module) -> None:
    for name, module in network.named_modules():
        for attribute, value in vars(module).items():
            if attribute not in _OWN and any(isinstance(part, Tensor) for part in _parts(value)):
                raise RefusedError(f"{name or 'the network'} keeps a tensor in {attribute}, which is no buffer")
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise RefusedError(f"{name or 'the network'} has hooks")
    kinds = {(parameter.dtype, parameter.device) for parameter in network.parameters()}
    if len(kinds) != 1:
        raise RefusedError("the parameters are on several devices, or of several types")


def _check_optimizer(optimizer: Optimizer, known: set[int]) -> None:
    if type(optimizer) not in UPDATES:
        can = ", ".join(kind.__name__ for kind in UPDATES)
        raise RefusedError(f"the optimizer is {type(optimizer).__name__}, and not one of {can}")
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        raise RefusedError("the optimizer has hooks")
    for group in optimizer.param_groups:
        if any(id(parameter) not in known for parameter in group["params"]):
            raise RefusedError("the optimizer has parameters that are not the network's")
        if group.get("differentiable") or any(isinstance(value, Tensor) for value in group.values()):
            raise RefusedError("a hyper-parameter of the optimizer is a tensor, or the optimizer is differentiable")


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple, set)):
        for part in value:
            yield from _parts(part)
    elif isinstance(value, dict):
        yield from _parts(list(value.values()))
    else:
        yield value


def alike(course: Course, other: Course) -> str | None:
    """In what two trainings differ that must be equal to be one program; None where in nothing."""
    return next(_differences(course, other), None)


def _differences(course: Course, other: Course) -> Iterator[str]:
    for name in ("batch_size", "shuffle"):
        if getattr(course, name) != getattr(other, name):
            yield name
    if (course.clip is None) != (other.clip is None):
        yield "clip"
    if not _equal(course.prepare, other.prepare):
        yield "how the inputs are made"
    if not _same_loss(course.loss, other.loss):
        yield "the loss"
    if _shapes(course.train) != _shapes(other.train) or _shapes(course.validation) != _shapes(other.validation):
        yield "the shapes of the data"
    if not _same_network(course.network, other.network):
        yield "the networks"
    elif _optimizer(course) != _optimizer(other):
        yield "the optimizers"


def _shapes(data: Data | None) -> list[Any]:
    return [(part.shape, part.dtype) for part in data] if isinstance(data, tuple) else []


def _same_loss(loss: Loss, other: Loss) -> bool:
    if isinstance(loss, nn.Module) and isinstance(other, nn.Module):
        return _same_network(loss, other)
    if isinstance(loss, partial) and isinstance(other, partial):
        given = [(one.args, one.keywords) for one in (loss, other)]
        return _same_loss(loss.func, other.func) and _equal(*given)
    if loss is other:
        return True
    codes = [getattr(function, "__code__", None) for function in (loss, other)]
    return (
        codes[0] is not None
        and codes[0] is codes[1]
        and _equal(_bound(loss), _bound(other))  # what a function within a function has from around it
    )


def _bound(function: Any) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [*cells, function.__defaults__, function.__kwdefaults__]


def _same_network(network: nn.Module, other: nn.Module) -> bool:
    modules, others = list(network.named_modules()), list(other.named_modules())
    return len(modules) == len(others) and all(
        name == other_name and _same_module(module, other_module)
        for (name, module), (other_name, other_module) in zip(modules, others, strict=True)
    )


def _same_module(module: nn.Module, other: nn.Module) -> bool:
    if type(module) is not type(other) or vars(module).keys() != vars(other).keys():
        return False
    for own in (module._parameters, module._buffers), (other._parameters, other._buffers):
        if any(
            type(value) not in (nn.Parameter, nn.Buffer, Tensor, type(None)) for part in own for value in part.values()
        ):
            return False  # of a kind with a behaviour of its own
    mine, theirs = ([*module._parameters.items(), *module._buffers.items()] for module in (module, other))
    if len(mine) != len(theirs) or any(
        a != b or _form(x) != _form(y) for (a, x), (b, y) in zip(mine, theirs, strict=True)
    ):
        return False
    return all(name in _OWN or _equal(value, vars(other)[name]) for name, value in vars(module).items())


def _form(tensor: Tensor | None) -> Any:
    return None if tensor is None else (tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad)


def _equal(value: Any, other: Any) -> bool:
    """Whether two values are surely the same; what cannot be compared is not."""
    if value is other or type(value) is not type(other) or isinstance(value, (Tensor, nn.Module)):
        return value is other
    if isinstance(value, (list, tuple)):
        return len(value) == len(other) and all(_equal(a, b) for a, b in zip(value, other, strict=True))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_equal(member, other[key]) for key, member in value.items())
    try:
        return bool(value == other)
    except Exception:  # whatever its own comparison raises
        return False


def _optimizer(course: Course) -> Any:
    """What must be equal of an optimizer: its kind, whose parameters it has, and what its formula depends on."""
    names = {id(parameter): name for name, parameter in course.network.named_parameters()}
    kind = type(course.optimizer)
    return kind, [
        (
            [names[id(parameter)] for parameter in group["params"]],
            [bool(group.get(name.rstrip("?"))) for name in UPDATES[kind].switches],
        )
        for group in course.optimizer.param_groups
    ]


def parts(courses: Sequence[Course]) -> tuple[list[list[int]], dict[int, str]]:
    """Divide trainings into those that can be one program.

    Returns:
        the indices of each part, in order; and of those that can be in none, why.
    """
    found: list[list[int]] = []
    refused: dict[int, str] = {}
    for index, course in enumerate(courses):
        try:
            check(course)
        except RefusedError as error:
            refused[index] = str(error)
            continue
        home = next((part for part in found if alike(courses[part[0]], course) is None), None)
        if home is None:
            found.append([index])
        else:
            home.append(index)
    for part in [part for part in found if len(part) == 1]:
        found.remove(part)
        others = [course for course in courses if course is not courses[part[0]]]
        known = [text for other in others if (text := _told(courses[part[0]], other))]
        refused[part[0]] = f"no other is like it: {known[0]} differ" if known else "no other trains beside it"
    return found, refused


def _told(course: Course, other: Course) -> str | None:
    try:
        check(other)
    except RefusedError:
        return None
    return alike(course, other)


def same_data(pairs: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Whether all have the same values, which are then needed once."""
    first = pairs[0]
    return all(
        mine is theirs or mine.data_ptr() == theirs.data_ptr() or torch.equal(mine, theirs)
        for pair in pairs[1:]
        for mine, theirs in zip(first, pair, strict=True)
    )
