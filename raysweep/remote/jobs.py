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

from raysweep.engine.connection import TOKEN
from raysweep.engine.shipping import Shipment
from raysweep.engine.surroundings import environment, quiet
from raysweep.errors import ClusterError, RaysweepError
from raysweep.remote.login import Login
from raysweep.store.folder import CHECKPOINT

LOCALHOST = "127.0.0.1"  # which is not to be asked for through a proxy: the token would go there
TALKATIVE = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")  # of uploads, connections
RUNS = "runs"  # in the home directory on the head
PYTHON = "python -m raysweep"
RAYS_OWN = re.compile(r"\S+ \S+\s+INFO job_manager\.py:\d+ -- |Running entrypoint for job ")
INTERVAL = 0.5  # seconds between looks at a job
ANSWER = 120.0  # seconds that a short job may take
CHECKPOINTS = f"{CHECKPOINT}{'[0-9]' * 6}*/"  # a folder of any other name is the user's own
LOOKS = 5  # for the best checkpoint of a sweep that is at work, which may be replaced while it is copied


@dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes:
        name: of the sweep.
        file: the sweep file.
        shipment: what the head gets of its directory.
        arguments: of `raysweep run`, besides the file and --runs.
    """

    name: str
    file: Path
    shipment: Shipment
    arguments: tuple[str, ...] = ()


class Head:
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

            for name in TALKATIVE:  # which that import has given their level anew; `head_of` puts it back
                logging.getLogger(name).setLevel(logging.CRITICAL)

            self._client: Any = JobSubmissionClient(f"http://{LOCALHOST}:{port}", headers=_token())
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
        # what it answers is read from the run directory; what it says on the way is the job's log
        job: dict[str, Any] = {"entrypoint": f"{command} >/dev/null", "metadata": {"sweep": sweep.name}}
        try:
            with sweep.shipment.packed() as package:
                return str(self._client.submit_job(**job, runtime_env={"working_dir": str(package)}))
        except RaysweepError:
            raise
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
        from raysweep.results.reading import load
        from raysweep.results.trial import checkpoint_name

        source, target = f"{RUNS}/{name}", runs / name
        for _ in range(LOOKS):
            self._login.fetch(source, target, (f"--exclude={CHECKPOINTS}", "--exclude=.*", "--exclude=*.tmp"))
            results = load(name, runs)
            best = results.winner
            if best is None or (checkpoint := checkpoint_name(results.weighed(best))) is None:
                return
            inside = f"{best.path.name}/{checkpoint}"
            if self._login.fetch(f"{source}/{inside}", target / inside):
                return
            shutil.rmtree(target / inside)  # a better one has taken its place on the head


def _token() -> dict[str, str]:
    """The header with the token, where there is one; Ray sends it only where RAY_AUTH_MODE was set on its import."""
    file = TOKEN.expanduser()
    if "RAY_AUTH_MODE" in os.environ or not file.exists():
        return {}
    return {"Authorization": f"Bearer {file.read_text(encoding='utf-8').strip()}"}


def _own(log: str) -> str:
    """Of a job's log what the job says, without what Ray says about it."""
    return "".join(line for line in log.splitlines(keepends=True) if not RAYS_OWN.match(line))


@contextmanager
def head_of(file: Path) -> Iterator[Head]:
    """The running cluster of a cluster file, for the length of the block.

    Raises:
        ClusterError: it is not running, or cannot be reached.
    """
    login = Login.of(file)
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), LOCALHOST)))
    with environment({"no_proxy": direct}), quiet(TALKATIVE), login.tunnel() as port:
        yield Head(login, port)
