"""Sweeps on several nodes: raylets on this machine, of which all but the driver's do not see the run directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import raysweep
from raysweep.driver.progress import Progress
from raysweep.engine import preflight
from raysweep.engine.autoscaling import Autoscaling
from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT
from raysweep.errors import ClusterError
from raysweep.plan.reference import Reference
from raysweep.results.results import Results
from raysweep.results.trial import TrialResult
from raysweep.store.directory import RunDirectory
from raysweep.store.records import State
from raysweep.sweepfile.spec import check

HERE = Path(__file__).parent
MARK = "RAYSWEEP_TEST"  # in the environment of all processes of a test's nodes
HEALTH = {  # a node that hangs is given up after 2 s
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


def _blind(driver: str) -> Callable[[], None]:
    """What makes a worker process see the run directory on the node `driver` only."""

    def hide() -> None:
        from raysweep.transfer import mirror

        def sees(run: RunDirectory, head: str) -> bool:
            return str(ray.get_runtime_context().get_node_id()) == driver

        mirror.sees = sees

    return hide


@dataclass
class Nodes:
    """A cluster, and sweeps of tests/functions.py on it."""

    cluster: Cluster
    folder: Path
    progress: Progress = field(default_factory=Progress)
    workers: list[Any] = field(default_factory=list)

    def add(self, **resources: Any) -> Any:
        # Ray sets signal handlers for this, which only the main thread may
        self.cluster._shutdown_at_exit = threading.current_thread() is threading.main_thread()
        node = self.cluster.add_node(object_store_memory=100_000_000, **resources)
        self.workers.append(node)
        return node

    def connect(self) -> None:
        """Connect as the driver; processes on other nodes will not see the run directory."""
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")
        here = ray.get_runtime_context().get_node_id()
        ray.shutdown()
        ray.init(
            address=self.cluster.address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"worker_process_setup_hook": _blind(here), "env_vars": dict(WORKER_ENVIRONMENT)},
        )

    def run(self, parameters: dict[str, Any], function: str = "moving", **keys: Any) -> Results:
        content = {
            "name": "sweep",
            "trainable": f"cluster_functions.py:{function}",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"log": str(self.folder / "log"), **parameters},
            **keys,
        }
        self.progress = Progress()
        return raysweep.run(check(content, "test"), runs=self.folder, directory=HERE, progress=self.progress)

    def epochs(self) -> list[str]:
        """Every epoch that was trained: `x epoch`."""
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def wait_for_epochs(self, count: int) -> None:
        wait_for(lambda: len(self.epochs()) >= count)

    def wait_for_files(self, pattern: str, containing: str) -> list[str]:
        """The text of the files of that name on the head, once one has the text."""

        def texts() -> list[str]:
            return [path.read_text() for path in (self.folder / "sweep").glob(pattern)]

        wait_for(lambda: any(containing in text for text in texts()))
        return texts()

    def trial_pids(self) -> list[int]:
        """The processes of the trials that run, by their records on the head."""
        return [json.loads(path.read_text())["pid"] for path in (self.folder / "sweep").glob("*/trial.json")]


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    """A cluster of a head without CPUs, or with as many as the parameter says; tests add what they need."""
    for name, value in {**DRIVER_ENVIRONMENT, **WORKER_ENVIRONMENT, **HEALTH, "RAY_AUTH_MODE": "disabled"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": getattr(request, "param", 0),
            "num_gpus": 0,
            "object_store_memory": 100_000_000,
            "include_dashboard": False,
        },
    )
    try:
        yield Nodes(cluster, tmp_path)
    finally:
        ray.shutdown()
        cluster.shutdown()


def states(results: Results) -> Counter[State]:
    return Counter(trial.state for trial in results.trials)


def scalars(folder: Path) -> list[str]:
    return list(EventAccumulator(str(folder)).Reload().Tags()["scalars"])


def files(folder: Path) -> list[str]:
    return sorted(path.name.partition(".tfevents")[0] for path in folder.iterdir())


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def pid_of(title: str, nodes: Nodes) -> int:
    """The process of that title on these nodes, and not on those of other tests at the same time."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"{MARK}={nodes.folder}".encode() in (path / "environ").read_bytes()
            if ours and (path / "cmdline").read_text().startswith(title):
                return int(path.name)
    raise AssertionError(f"there is no process {title}")


