"""What would break a run on several nodes, found before it starts: versions, code, storage, clocks."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from raysweep.engine.autoscaling import Autoscaling
from raysweep.errors import ClusterError, RaysweepError
from raysweep.plan.reference import Reference, import_trainable

SAME_EVERYWHERE = ("raysweep", "ray", "torch")  # of which all nodes need the same version
STARTING = 30.0  # seconds to wait for nodes that are still starting
ANSWER = 120.0  # seconds in which a node must answer; importing torch for the first time can take half of it
CLOCK = 30.0  # seconds that a node's clock may differ: results are dated where they are made


@dataclass(frozen=True)
class Facts:
    """What a node says of itself.

    Attributes:
        host: its name.
        versions: of Python and the packages; None where one is missing.
        resources: its "CPU" and "GPU", as Ray has been told.
        ahead: by how many seconds its clock is ahead of this one's.
        disk: bytes free where it keeps copies of trials' folders.
        problem: why it cannot run trials, where it knows that itself.
    """

    host: str
    versions: Mapping[str, str | None] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    ahead: float = 0.0
    disk: int = 0
    problem: str | None = None


def examine(reference: Reference | None, head: str | None) -> list[Facts]:
    """Ask every node of the connected cluster; this one's facts come first.

    Args:
        reference: the trainable, which is imported on each node; None for no sweep in particular.
        head: the name of the actor that serves the run directory; None where there is none.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != here)
    task = ray.remote(num_cpus=0, max_retries=0)(_facts)
    asked, started = [], time.time()
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        text, directory = (reference.text, str(reference.directory)) if reference else (None, "")
        asked.append(task.options(scheduling_strategy=there).remote(text, directory, head))
    return [_answer(node, answer, started) for node, answer in zip(nodes, asked, strict=True)]


def _answer(node: Mapping[str, Any], answer: Any, started: float) -> Facts:
    import ray

    host = node["NodeManagerHostname"] or node["NodeManagerAddress"]
    resources = {kind: node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU")}
    try:
        told = ray.get(answer, timeout=max(1.0, started + ANSWER - time.time()))
    except (ray.exceptions.RayError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[-1:] or ["it does not answer"]
        return Facts(host, resources=resources, problem=f"cannot run a task: {reason[0]}")
    # its clock was read some time between the question and now
    ahead = max(0.0, told["time"] - time.time()) + min(0.0, told["time"] - started)
    return Facts(host, told["versions"], resources, ahead, told["disk"], told["problem"])


def _facts(text: str | None, directory: str, head: str | None) -> dict[str, Any]:
    """Run on a node: what it says of itself."""
    from raysweep.transfer.staging import staging

    now, problem = time.time(), None
    try:
        if head is not None:
            from raysweep.transfer.receiver import Line

            Line(head, "preflight").ask("stop_requested")
        staging().mkdir(parents=True, exist_ok=True)
        if text is not None:
            import_trainable(Reference(text, Path(directory)))
    except (RaysweepError, OSError) as error:
        problem = str(error)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return {"time": now, "versions": versions(), "disk": free, "problem": problem}


def versions() -> dict[str, str | None]:
    """The versions of Python and of the packages in this process."""
    found: dict[str, str | None] = {"Python": platform.python_version()}
    for name in SAME_EVERYWHERE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def problems(facts: Sequence[Facts]) -> Iterator[str]:
    """What is wrong with each node, as compared with the first, and what to do about it."""
    first = facts[0]
    for node in facts:
        if node.problem is not None:
            yield f"{node.host}: {node.problem}"
            continue
        for name, version in node.versions.items():
            wanted = first.versions.get(name, version)
            if version != wanted:
                yield f"{node.host}: {name} is {version or 'not installed'}; install {wanted}, as on {first.host}"
        if abs(node.ahead) > CLOCK:
            yield f"{node.host}: its clock is {node.ahead:+.0f} s off {first.host}'s; set it, or let NTP do so"


def check(reference: Reference, head: str | None) -> None:
    """See that all nodes of the connected cluster can run a sweep's trials.

    Raises:
        ClusterError: one cannot; the message has a line for everything that is wrong.
    """
    wrong = list(problems(examine(reference, head)))
    if wrong:
        raise ClusterError("the cluster cannot run this sweep:\n  " + "\n  ".join(wrong))


def wait_for_nodes(plan: Autoscaling, tell: Callable[[str], None]) -> None:
    """Wait for nodes that are still starting, for a while; the sweep can begin without them, and somebody is told."""
    import ray

    def missing() -> int:
        return plan.expected - len([node for node in ray.nodes() if node["Alive"]])

    if missing() > 0:
        tell(f"waiting for {missing()} of {plan.expected} nodes that are still starting")
    deadline = time.monotonic() + STARTING
    while missing() > 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    if missing() > 0:
        tell(f"{missing()} of {plan.expected} nodes are not there; they are used when they come")
