"""What raysweep raises.

    RaysweepError
    ├── SpecError         the sweep file or the command line is wrong
    ├── TrainableError    the training function cannot be loaded, or what it reports cannot be used
    ├── ClusterError      Ray does not start, or has not what a trial asks for
    ├── StoreError        the run directory cannot be read, written or taken
    └── BrokenOffError    Ray, the disk or the backup failed in mid-sweep; running again goes on

Every message names the file, the key or the trial, says what is wrong and what to do about it.
"""

from __future__ import annotations

BROKEN_OFF = 3  # the exit code after a BrokenOffError


class RaysweepError(Exception):
    """The base of all errors that raysweep raises on purpose; its text is for the user."""


class SpecError(RaysweepError):
    """The sweep file or the command line is wrong; nothing was started."""


class TrainableError(RaysweepError):
    """The training function cannot be loaded, or what it reports cannot be used."""


class ClusterError(RaysweepError):
    """Ray cannot be started or reached, or has not the resources that a trial asks for."""


class StoreError(RaysweepError):
    """The run directory cannot be read, written, or is held by another run."""


class BrokenOffError(RaysweepError):
    """Ray, the disk or the backup failed in mid-sweep; what is done is kept, and running again goes on."""
