"""Ray, started here or found: for the length of a block."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raysweep.engine import internals, surroundings
from raysweep.engine.autoscaling import Autoscaling, autoscaling
from raysweep.engine.environment import (
    DRIVER_ENVIRONMENT,
    FATAL_WHERE_SET,
    JOB,
    PRELOADED,
    START_ENVIRONMENT,
    WORKER_ENVIRONMENT,
)
from raysweep.engine.nodes import Cluster, living
from raysweep.engine.processes import Processes
from raysweep.engine.shipping import Code
from raysweep.errors import ClusterError

LOGGERS = ("ray", "ray.tune", "ray.train")  # their errors are told by us: as a trial's, or as one of ours
LATEST = "ray_current_cluster"  # in Ray's temporary directory: the address of the one that `ray start` began here
ENDLESS = {"gcs_rpc_server_reconnect_timeout_s": 10**6}  # Ray ends a process whose GCS is away for longer than this
SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # of Ray's, in its temporary directory
LONGEST = 107 - len(SOCKET)  # bytes of that directory's path, since Linux has 107 for a socket's
TOKEN = Path("~/.ray/auth_token")  # Ray's, which it makes where it finds none
PROBE = 2.0  # seconds in which a Ray on this machine has to be there


@contextmanager
def ray_for(code: Code, modules: Sequence[str] = (), *, may_end: bool = True) -> Iterator[Cluster]:
    """Ray for the length of the block: the one in use, the one RAY_ADDRESS names, or a new one here.

    On a cluster's node that is the cluster, which `ray start` began there as this user. Environment, loggers and
    signal handlers are as they were when the block ends.

    Args:
        code: the sweep file's directory, which RAY_ADDRESS's other nodes get a copy of.
        modules: what the processes of a new one import as soon as they start.
        may_end: whether a new Ray may end this process where it dies itself.

    Raises:
        ClusterError: Ray does not start, or cannot be reached, or the code cannot be shipped.
    """
    import ray  # gives its loggers their levels and handlers when it is imported, and not again

    mine, has_code = not ray.is_initialized(), False
    with surroundings.all_kept(_environment(modules), LOGGERS):
        if mine:
            has_code = _start(code, may_end)
        try:
            nodes = living()
            own = Processes.of_this_process() if len(nodes) == 1 else None
            plan = autoscaling() if own is None else Autoscaling()
            yield Cluster(nodes, own is not None, has_code, plan, own)
        finally:
            if mine:
                ray.shutdown()


def _environment(modules: Sequence[str]) -> dict[str, str | None]:
    """What Ray reads of the environment; one that starts here hands it on to its workers."""
    started = START_ENVIRONMENT | {PRELOADED: ",".join(modules)}
    return {**DRIVER_ENVIRONMENT, **started, **WORKER_ENVIRONMENT, **dict.fromkeys(FATAL_WHERE_SET)}


def _start(code: Code, may_end: bool) -> bool:
    """Connect to the cluster that there is, or start a Ray here; returns whether it got a copy of the code."""
    if not _is_there():
        _init(address="local", **({} if may_end else {"_system_config": ENDLESS}))
        return False
    environment: dict[str, Any] = {"env_vars": dict(WORKER_ENVIRONMENT)}
    if JOB in os.environ:
        _init(runtime_env=environment)
        return False
    with code.shipment().packed() as package:
        _init(runtime_env={**environment, "working_dir": str(package)})
    return True


def _init(**options: Any) -> None:
    import ray

    if sys.flags.optimize > 1:
        raise ClusterError("Ray does not start without docstrings: unset PYTHONOPTIMIZE, or run Python without -OO")
    threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True).start()  # Ray takes seconds
    try:
        with internals.frugal(), surroundings.handlers():
            ray.init(
                include_dashboard=False,
                log_to_driver=False,  # what a trial prints is in its output.log
                logging_level=logging.CRITICAL,
                **options,
            )
    except Exception as error:  # Ray raises a bare Exception, too
        raise ClusterError(f"Ray does not start: {error}{_cure(error)}") from error


def _cure(error: Exception) -> str:
    """What to do where this machine's directories are ones that Ray cannot start with; empty where they are not."""
    place = _temporary()
    if not place.isascii() or len(os.fsencode(place)) > LONGEST:
        return f"; it keeps its sockets below {place}: set TMPDIR to a path of ASCII of at most {LONGEST} characters"
    if str(TOKEN.expanduser().parent) in str(error):
        return f"; it keeps its token in {TOKEN}, which cannot be written: set HOME to a directory that can be"
    return ""


def _temporary() -> str:
    return os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()


def _is_there() -> bool:
    """Whether there is a Ray to connect to: RAY_ADDRESS says so, or `ray start` has begun one here.

    `ray.init(address="auto")` would take any that runs on this machine, another user's or another run's. So does
    `ray.init()` where the file that `ray start` leaves is another user's, and it fails where that file is stale.
    """
    if address := os.environ.get("RAY_ADDRESS"):
        return address != "local"
    file = Path(_temporary(), "ray", LATEST)
    with contextlib.suppress(OSError, ValueError):
        host, _, port = file.read_text(encoding="utf-8").strip().rpartition(":")
        if file.stat().st_uid == os.geteuid():
            socket.create_connection((host.strip("[]"), int(port)), PROBE).close()
            return True
    return False
