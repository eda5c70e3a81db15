"""Ray: connecting to it, what it must be told, and whether it can ever run a trial."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import floor
from pathlib import Path
from typing import Any

from raysweep.autoscaling import Autoscaling, autoscaling
from raysweep.errors import ClusterError
from raysweep.spec import Resources

# Every environment variable that Ray needs from us. Those of workers reach a cluster's other nodes too.
WORKER_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # trials keep the working directory they were started from
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that asks for no GPU sees none (ray#62492)
    # The C library keeps freed memory for the next batch, where it would give each large tensor's back to the system
    # and get it anew, page by page, with every step; mallopt(3) has all. benchmarks/allocation.py tells what it gains.
    "MALLOC_ARENA_MAX": "1",  # heaps of other arenas, in which threads would allocate, are given back regardless
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
DRIVER_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our records replace Tune's csv, json and tensorboardX
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own snapshots grow with the sweep; ours do not
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails has no metric to report
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # errors are told by us, once
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends at once: the trials' state is on disk already
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",  # (Ray's spelling) checked by us before
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output engine prints tables even where verbose is 0
    "RAY_USAGE_STATS_ENABLED": "0",  # no report to Ray's authors
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",  # about Ray Train's interface, which is not used
}
START_ENVIRONMENT = {  # of a Ray that starts here
    "RAY_prestart_worker_first_driver": "0",  # trials ask before those are ready, and get other processes started
}
PRELOADED = "RAY_preload_python_modules"  # imported by processes as they start, beside what the driver does meanwhile
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for a submitted job, whose directory all nodes have already
NO_CODE = (".git", "runs", "data", ".venv", "__pycache__")  # of a sweep file's directory, what no node needs
VITAL = ("raylet", "gcs_server")  # of Ray's processes: without them the driver waits for what never comes
ROUNDING = 1e-5  # 0.1 goes ten times into 1, whatever floating point says
RESOLUTION = 10_000  # Ray counts resources in ten-thousandths
FATAL_WHERE_SET = ("TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR")  # Tune refuses to start with either


@dataclass(frozen=True)
class Cluster:
    """What the connected Ray has.

    Attributes:
        nodes: of each living node its "CPU" and "GPU".
        is_private: whether it was started by this process, so that no other node is or will be part of it.
        has_code: whether trials run in a copy of the sweep file's directory, on whichever node.
        plan: which other nodes it is to have, or may get.
    """

    nodes: tuple[dict[str, float], ...]
    is_private: bool = True
    has_code: bool = False
    plan: Autoscaling = field(default_factory=Autoscaling)

    def slots(self, resources: Resources) -> int:
        """How many trials can run at once."""
        return sum(_fits(node, resources) for node in self.nodes)

    def most_slots(self, resources: Resources) -> int:
        """How many could, at most, with all the nodes that may come."""
        return self.slots(resources) + sum(_fits(node, resources) for node in self.plan.possible)

    def share(self, resources: Resources, trials: int) -> float:
        """The part of a GPU that each of so many trials occupies: what it asks for, or more where GPUs would stay idle.

        Ray fills a GPU before it takes the next one: of two GPUs, four trials of a quarter would crowd the first. Where
        each of them occupies a half they are spread, and as many run at once. Where nodes come and go with demand it
        is as asked for: there, crowding is what keeps others from being started.
        """
        at_once = min(trials, self.slots(resources))
        if not 0 < resources.gpu < 1 or not at_once or self.plan.possible:
            return resources.gpu
        for together in range(1, _per_gpu(resources.gpu)):
            larger = floor(RESOLUTION / together) / RESOLUTION
            if self.slots(resources.model_copy(update={"gpu": larger})) >= at_once:
                return larger
        return resources.gpu

    def renewed(self) -> Cluster:
        """The cluster with the nodes that it has now."""
        return replace(self, nodes=_living())

    def check(self, resources: Resources) -> None:
        """See that a trial can ever run.

        Raises:
            ClusterError: no node has what it asks for.
        """
        if self.most_slots(resources) > 0:
            return
        nodes = (*self.nodes, *self.plan.possible)
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        raise ClusterError(
            f"resources: a trial asks for {resources.cpu:g} CPU and {resources.gpu:g} GPU, and no node has that; the "
            f"largest of {len(nodes)} has {largest.get('CPU', 0):g} CPU and {largest.get('GPU', 0):g} GPU. "
            'Lower "resources" in the sweep file, or use a machine that has them'
        )


def _fits(node: dict[str, float], resources: Resources) -> int:
    counts = [int(node.get("CPU", 0) / resources.cpu + ROUNDING)] if resources.cpu else []
    if resources.gpu:
        gpus = node.get("GPU", 0)
        # a trial has its part of one GPU: 0.4 GPU goes four times into two, and not five
        counts.append(int(gpus) * _per_gpu(resources.gpu) if resources.gpu < 1 else int(gpus / resources.gpu))
    return min(counts, default=int(node.get("CPU", 1)))


def _per_gpu(gpu: float) -> int:
    return int(1 / gpu + ROUNDING)


@contextmanager
def connected(directory: Path = Path(), modules: Sequence[str] = ()) -> Iterator[Cluster]:
    """Ray for the length of the block: the one in use, the one RAY_ADDRESS names, or a new one here.

    Args:
        directory: the sweep file's, which RAY_ADDRESS's other nodes get a copy of.
        modules: what the processes of a new one import as soon as they start.

    Raises:
        ClusterError: Ray does not start, or cannot be reached.
    """
    _prepare(modules)
    import ray

    mine, has_code = not ray.is_initialized(), False
    if mine:
        with _sigterm_kept():
            has_code = _start(directory)
    try:
        nodes = _living()
        is_private = _is_head() and len(nodes) == 1
        yield Cluster(nodes, is_private, has_code, Autoscaling() if is_private else autoscaling())
    finally:
        if mine:
            ray.shutdown()


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes SIGTERM over when it starts, and answers it by printing a stack; put back what was there."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers, and Ray does not try to elsewhere
        return
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def dead() -> str | None:
    """Which of the processes without which nothing goes on has died, of a Ray that this process started."""
    node = _own_node()
    ended = {kind for kind, _ in node.dead_processes()} if node else set()
    return next((name for name in VITAL if name in ended), None)


def kill() -> None:
    """End at once what a Ray that this process started has left."""
    if node := _own_node():
        node.kill_all_processes(check_alive=False)


def _own_node() -> Any:
    worker = sys.modules.get("ray._private.worker")
    return worker._global_node if worker else None


def _living() -> tuple[dict[str, float], ...]:
    """The "CPU" and "GPU" of each living node."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple({kind: node.get(kind, 0.0) for kind in ("CPU", "GPU")} for node in alive)


