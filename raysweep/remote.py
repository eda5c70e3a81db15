"""A sweep on a cluster, from a laptop: Ray's jobs on the head, through a tunnel.

The sweep is a job: it goes on when the laptop is closed. Its run directory is on the head's disk, in ~/runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.cluster import NO_CODE
from raysweep.errors import ClusterError
from raysweep.tunnel import Login

TOKEN = Path("~/.ray/auth_token")  # where Ray keeps it
RUNS = "runs"  # in the home directory on the head
PYTHON = "python -m raysweep"
RAYS_OWN = re.compile(r"\S+ \S+\s+INFO job_manager\.py:\d+ -- |Running entrypoint for job ")
INTERVAL = 0.5  # seconds between looks at a job
ANSWER = 120.0  # seconds that a short job may take
LOOKS = 5  # for the best checkpoint of a sweep that is at work, which may be replaced while it is copied


@dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes:
        name: of the sweep.
        file: the sweep file; its directory is shipped.
        arguments: of `raysweep run`, besides the file and --runs.
    """

    name: str
    file: Path
    arguments: tuple[str, ...] = ()


class Remote:
    """A cluster's head, connected.

    Args:
        login: at the head.
        port: of the tunnel.

    Raises:
        ClusterError: the job server does not answer, or refuses the token.
    """

    def __init__(self, login: Login, port: int) -> None:
        self._login = login
        try:
            from ray.job_submission import JobSubmissionClient

            for name in ("dashboard_sdk", "job.sdk"):  # they tell of each upload and connection
                logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.CRITICAL)
            self._client: Any = JobSubmissionClient(f"http://127.0.0.1:{port}")
        except Exception as error:  # its kinds are Ray's, requests' and aiohttp's
            raise ClusterError(f"{login.host}: Ray's job server cannot be used: {error}") from None

    def running(self, name: str) -> str | None:
        """The job that is at work on the sweep of that name."""
        with self._connection():
            for job in self._client.list_jobs():
                if (job.metadata or {}).get("sweep") == name and not job.status.is_terminal():
                    return str(job.submission_id)
        return None

    def start(self, sweep: Sweep) -> str:
        """Start a sweep; returns its job.

        Raises:
            ClusterError: it cannot be shipped.
        """
        command = f'{PYTHON} run {shlex.quote(sweep.file.name)} --runs "$HOME/{RUNS}" {shlex.join(sweep.arguments)}'
        environment = {"working_dir": str(sweep.file.parent.resolve()), "excludes": list(NO_CODE)}
        try:
            # what it answers is read from the run directory; what it says on the way is the job's log
            return str(
                self._client.submit_job(
                    entrypoint=f"{command} >/dev/null", runtime_env=environment, metadata={"sweep": sweep.name}
                )
            )
        except Exception as error:  # its kinds are Ray's, requests' and aiohttp's
            raise ClusterError(f"{sweep.file.parent}: cannot be shipped to {self._login.host}: {error}") from None

    def lines(self, job: str) -> Iterator[str]:
        """What a job says, piece by piece, from its beginning to its end.

        Raises:
            ClusterError: the connection is lost; the job goes on.
        """
        pieces = self._client.tail_job_logs(job)

        async def following() -> str | None:
            return await anext(pieces, None)

        with asyncio.Runner() as runner:
            try:
                while (piece := runner.run(following())) is not None:
                    yield _own(piece)
            except (RuntimeError, OSError) as error:
                raise self._lost(error) from None
            finally:
                runner.run(pieces.aclose())

    def _lost(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"{self._login.host}: the connection is lost ({error}); a sweep goes on there, and the same command shows "
            "it again"
        )

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """What Ray's client and requests raise in the block, as our own."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            raise self._lost(error) from None

    def wait(self, job: str, seconds: float = ANSWER) -> int:
        """Wait for a job's end; returns its exit code.

        Raises:
            ClusterError: it does not end in time, or did not start.
        """
        deadline = time.monotonic() + seconds
        while not (info := self._info(job)).status.is_terminal():
            if time.monotonic() > deadline:
                raise ClusterError(f"{self._login.host}: job {job} does not end")
            time.sleep(INTERVAL)
        if info.driver_exit_code is None:
            raise ClusterError(f"{self._login.host}: job {job} did not run: {info.message}")
        return int(info.driver_exit_code)

    def ask(self, *arguments: str, quiet: bool = False) -> tuple[int, str]:
        """Run a raysweep command on the head; returns its exit code and what it says.

        Args:
            arguments: the command, without --runs.
            quiet: whether only stdout counts.
        """
        command = f'{PYTHON} {shlex.join(arguments)} --runs "$HOME/{RUNS}"'
        with self._connection():
            job = str(self._client.submit_job(entrypoint=f"{command} 2>/dev/null" if quiet else command))
            code = self.wait(job)
            text = _own(str(self._client.get_job_logs(job)))
            self._client.delete_job(job)
        return code, text

    def _info(self, job: str) -> Any:
        with self._connection():
            return self._client.get_job_info(job)

    def fetch(self, name: str, runs: Path) -> None:
        """Bring the results of a sweep here: everything but checkpoints, and of these the best trial's.

        Raises:
            ClusterError: rsync failed.
            StoreError: what came cannot be read.
        """
        from raysweep.results import load

        source, target = f"{RUNS}/{name}", runs / name
        for _ in range(LOOKS):
            self._login.fetch(source, target, ("--exclude=checkpoint_*", "--exclude=.*", "--exclude=*.tmp"))
            ranked = load(name, runs).ranked()
            if not ranked or (best := ranked[0].best) is None or not best.checkpoint:
                return
            inside = f"{ranked[0].path.name}/{best.checkpoint}"
            if self._login.fetch(f"{source}/{inside}", target / inside):
                return
            shutil.rmtree(target / inside)  # a better one has taken its place on the head


def _own(log: str) -> str:
    """Of a job's log what the job says, without what Ray says about it."""
    return "".join(line for line in log.splitlines(keepends=True) if not RAYS_OWN.match(line))


@contextmanager
def connected(file: Path) -> Iterator[Remote]:
    """The running cluster of a cluster file, for the length of the block.

    Raises:
        ClusterError: it is not running, or cannot be reached.
    """
    if TOKEN.expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # read once, when Ray is imported; else it sends no token
    login = Login.of(file)
    with login.tunnel() as port:
        yield Remote(login, port)
