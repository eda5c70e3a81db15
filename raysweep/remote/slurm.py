"""A sweep as a job of SLURM, submitted on a login node; what the job does is in slurm.sbatch beside this."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from raysweep.errors import ClusterError

SCRIPT = "slurm.sbatch"


@dataclass(frozen=True)
class Submission:
    """A sweep that is to become a job.

    Attributes:
        name: the sweep's.
        command: what trains it, once Ray is there.
        options: for sbatch.
        directory: where the command runs, which all nodes see; the job's log is there.
    """

    name: str
    command: Sequence[str]
    options: Sequence[str]
    directory: Path

    @property
    def job_name(self) -> str:
        """What SLURM calls it."""
        return f"raysweep-{self.name}"

    def sbatch(self, script: str) -> list[str]:
        """The call of sbatch; what the user asks of it comes last, and so counts."""
        log = self.directory / f"{self.name}-%j.log"
        ours = [f"--job-name={self.job_name}", f"--chdir={self.directory}", f"--output={log}"]
        return ["sbatch", "--parsable", *ours, *self.options, script, *self.command]

    def submit(self) -> str:
        """Submit it; returns the job's number.

        Raises:
            ClusterError: there is no SLURM here, it takes no such job, or it has one of this sweep already.
        """
        if there := _output("squeue", "--me", "--noheader", "--format=%i %T", f"--name={self.job_name}").split():
            raise ClusterError(
                f"{self.name}: job {there[0]} of SLURM trains it already, or is to ({there[1]}); "
                f"`scancel {there[0]}` ends it"
            )
        with as_file(files("raysweep.remote").joinpath(SCRIPT)) as script:
            return _output(*self.sbatch(str(script))).strip().partition(";")[0]  # a cluster's name may follow


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"--slurm: there is no {command[0]} here; use a login node of a SLURM cluster") from None
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise ClusterError(f"{command[0]} has refused: {reason}")
    return done.stdout
