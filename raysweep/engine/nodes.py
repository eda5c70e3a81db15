"""What a Ray has: its nodes, how many trials they run at once, and which part of a GPU each gets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import floor

from raysweep.engine.autoscaling import Autoscaling
from raysweep.engine.processes import Processes
from raysweep.errors import ClusterError
from raysweep.sweepfile.members import Resources

ROUNDING = 1e-5  # 0.1 goes ten times into 1, whatever floating point says
RESOLUTION = 10_000  # Ray counts resources in ten-thousandths


@dataclass(frozen=True)
class Cluster:
    """What the connected Ray has.

    Attributes:
        nodes: of each living node its "CPU" and "GPU".
        is_private: whether it was started by this process, so that no other node is or will be part of it.
        has_code: whether trials run in a copy of the sweep file's directory, on whichever node.
        plan: which other nodes it is to have, or may get.
        processes: of one that is private, those without which it is dead.
    """

    nodes: tuple[dict[str, float], ...]
    is_private: bool = True
    has_code: bool = False
    plan: Autoscaling = field(default_factory=Autoscaling)
    processes: Processes | None = None

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
        return replace(self, nodes=living())

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


def living() -> tuple[dict[str, float], ...]:
    """The "CPU" and "GPU" of each living node."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple({kind: node.get(kind, 0.0) for kind in ("CPU", "GPU")} for node in alive)