class Aside(threading.Thread):
    """Does something while a sweep runs; `join` raises what it raised."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._action = action
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self._error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error


def test_everything_arrives_on_the_head(nodes: Nodes) -> None:
    nodes.add(num_cpus=2)
    nodes.connect()
    results = nodes.run({"x": [1, 2, 3], "epochs": 3, "kilobytes": 10_000})
    assert states(results) == {State.DONE: 3}
    for trial in results.trials:
        assert [report.epoch for report in trial.reports] == [1, 2, 3]
        assert trial.last is not None
        assert not str(trial.last.metrics["folder"]).startswith(str(nodes.folder))  # it was mirrored
        assert not Path(str(trial.last.metrics["folder"])).exists()  # and the copy is gone
        assert trial.checkpoint is not None
        assert (trial.checkpoint / "epoch.json").read_text() == "3"
        assert (trial.checkpoint / "more" / "large.bin").stat().st_size == 10_000_000
        assert (trial.checkpoint / "empty").read_bytes() == b""
        assert (trial.path / "output.log").read_text() == "epoch 1\nepoch 2\nepoch 3\n"
        assert files(trial.path) == [
            "checkpoint_000003", "events.out", "output.log", "result.json", "trial.json",
        ]  # fmt: skip
    assert {"loss"} <= {tag for trial in results.trials for tag in scalars(trial.path)}
    assert not (nodes.folder / "sweep" / ".tune").exists()


def test_logs_are_live(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    nodes.connect()

    def look() -> None:
        (output,) = nodes.wait_for_files("*/output.log", containing="epoch 2")
        assert "epoch 6" not in output

    aside = Aside(look)
    assert states(nodes.run({"x": [1], "epochs": 6, "pause": 1})) == {State.DONE: 1}
    aside.join()


def test_a_trial_goes_on_on_another_node_and_a_new_node_is_used(nodes: Nodes) -> None:
    first = nodes.add(num_cpus=2)
    nodes.connect()

    def replace() -> None:
        wait_for(lambda: {"1 2", "2 2"} <= set(nodes.epochs()))  # so both have reported on the first node
        nodes.cluster.remove_node(first, allow_graceful=False)  # first: to add one takes as long as some epochs
        nodes.add(num_cpus=2)

    aside = Aside(replace)
    results = nodes.run({"x": [1, 2], "epochs": 6, "pause": 0.5}, retries=2)
    aside.join()
    assert states(results) == {State.DONE: 2}
    for trial in results.trials:
        assert [report.epoch for report in trial.reports] == [1, 2, 3, 4, 5, 6]
        assert len({report.metrics["node"] for report in trial.reports}) == 2
        again = Counter(nodes.epochs())
        assert sum(again[f"{trial.config['x']} {epoch}"] for epoch in range(1, 7)) <= 7  # one was not yet reported


@pytest.mark.slow
def test_a_trial_that_was_given_up_cannot_write(nodes: Nodes) -> None:
    """Its node hangs, is given up, and comes back while the trial goes on elsewhere."""
    nodes.add(num_cpus=1)
    nodes.connect()

    def hang() -> None:
        nodes.wait_for_epochs(2)
        pids = nodes.trial_pids()
        raylet = nodes.workers[0].all_processes["raylet"][0].process.pid
        for pid in (raylet, *pids):
            os.kill(pid, signal.SIGSTOP)
        nodes.add(num_cpus=1)
        wait_for(lambda: len(nodes.epochs()) >= 5)
        for pid in pids:  # the raylet stays away: it would end them at once
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: len(nodes.epochs()) >= 10)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.kill(raylet, signal.SIGCONT)

    aside = Aside(hang)
    results = nodes.run({"x": [1], "epochs": 10, "pause": 0.5}, retries=2)
    aside.join()
    (trial,) = results.trials
    assert trial.state is State.DONE
    assert [report.epoch for report in trial.reports] == list(range(1, 11))
    nodes_of = [report.metrics["node"] for report in trial.reports]
    assert len(set(nodes_of)) == 2
    assert nodes_of == sorted(nodes_of, key=nodes_of.index)  # the second took over, and the first never came between
    assert max(Counter(nodes.epochs()).values()) == 2  # the one that hung did finish its epoch, for nothing


def test_paused_trials_go_on_on_other_nodes(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    nodes.add(num_cpus=1)
    nodes.connect()
    early = {"type": "hyperband", "reduction": 3}
    results = nodes.run({"x": [1, 2, 3, 4, 5, 6], "epochs": 9}, early_stopping=early)
    assert set(states(results)) == {State.DONE, State.STOPPED}
    assert all(trial.reports for trial in results.trials)
    assert max(Counter(nodes.epochs()).values()) == 1  # each epoch was trained once


def test_stop_reaches_other_nodes(nodes: Nodes) -> None:
    nodes.add(num_cpus=2)
    nodes.connect()

    def stop() -> None:
        wait_for(lambda: len({line.split()[0] for line in nodes.epochs()}) == 2)  # both are at work
        RunDirectory(nodes.folder / "sweep").request_stop()

    aside = Aside(stop)
    results = nodes.run({"x": [1, 2, 3], "epochs": 50, "pause": 0.3})
    aside.join()
    assert states(results) == {State.INTERRUPTED: 2, State.NEW: 1}


@pytest.mark.parametrize("nodes", [1], indirect=True)
def test_the_drivers_node_trains_too(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    nodes.connect()
    results = nodes.run({"x": [1, 2, 3, 4], "epochs": 2, "pause": 0.5})
    assert states(results) == {State.DONE: 4}
    direct = [str(trial.path) == trial.last.metrics["folder"] for trial in results.trials if trial.last]
    assert set(direct) == {True, False}


def overlap(trials: list[TrialResult]) -> int:
    """How many of them ran at the same time, at most."""
    times = [(float(t.last.metrics["started"]), float(t.last.metrics["ended"])) for t in trials if t.last]
    return max(sum(start <= at < end for start, end in times) for at, _ in times)


def seen(trial: TrialResult) -> str:
    assert trial.last is not None
    return str(trial.last.metrics["visible"])


@pytest.mark.slow
def test_a_quarter_puts_four_trials_on_each_gpu(nodes: Nodes) -> None:
    nodes.add(num_cpus=10, num_gpus=2)
    nodes.connect()
    x = list(range(10))
    results = nodes.run({"x": x, "together": 8}, "gpus", resources={"cpu": 0.1, "gpu": 0.25})
    assert states(results) == {State.DONE: 10}
    assert {seen(trial) for trial in results.trials} == {"<0>", "<1>"}
    for gpu in ("<0>", "<1>"):
        assert overlap([trial for trial in results.trials if seen(trial) == gpu]) == 4
    assert overlap(list(results.trials)) == 8


@pytest.mark.slow
def test_few_trials_are_spread_over_the_gpus(nodes: Nodes) -> None:
    nodes.add(num_cpus=10, num_gpus=2)
    nodes.connect()
    results = nodes.run({"x": [1, 2, 3, 4], "together": 4}, "gpus", resources={"cpu": 0.1, "gpu": 0.25})
    assert Counter(map(seen, results.trials)) == {"<0>": 2, "<1>": 2}
    assert overlap(list(results.trials)) == 4


def test_a_trial_that_asks_for_no_gpu_sees_none(nodes: Nodes) -> None:
    nodes.add(num_cpus=1, num_gpus=1)
    nodes.connect()
    results = nodes.run({"x": [1], "together": 1}, "gpus")
    assert seen(results.trials[0]) == "<>"


def test_what_would_break_a_run_is_told_before_it_starts(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    nodes.connect()
    with pytest.raises(ClusterError, match=r"asks for 2 CPU and 0\.5 GPU.* largest of 2 has 1 CPU and 0 GPU"):
        nodes.run({"x": 1}, resources={"cpu": 2, "gpu": 0.5})
    (nodes.folder / "fussy.py").write_text("def train(config): pass\n")
    facts = preflight.examine(Reference("fussy.py:train", nodes.folder), None)
    assert [fact.problem for fact in facts] == [None, None]
    assert facts[0].versions == facts[1].versions == preflight.versions()
    assert abs(facts[1].ahead) < 1
    (nodes.folder / "broken.py").write_text("import no_such_module\ndef train(config): pass\n")
    with pytest.raises(ClusterError, match=r"(?s)cannot run this sweep:.*No module named 'no_such_module'"):
        preflight.check(Reference("broken.py:train", nodes.folder), None)


class Noticing(Progress):
    """Keeps what it is told about the cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def noticed(self, text: str) -> None:
        self.said.append(text)


