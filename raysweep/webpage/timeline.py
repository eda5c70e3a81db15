"""What ran where and when: the slots of each machine, found from when trials began and ended."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.results.text import shown
from raysweep.results.trial import TrialResult


@dataclass(frozen=True)
class Stretch:
    """The last attempt of a trial.

    Attributes:
        trial: its index among the trials.
        slot: its row.
        began, ended: seconds since 1970.
    """

    trial: int
    slot: int
    began: float
    ended: float


def timeline(trials: Sequence[TrialResult], now: float) -> dict[str, Any]:
    """The slots, and which trial each had when.

    Args:
        trials: all of them.
        now: seconds since 1970, when those that run end.

    Returns:
        `slots`, their names, and `stretches`, [trial, slot, began, ended] with times in milliseconds since 1970.
    """
    names: list[str] = []
    stretches: list[Stretch] = []
    hosts = dict.fromkeys(trial.host for trial in trials if trial.started is not None)
    for host in hosts:
        own = [(index, trial) for index, trial in enumerate(trials) if trial.host == host]
        found = list(_on_slots(own, len(names), now))
        stretches += found
        count = len({stretch.slot for stretch in found})
        names += [f"{shown(host or 'unknown')} {number + 1}" for number in range(count)]
    rows = [[one.trial, one.slot, 1000 * one.began, 1000 * one.ended] for one in stretches]
    return {"slots": names, "stretches": rows}


def _on_slots(trials: Sequence[tuple[int, TrialResult]], first: int, now: float) -> list[Stretch]:
    """The trials of one machine, each on the free slot with the lowest number; slots are numbered from `first`."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    found: list[Stretch] = []
    began = [(trial.started, index, trial) for index, trial in trials if trial.started is not None]
    for start, index, trial in sorted(began, key=lambda one: one[:2]):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        slot = heapq.heappop(free) if free else len(busy)
        end = max(start, trial.ended if trial.ended is not None else now)
        heapq.heappush(busy, (end, slot))
        found.append(Stretch(index, first + slot, start, end))
    return found
