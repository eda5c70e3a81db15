"""What pydantic finds wrong with a sweep file, in the words of one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from raysweep.sweepfile.foreign import FOREIGN
from raysweep.sweepfile.keys import Keys
from raysweep.sweepfile.members import NOTHING, Checkpoints, EarlyStopping, EarlyTerminate, Metric, Resources
from raysweep.sweepfile.parameters import nearest

Problem = tuple[str, str]  # the key's path in the file, and what is wrong there

_OWNERS: dict[str, type[BaseModel]] = {
    "metric": Metric,
    "resources": Resources,
    "checkpoints": Checkpoints,
    "early_stopping": EarlyStopping,
    "early_terminate": EarlyTerminate,
}


def in_words(error: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors."""
    steps = [step for step in error["loc"] if step not in ("float", "str")]  # branches of a union
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        hint = FOREIGN.get(str(steps[-1])) if len(steps) == 1 else None
        if hint:
            return where, hint.replace("{value}", str(value))
        return (
            where,
            f"there is no such key; {nearest(str(steps[-1]), _keys(steps[0] if steps[1:] else None))}",
        )
    if kind == "missing":
        others = '; or a "program", which is a script' if where == "trainable" else ""
        return where, f"is missing, and must be given{others}"
    if where == "name":
        hint = "use letters, digits, '.', '_' and '-', at most 100"
        return where, f'{_shown(value)} cannot name a folder; give a "name" to the sweep: {hint}'
    if where == "metric" and not isinstance(value, dict):
        return where, f'write {{"name": ..., "goal": "maximize"}}, or "minimize"; it is {_shown(value)}'
    return where, f"{_told(where, error)} (it is {_shown(value)})"


_POPULATION = (
    "is refused: it changes the configuration of a trial in mid-training, so that the trial has none, and cannot be "
    "found again by it; use Ray Tune itself for this"
)


def _told(where: str, error: Mapping[str, Any]) -> str:
    """What pydantic says of a value, in the words of a sweep file."""
    if where == "early_stopping.type" and str(error["input"]).lower() in ("pbt", "pb2"):
        return _POPULATION
    if where == "metric.at":
        return 'write "best", "last" or "mean-of-last-5"'
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("String should", "should")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    return message.replace("a valid list", "a list").replace("a valid string", "text")


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except ValueError:  # a number of too many digits, or a list that holds itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: object) -> list[str]:
    owner = _OWNERS.get(str(model), Keys)
    fields = owner.model_fields.items()
    return [field.alias or name for name, field in fields if field.description != NOTHING]
