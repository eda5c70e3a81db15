"""What the process of several trials does: their functions one after another up to `fit`, then one program for all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from raysweep.errors import StoreError
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import telling
from raysweep.store.files import sync_disk
from raysweep.store.records import Report, State, TrialError
from raysweep.worker.ending import Ending
from raysweep.worker.messages import Fault, Notice, Of, Reported, Requests, Together, Word
from raysweep.worker.output import redirect
from raysweep.worker.seats import Seat
from raysweep.worker.settings import settle


def work_together(connection: Connection[Any, Any], requests: Requests) -> None:
    """Take the trials on, and train them to their ends; whatever happens is told to the worker."""
    first = requests.members[0]
    seats: list[Seat] = []
    try:
        for number, request in enumerate(requests.members):
            seats.append(Seat(connection, request, number))
        redirect(first.folder.output_file)
        settle(0, first.run.threads, first.run.resources.gpu)  # this thread trains the program
        _Table(connection, requests, seats).run()
    except (StoreError, OSError) as error:
        connection.send(Of(0, Fault.of(error, first.is_copy)))
    finally:
        for seat in seats:
            seat.close()


class _Table:
    """The trials of a process, until each has ended."""

    def __init__(self, connection: Connection[Any, Any], requests: Requests, seats: Sequence[Seat]) -> None:
        self._connection, self._seats = connection, seats
        first = requests.members[0]
        self._is_copy = first.is_copy
        self._waits = first.is_copy or first.run.is_paced
        self._is_timed = first.run.is_timed
        self._run = RunDirectory(first.folder.path.parent)

    def run(self) -> None:
        """Train all to their ends."""
        for seat in self._seats:
            if not seat.is_over:
                self._go(seat, seat.start)
            seat.end_if_over()
        while waiting := [seat for seat in self._seats if seat.waiting is not None]:
            self._train(waiting)

    def _go(self, seat: Seat, step: Any) -> None:
        """Let a seat take its step, unless the run is to stop."""
        if any(other.link.left is Word.LEAVE for other in self._seats):
            seat.link.left = seat.link.left or Word.LEAVE
        elif not self._is_copy and self._run.stop_requested():
            seat.end(Ending.interrupted())
        if not seat.is_over or seat.waiting is not None:
            step()

    def _train(self, waiting: Sequence[Seat]) -> None:
        """Train those that wait as one program, and let each go on behind it; what cannot be one trains alone."""
        from raysweep.fusion.likeness import parts

        together, refused = parts([seat.course for seat in waiting])
        for indices in together:
            self._train_part([waiting[index] for index in indices])
        for index, reason in refused.items():
            self._alone(waiting[index], reason)

    def _train_part(self, seats: Sequence[Seat]) -> None:
        from raysweep.fusion.lockstep import train_together
        from raysweep.fusion.refusal import RefusedError

        for seat in seats:
            seat.begin()
            seat.reporter.waits = True
        try:
            train_together(seats, lambda: self._settle(seats), partial(self._begin, seats), self._is_timed)
        except (StoreError, OSError):
            raise
        except Exception as error:  # the network's own errors, which each then has by itself, or too little memory
            if TrialError.of(error).state is State.OUT_OF_MEMORY and len(seats) > 2:
                self._halve(seats)
                return
            told = str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
            for seat in seats:
                self._alone(seat, told)
        else:
            for seat in seats:
                self._go(seat, lambda seat=seat: seat.go_on(is_done=True))
                seat.end_if_over()

    def _halve(self, seats: Sequence[Seat]) -> None:
        """Train in two groups what is too large for the memory as one."""
        for half in (seats[: len(seats) // 2], seats[len(seats) // 2 :]):
            for seat in half:
                seat.reporter.kept = None
            self._train_part(half)

    def _begin(self, seats: Sequence[Seat], gain: float | None) -> None:
        """Tell that a program is at work."""
        faster = "" if gain is None else f", {gain:.1f} times as fast as one by one"
        seats[0].link.tell(Notice(f"fuse: {len(seats)} trials as one program{faster}"))

    def _alone(self, seat: Seat, reason: str) -> None:
        """Let a seat train by itself."""
        with seat.at_work():
            logging.getLogger(__name__).warning("trained alone: %s", reason)
        self._go(seat, lambda: seat.go_on(is_done=False))
        seat.end_if_over()

    def _settle(self, seats: Sequence[Seat]) -> None:
        """Have on the disk what the trials have reported, in the order that makes a crash harmless, and tell it."""
        path = self._run.path
        with telling(path):
            if any(seat.reporter.kept and seat.reporter.kept[2] for seat in seats):
                sync_disk(path)  # checkpoints come before the reports that name them
            told = [(seat, report) for seat in seats if (report := seat.append()) is not None]
            sync_disk(path)
        for seat, report in told:
            seat.recording.follow(report)
        if told:
            self._tell(told)

    def _tell(self, told: Sequence[tuple[Seat, Report]]) -> None:
        self._connection.send(Together(tuple(Of(seat.link.number, Reported(report)) for seat, report in told)))
        words = self._words([seat for seat, _ in told])
        is_to_stop = Word.STOP in words or (not self._is_copy and self._run.stop_requested())
        for (seat, _), word in zip(told, words, strict=True):
            if word in (Word.LEAVE, Word.STOPPED):
                seat.link.left = word
            elif is_to_stop:
                seat.recording.end(Ending.interrupted())
            seat.end_if_over()

    def _words(self, seats: Sequence[Seat]) -> Sequence[Word]:
        """The worker's word for each, where there is something to wait for; one word is for all."""
        if not self._waits and not self._connection.poll():
            return [Word.GO] * len(seats)
        try:
            answer: Sequence[Word] | Word = self._connection.recv()
        except (EOFError, OSError):
            answer = Word.LEAVE
        return [answer] * len(seats) if isinstance(answer, Word) else answer
