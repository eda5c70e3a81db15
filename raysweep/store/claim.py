"""A claim on a trial's folder, by the one attempt that may write it: checked before each step that counts.

A worker can be given up, its node unplugged or hanging, and come back while another goes on with its trial; a lock
would not tell them apart on a disk that several machines share. So each attempt claims the trial's folder, in a file
that all see who see the run directory, and with that the attempt before has lost it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from raysweep.store import lease
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import AttemptError


class SupersededError(AttemptError):
    """Another attempt at the trial has begun; this one may write no more."""

    @classmethod
    def of(cls, trial: str) -> SupersededError:
        """The error of an attempt at a trial."""
        return cls(f"{trial}: another attempt at this trial has begun; this one may write no more")


def new_token() -> str:
    """What tells an attempt from all others."""
    return os.urandom(16).hex()


@dataclass(frozen=True)
class Claim:
    """An attempt's claim on a trial's folder; it can travel to another process.

    Attributes:
        folder: the trial's, in the run directory.
        run: the token of the lease that the run has; None where nobody told.
        token: what tells this attempt from others.
    """

    folder: Path
    run: str | None = None
    token: str = field(default_factory=new_token)

    def make(self) -> None:
        """Make it: no other attempt may write from now on.

        Raises:
            TakenOverError: another run has taken over the run directory.
            OSError: it cannot be written.
        """
        self._check_run()
        RunDirectory(self.folder.parent).write_attempt(self.folder.name, self.token)

    def check(self) -> None:
        """See that it still holds.

        Raises:
            SupersededError: another attempt has begun.
            TakenOverError: another run has taken over the run directory.
        """
        self._check_run()
        if RunDirectory(self.folder.parent).attempt(self.folder.name) != self.token:
            raise SupersededError.of(self.folder.name)

    def _check_run(self) -> None:
        if self.run is not None:
            lease.check(self.folder.parent, self.run)
