"""A program's first step, rehearsed beside the trainings alone: whether it comes to the same, and what it gains."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from raysweep.fusion.course import Course, first_batch, order_of
from raysweep.fusion.program import Program
from raysweep.fusion.refusal import RefusedError

ROUNDS = 3  # of steps that are timed; the fastest counts
WITHIN = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative; of others 5 %


def rehearse(courses: Sequence[Course], generators: Sequence[torch.Generator], timed: bool) -> float | None:
    """Take a first step, on copies of all that it changes.

    Args:
        courses, generators: as for `Program`.
        timed: whether to take a few more, both ways.

    Returns:
        how many times faster a step is as one program; None where that was not asked for.

    Raises:
        RefusedError: the program does not come to what the first and the last of the trainings come to alone, by
            something that no look at the network tells; or it is asked for, and slower.
    """
    states = [generator.get_state() for generator in generators]
    step = Program(courses, [torch.Generator().set_state(state) for state in states]).first_step()
    losses = step().tolist()
    for index in {0, len(courses) - 1}:
        _compare(courses[index], states[index], losses[index])
    if not timed:
        return None
    alone = _copied(courses[0])
    inputs, targets = _first(courses[0], states[0])
    with torch.random.fork_rng(devices=[]):
        gain = len(courses) * _taken(lambda: alone.step(inputs, targets)) / _taken(step)
    if gain < 1:
        raise RefusedError(f"one program of {len(courses)} trials is slower, {gain:.2f} times as fast as one by one")
    return gain


def _copied(course: Course) -> Course:
    """A training that can take steps without changing this one."""
    network = copy.deepcopy(course.network).train()
    own = dict(zip(course.network.parameters(), network.parameters(), strict=True))
    groups = [group | {"params": [own[one] for one in group["params"]]} for group in course.optimizer.param_groups]
    kind: Any = type(course.optimizer)
    optimizer = kind(groups)  # a copy of one that has a schedule would step the parameters of the first one
    return replace(course, network=network, optimizer=optimizer, schedule=None)


def _first(course: Course, state: Tensor) -> tuple[Tensor, Tensor]:
    """A training's first batch."""
    assert isinstance(course.train, tuple)  # as `likeness.check` has seen
    return course.taken(course.train, first_batch(course, state))


def _compare(course: Course, state: Tensor, fused: float) -> None:
    inputs, targets = _first(course, state)
    copied = _copied(course)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state)
        if course.shuffle:
            order_of(len(inputs), None)  # draws what the order of samples has drawn
        loss = float(copied.step(inputs, targets)[0].detach())
    within = WITHIN.get(next(course.network.parameters()).dtype, 0.05)
    if loss == loss and abs(loss - fused) > within * max(1.0, abs(loss)):
        raise RefusedError(f"one program does not come to the same: the first loss is {fused:.6g}, alone {loss:.6g}")


def _taken(step: Callable[[], object]) -> float:
    """Seconds of the fastest."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        step()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's own
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best
