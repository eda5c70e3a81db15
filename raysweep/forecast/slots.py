"""Trials on slots: when the last one ends."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Seconds until all trials have ended, each started on the slot that is free first, as Ray Tune starts them.

    This is list scheduling (Graham, Bounds on multiprocessing timing anomalies, 1969).

    Args:
        seconds: of each trial, in the order of the plan.
        slots: how many run at once; 1 at least.
    """
    free = [0.0] * slots
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)
