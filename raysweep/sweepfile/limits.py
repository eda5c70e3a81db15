"""The limits of `stop`: durations, comparisons, and when a report reaches one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from raysweep.store.records import Reached, Report

Limit = tuple[str, float]  # the comparison, ">=" or "<=", and the number; of time in seconds
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: object) -> float:
    """A duration in seconds: a number, or text such as "90s", "10m", "1h30m", "2d".

    Raises:
        ValueError: it is neither, or not more than 0.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        total = float(text)
    elif isinstance(text, str) and re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        total = sum(float(n) * _UNITS[u] for n, _, u in re.findall(r"(\d+(\.\d+)?)([smhd])", text))
    else:
        raise ValueError(f'{text!r} is no duration; write seconds, or "90s", "10m", "1h30m"')
    if not 0 < total < float("inf"):
        raise ValueError(f"a duration is more than 0 seconds, and this is {text!r}")
    return total


def limit(key: str, value: float | str, is_better_low: bool) -> Limit:
    """A limit as the file has it: a number, or text such as "<= 0.1"; of "time" a duration.

    Args:
        key, value: of `stop`.
        is_better_low: whether a bare number is reached from above.

    Raises:
        ValueError: it is none of these.
    """
    if key == "time":
        return ">=", seconds(value)
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(<=|>=)\s*([-+]?[\d.]+([eE][-+]?\d+)?)\s*", value)
        if match is None:
            raise ValueError(f'a limit is a number, or text such as "<= 0.1", and is {value!r}')
        return match[1], float(match[2])
    if not math.isfinite(value):
        raise ValueError(f"a limit is a number, and {value} is none that is reached")
    return "<=" if is_better_low else ">=", float(value)


def reached(value: float, limit: Limit) -> bool:
    """Whether a value is at or past a limit of `stop`."""
    comparison, bound = limit
    return value >= bound if comparison == ">=" else value <= bound


def limit_reached(report: Report, limits: Mapping[str, Limit]) -> Reached | None:
    """The limit of `stop` that a report reaches."""
    # Ray Tune's name for the epoch is understood, too
    known = {"epoch": report.epoch, "training_iteration": report.epoch, "time": report.run_duration}
    for name, limit in limits.items():
        value = {**report.metrics, **known}.get(name)
        if isinstance(value, (int, float)) and reached(value, limit):
            return Reached(name, value)
    return None
