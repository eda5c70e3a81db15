"""One attempt at several trials, from the side of Ray's worker: one process trains them, each is told of by itself.

Where that process dies, nobody knows of which of them: those that have not ended go on in a process each, one after
another, and the one that dies again fails alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from raysweep.errors import StoreError
from raysweep.plan.reconciliation import Standing
from raysweep.plan.run import Run
from raysweep.store.fault import AttemptError
from raysweep.store.records import Report, State
from raysweep.transfer.mirror import Mirror
from raysweep.worker.attempt import GATHER, GRACE, IDLE, PATIENCE, Phase, Told
from raysweep.worker.member import Member
from raysweep.worker.messages import (
    Begun,
    Fault,
    Finished,
    Hold,
    Notice,
    Of,
    Reported,
    Request,
    Requests,
    Together,
    Training,
    Waiting,
    Word,
)  # fmt: skip
from raysweep.worker.process import DiedError, Process


class Members:
    """One attempt at several trials; as `Attempt` is at one.

    Args:
        run, standings: the trials.
        launch: starts a process that runs them.
        shelf, held: see `Attempt`.
    """

    def __init__(
        self,
        run: Run,
        standings: Sequence[Standing],
        launch: Callable[[], Process],
        shelf: Path,
        held: dict[str, int],
    ) -> None:
        self._run, self._standings, self._launch = run, standings, launch
        self._shelf, self._held = shelf, held
        self._phase = Phase.NEW
        self._members: list[Member] = []
        self._seated: list[Member] = []  # in the process at work
        self._waiting: list[list[Member]] = []  # for a process after it
        self._asked: list[Member] = []  # those that wait for a word, and whether they do so together
        self._are_together = False
        self._process: Process | None = None

    @property
    def last(self) -> Report | None:
        """The report of the trial that has come furthest."""
        found = [member.reports.last for member in self._members if member.reports.last is not None]
        return max(found, key=lambda report: report.epoch, default=None)

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return self._phase is Phase.OVER

    def advance(self) -> Mapping[str, Told]:
        """Let them train until some have reported, or ended; returns what is new of each, by its id.

        Raises:
            DiedError: their process has, or the attempt cannot be recorded.
        """
        try:
            if self._phase is Phase.NEW and not self._begin():
                return self._all(Told(state=State.INTERRUPTED))
            return self._listen()
        except (AttemptError, OSError) as error:
            raise self._died(DiedError(type(error).__name__, str(error))) from None
        except StoreError as error:
            self._phase = Phase.OVER
            return self._all(Told(state=State.INTERRUPTED, fault=str(error)))

    def _all(self, told: Told) -> Mapping[str, Told]:
        return {standing.trial.id: told for standing in self._standings}

    def _begin(self) -> bool:
        """Start the trials, or go on with them, unless the run was asked to stop."""
        self._members = [Member(self._run, standing) for standing in self._standings]
        if self._members[0].where.stop_requested():
            self._phase, self._members = Phase.OVER, []
            time.sleep(IDLE)
            return False
        for member in self._members:
            member.where.open()
        self._waiting = [self._members]
        self._start()
        return True

    def _start(self) -> None:
        """Start the process of those that are next, if there are any."""
        self._seated = self._waiting.pop(0) if self._waiting else []
        self._phase = Phase.TRAINING if self._seated else Phase.OVER
        if self._seated:
            self._process = self._launch()
            self._process.connection.send(Requests(tuple(self._requests())))

    def _requests(self) -> Iterator[Request]:
        environment, directory = dict(os.environ), str(Path.cwd())
        for member in self._seated:
            where, trial = member.where, member.standing.trial
            is_copy = isinstance(where, Mirror)
            yield Request(self._run, trial, where.folder, is_copy, environment, directory, self._shelf)

    def _listen(self) -> Mapping[str, Told]:
        if self._phase is Phase.WAITING:
            self._answer()
        until: float | None = None
        while self._phase is Phase.TRAINING and (until is None or time.monotonic() < until):
            self._hear(until)
            if all(member.record is not None for member in self._seated):
                self._end_process()
                self._start()
            if any(member.news or member.record is not None for member in self._members):
                until = until or time.monotonic() + GATHER
        return {member.standing.trial.id: told for member in self._members if (told := member.told()) is not None}

    def _end_process(self, patience: float = PATIENCE) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(patience)

    def _hear(self, until: float | None) -> None:
        assert self._process is not None  # since it began
        ends = [moment for moment in (until, *(member.expires for member in self._seated)) if moment is not None]
        try:
            message = self._process.receive(max(0.0, min(ends) - time.monotonic()) if ends else None)
        except DiedError as error:
            self._lose(error)
            return
        if isinstance(message, Together):
            for said in message.said:
                self._take(self._seated[said.member], said.message)
            self._ask([self._seated[said.member] for said in message.said], together=True)
        elif isinstance(message, Of):
            member = self._seated[message.member]
            self._take(member, message.message)
            if isinstance(message.message, Reported):
                self._ask([member], together=False)
        elif message is None:
            self._expire()

    def _take(self, member: Member, message: object) -> None:
        """Act upon what is said of one."""
        assert self._process is not None  # since it began
        if isinstance(message, Begun):
            member.begun(message.reports)
        elif isinstance(message, Training):
            member.move_expiry(0.0)
        elif isinstance(message, Notice):
            member.notice = message.text
        elif isinstance(message, Waiting):
            member.expires = None
        elif isinstance(message, Reported):
            member.reported(message.report)
        elif isinstance(message, Finished):
            member.finished(message.record)
        elif isinstance(message, Hold):
            if message.name not in self._held:
                self._held[message.name] = self._process.opened(message.handle)
            self._process.connection.send((os.getpid(), self._held[message.name]))
        elif isinstance(message, Fault):
            if message.concerns_all:
                raise StoreError(message.text)
            raise self._died(DiedError(message.kind, message.text))

    def _ask(self, members: Sequence[Member], together: bool) -> None:
        """Members have reported, and wait for a word where there is something to wait for."""
        self._asked, self._are_together = list(members), together
        if self._run.is_paced:
            self._phase = Phase.WAITING
        elif isinstance(members[0].where, Mirror):
            self._answer()

    def _answer(self) -> None:
        assert self._process is not None  # since it began
        self._phase = Phase.TRAINING
        is_to_stop = isinstance(self._asked[0].where, Mirror) and self._asked[0].where.stop_requested()
        words = [Word.STOP if is_to_stop else Word.GO] * len(self._asked)
        for index, member in enumerate(self._asked):
            if self._run.is_paced and member.stopped():
                words[index] = Word.STOPPED
                member.record, member.expires = member.where.record(), None
        with contextlib.suppress(OSError):  # it has ended, as is heard next
            self._process.connection.send(tuple(words) if self._are_together else words[0])

    def _expire(self) -> None:
        """End the process where a trial in it has not reported for too long; the others go on in one of their own."""
        now = time.monotonic()
        if not self._expired(now):
            return
        self._end_process(patience=0)
        for member in self._expired(now + GRACE):  # the others of the same second would not have another one
            member.expire()
        self._waiting.insert(0, [member for member in self._seated if member.record is None])
        self._waiting = [wave for wave in self._waiting if wave]
        self._start()

    def _lose(self, error: DiedError) -> None:
        """The process has died; see the top of this file."""
        self._end_process()
        left = [member for member in self._seated if member.record is None]
        if len(self._seated) == 1:
            self._seated[0].die(error)
            left = [member for member in left if member.record is None]
        self._waiting = [*([member] for member in left), *self._waiting]
        self._start()

    def _expired(self, moment: float) -> list[Member]:
        return [member for member in self._seated if member.expires is not None and member.expires <= moment]

    def _died(self, error: DiedError) -> DiedError:
        """Keep in each trial's folder why the attempt cannot be recorded; returns it, for Tune to try again."""
        for member in self._members:
            if member.record is None:
                with contextlib.suppress(OSError, StoreError):  # the driver is told the reason all the same
                    member.where.folder.write_error(f"{error}\n")
                    member.where.written()
        self._phase = Phase.OVER
        return error

    def close(self) -> None:
        """End the trials that have not ended, and let go of their folders.

        Raises:
            RuntimeError: the process does not end; this one cannot be used for other trials.
        """
        process, self._process = self._process, None
        members, self._members = self._members, []
        try:
            if process is not None:
                stopped = self._phase is not Phase.OVER and any(member.stopped() for member in members)
                with contextlib.suppress(OSError):  # it has ended
                    process.connection.send(Word.STOPPED if stopped else Word.LEAVE)
                process.end(PATIENCE)
        finally:
            self._phase = Phase.OVER
            for member in members:
                member.where.close()