def _is_head() -> bool:
    """Whether this process itself started the Ray that it uses."""
    from ray._private import worker

    return bool(worker._global_node.is_head())


def _prepare(modules: Sequence[str]) -> None:
    import ray  # noqa: F401 - sets its loggers' levels on import, and not again

    # its errors are told by us: as a trial's, or as one of ours
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in FATAL_WHERE_SET:
        os.environ.pop(name, None)
    os.environ.update(DRIVER_ENVIRONMENT)
    os.environ.update(START_ENVIRONMENT | {PRELOADED: ",".join(modules)})
    os.environ.update(WORKER_ENVIRONMENT)  # a Ray that starts here hands its environment to its workers


def _start(directory: Path) -> bool:
    """Connect to the cluster that there is, or start a Ray here; returns whether it got a copy of `directory`."""
    import ray
    from ray._private.services import canonicalize_bootstrap_address

    try:
        environment: dict[str, Any] | None = None
        if canonicalize_bootstrap_address(None):
            environment = {"env_vars": dict(WORKER_ENVIRONMENT)}
            if JOB not in os.environ:
                environment |= {"working_dir": str(directory.resolve()), "excludes": list(NO_CODE)}
        threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True).start()  # Ray takes seconds
        with _frugal():
            ray.init(
                include_dashboard=False,
                log_to_driver=False,  # what a trial prints is in its output.log
                logging_level=logging.ERROR,
                runtime_env=environment,
            )
    except Exception as error:  # Ray raises a bare Exception, too
        raise ClusterError(f"Ray does not start: {error}") from error
    return environment is not None and "working_dir" in environment


@contextmanager
def _frugal() -> Iterator[None]:
    """Start no more of Ray than a sweep on one machine needs; `ray.init` has no options for it.

    Its agent wants port 52365, and where another Ray has that, it tries for 4 s, in which all wait. The log monitor
    carries output to the driver, which is not to have any, and the monitor is the autoscaler's: two processes less
    that import Ray while the first trials' do.
    """
    from ray._private import parameter

    given = parameter.RayParams
    parameter.RayParams = partial(given, dashboard_agent_listen_port=0, include_log_monitor=False, no_monitor=True)
    try:
        yield
    finally:
        parameter.RayParams = given
