"""Which nodes a cluster is to have, or may get, by the file that `ray up` started it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = Path("~/ray_bootstrap_config.yaml")  # where `ray up` leaves it on the head


@dataclass(frozen=True)
class Autoscaling:
    """What Ray's autoscaler does for a cluster.

    Attributes:
        expected: how many nodes are always to be there, the head among them.
        possible: the "CPU" and "GPU" of each node that may come when trials wait for it.
    """

    expected: int = 1
    possible: tuple[dict[str, float], ...] = ()


def autoscaling(file: Path = FILE) -> Autoscaling:
    """What the cluster file on this node says; nothing where it is none, as on every node but the head."""
    try:
        config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
        return _of(config)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):  # not there, or not from `ray up`
        return Autoscaling()


def _of(config: Mapping[str, Any]) -> Autoscaling:
    expected, possible = 1, list[dict[str, float]]()
    limit = int(config.get("max_workers", 0))
    for kind in config["available_node_types"].values():
        expected += int(kind.get("min_workers", 0))
        resources = {name: float(kind.get("resources", {}).get(name, 0)) for name in ("CPU", "GPU")}
        if any(resources.values()):  # else they are known only once the node is there
            possible += [resources] * int(kind.get("max_workers", 0))
    return Autoscaling(expected, tuple(possible[:limit]))
