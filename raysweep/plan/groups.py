"""Which trials may be trained as one program: those that differ only in what a program has for each trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raysweep.plan.identity import canonical
from raysweep.plan.reconciliation import Standing
from raysweep.sweepfile.parameters import flat

# The last parts of the names of parameters in which trials of one group may differ. What a function makes of any other
# is as a rule another shape; and where one of these makes another shape, the trials are seen to be unlike and train
# one by one.
OWN = frozenset({
    "seed", "fold", "lr", "learning_rate", "weight_decay", "wd", "momentum", "dampening", "betas", "beta1", "beta2",
    "eps", "alpha", "rho", "lr_decay", "gamma", "step_size", "milestones", "warmup", "clip", "name", "id", "tag",
})  # fmt: skip


def grouped(standings: Iterable[Standing], most: int, slots: int = 1) -> list[tuple[Standing, ...]]:
    """Trials in groups, in the order of the plan; a group may be of one.

    Args:
        standings: the trials.
        most: how many a group may have.
        slots: how many groups are to be at work at once, where there are enough trials.
    """
    alike: dict[str, list[Standing]] = {}
    for standing in standings:
        alike.setdefault(_shape(standing.trial.config), []).append(standing)
    groups = []
    for found in alike.values():
        count = max(-(-len(found) // most), min(slots, len(found) // 2), 1)
        each = -(-len(found) // count)  # all of about the same size
        groups += [tuple(found[start : start + each]) for start in range(0, len(found), each)]
    return groups


def _shape(config: Mapping[str, Any]) -> str:
    return canonical({name: value for name, value in flat(config).items() if name.rpartition(".")[2] not in OWN})
