"""Trainings as one program, epoch by epoch: each reports, goes on from its own checkpoint, and leaves at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch

from raysweep.fusion.course import Course, first_batch
from raysweep.fusion.program import Program
from raysweep.fusion.rehearsal import rehearse
from raysweep.training.recorder import Recorder


class Companion(Protocol):
    """One trial of several in this process, whose function waits in `fit`."""

    @property
    def course(self) -> Course:
        """What it waits for."""

    def at_work(self) -> AbstractContextManager[None]:
        """Within the block the random generators, the output and the current trial are its own."""

    @property
    def is_over(self) -> bool:
        """Whether its attempt has ended, by a limit or because the run or the trial was stopped."""

    def fail(self, error: BaseException) -> None:
        """It has failed by itself; its function is to raise this."""


@dataclass
class _Follower:
    """A companion, and what its training has of its own."""

    companion: Companion
    recorder: Recorder
    epochs: Iterator[int]
    generator: torch.Generator
    goes_on: bool = False

    def advance(self) -> None:
        """Report the epoch that has been trained, if any, and begin the next, unless there is none."""
        with self.companion.at_work():
            try:
                self.goes_on = next(self.epochs, None) is not None
            except Exception as error:  # of this trial: its checkpoint cannot be read, a metric cannot be reported
                self.companion.fail(error)
                self.goes_on = False


def train_together(
    companions: Sequence[Companion],
    settle: Callable[[], None],
    begin: Callable[[float | None], None] = lambda gain: None,
    timed: bool = False,
) -> None:
    """Train what is alike as one program until each has trained for all its epochs, or is over.

    Args:
        companions: alike, as `likeness` says.
        settle: called after each epoch, when all have reported: makes what they reported last.
        begin: called once the program is known to work, with what it gains; see `rehearse`.
        timed: whether to train one by one where that is faster.

    Raises:
        RefusedError: they cannot be one program; each can go on alone from its last report, in memory as it is.
    """
    followers: list[_Follower] = []
    for companion in companions:
        followers.append(_begun(companion, followers[0].recorder if followers else None))
    ready = [follower for follower in followers if follower.goes_on and not follower.companion.is_over]
    if len(ready) > 1:
        begin(rehearse([one.companion.course for one in ready], [one.generator for one in ready], timed))
    while followers := [follower for follower in followers if follower.goes_on and not follower.companion.is_over]:
        program = Program([one.companion.course for one in followers], [one.generator for one in followers])
        while all(follower.goes_on and not follower.companion.is_over for follower in followers):
            _epoch(program, followers)
            settle()


def _begun(companion: Companion, other: Recorder | None) -> _Follower:
    course, generator = companion.course, torch.Generator()
    with companion.at_work():
        recorder = course.recorder()
        if other is not None:
            recorder.draw_as(other)
        follower = _Follower(companion, recorder, recorder.epochs(course.epochs), generator)
    follower.advance()  # which takes up the last checkpoint, random states included
    with companion.at_work():
        generator.set_state(torch.get_rng_state())
        _draw(course, recorder, generator)
    return follower


def _draw(course: Course, recorder: Recorder, generator: torch.Generator) -> None:
    """Let the recorder see the first batch."""
    assert isinstance(course.train, tuple)  # as `likeness.check` has seen
    batch = course.taken(course.train, first_batch(course, generator.get_state()))
    for _ in recorder.batches([batch]):
        pass


def _epoch(program: Program, followers: Sequence[_Follower]) -> None:
    start = time.perf_counter()
    counted, metrics = program.epoch(), program.validate()
    program.store()
    seconds = time.perf_counter() - start
    for follower, one, told in zip(followers, counted, metrics, strict=True):
        recorder, course = follower.recorder, follower.companion.course
        recorder.count_epoch(one.loss, one.correct, one.samples, seconds)
        recorder.metrics(**told)
        course.advance(told.get("val_loss", one.loss / one.samples))
        with follower.companion.at_work():
            torch.set_rng_state(follower.generator.get_state())  # of which the checkpoint keeps the state
        follower.advance()