def test_a_run_waits_for_nodes_that_are_starting(nodes: Nodes) -> None:
    nodes.connect()
    aside = Aside(lambda: nodes.add(num_cpus=1))
    told: list[str] = []
    preflight.wait_for_nodes(Autoscaling(expected=2), told.append)
    aside.join()
    assert told == ["waiting for 1 of 2 nodes that are still starting"]


@pytest.mark.slow
def test_the_actor_that_writes_is_killed(nodes: Nodes) -> None:
    """It is started again, and the workers' calls are made again."""
    nodes.add(num_cpus=1)
    nodes.connect()

    def kill() -> None:
        nodes.wait_for_epochs(2)
        os.kill(pid_of("ray::Receiver", nodes), signal.SIGKILL)

    aside = Aside(kill)
    results = nodes.run({"x": [1], "epochs": 5, "pause": 0.5}, retries=0)
    aside.join()
    assert states(results) == {State.DONE: 1}
    assert [report.epoch for report in results.trials[0].reports] == [1, 2, 3, 4, 5]
    assert len(nodes.epochs()) == 5


@pytest.mark.slow
def test_a_trial_that_is_given_up_for_good_cannot_write(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    nodes.connect()

    def hang() -> None:
        nodes.wait_for_epochs(2)
        time.sleep(0.3)  # it is at epoch 3 now
        pids = [nodes.workers[0].all_processes["raylet"][0].process.pid, *nodes.trial_pids()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: bool(nodes.progress.errors))
        before = nodes.wait_for_files("*/result.json", containing='"epoch": 2')
        os.kill(pids[1], signal.SIGCONT)
        wait_for(lambda: "1 3" in nodes.epochs())
        time.sleep(2)  # it reports the epoch, in vain
        assert nodes.wait_for_files("*/result.json", containing='"epoch": 2') == before
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)

    aside = Aside(hang)
    results = nodes.run({"x": [1, 2], "epochs": 4, "pause": 1}, retries=0, max_concurrent=1, budget=25)
    aside.join()
    failed = results.trials[0]
    assert failed.state is State.FAILED
    assert failed.error is not None and failed.error.type == "WorkerLost"
    assert failed.last is not None and failed.last.epoch == 2
