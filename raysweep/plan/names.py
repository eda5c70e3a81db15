"""What trials are called: what is different about them, and their ids."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from raysweep.plan.identity import ID_DIGITS, canonical
from raysweep.sweepfile.parameters import flat

NAME_LENGTH = 100  # of a folder; file systems take 255 bytes, and event files add to it
ROOM = NAME_LENGTH - ID_DIGITS - 1  # before the id
LONGEST = 24  # characters of a value
# Characters of the name and of the value of a parameter, where not all has room: the first ones that do.
_LIMITS = [*((label, LONGEST) for label in range(30, 4, -1)), *((4, value) for value in range(LONGEST, 9, -1))]
_COMMAND = re.compile(r"(\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)?|\x1b.?")  # of a terminal


def varying(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted names of the parameters that differ between configurations, in order."""
    first: dict[str, str] = {}
    differ: dict[str, bool] = {}
    for config in configs:
        for key, value in flat(config).items():
            if not differ.get(key):
                differ[key] = first.setdefault(key, text := canonical(value)) != text
    return [key for key, differs in differ.items() if differs]


def names(
    configs: Mapping[str, Mapping[str, Any]],
    untracked: Collection[str] = (),
    chosen: Sequence[str] | None = None,
) -> dict[str, str]:
    """The names of trials, and of their folders, such as `lr=0.01,seed=0-3fa9c1d2e0`.

    Where there is no room for all that varies, the names of parameters are cut, and then their values, so that each
    has its part.

    Args:
        configs: the trials' configurations by their ids.
        untracked: parameters that are not shown.
        chosen: those that are, in order; None for all that vary.
    """
    shown_keys = varying(configs.values()) if chosen is None else chosen
    keys = [key for key in shown_keys if key not in untracked]
    lasts = [key.removesuffix(".name").rpartition(".")[2] for key in keys]  # optimizer.name is the optimizer
    shown = {key: _safe(last if lasts.count(last) == 1 else key) for key, last in zip(keys, lasts, strict=True)}
    rows = {id: {key: value for key, value in flat(config).items() if key in shown} for id, config in configs.items()}
    texts = {id: _text(shown, {key: _brief(value) for key, value in row.items()}) for id, row in rows.items()}
    if any(len(text) > ROOM for text in texts.values()):
        texts = _cut(shown, rows)
    return {id: f"{text[:ROOM].rstrip(',=').lstrip('-.+=,') or 'trial'}-{id}" for id, text in texts.items()}


def labels(named: Mapping[str, str]) -> dict[str, str]:
    """What to call trials where there is little room: by what is different about each, and with the id where needed.

    Args:
        named: the trials' names by their ids.
    """
    texts = {id: name.removesuffix(f"-{id}") for id, name in named.items()}
    count = Counter(texts.values())
    return {id: id if text == "trial" else text if count[text] == 1 else named[id] for id, text in texts.items()}


def telling(texts: Iterable[str]) -> int:
    """How many of their first characters tell texts, all different, apart."""
    return 1 + max(itertools.starmap(_common, itertools.pairwise(sorted(texts))), default=0)


def _common(one: str, other: str) -> int:
    """How many first characters two texts have in common."""
    differing = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _text(shown: Mapping[str, str], values: Mapping[str, str]) -> str:
    return ",".join(f"{label}={values[key]}" for key, label in shown.items() if key in values)


def _cut(shown: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The texts of trials with room for something of each parameter."""
    wholes: dict[str, dict[str, str]] = {key: {} for key in shown}
    for row in rows.values():
        for key, value in row.items():
            wholes[key].setdefault(canonical(value), _whole(value))
    label, limit = next(limits for limits in _LIMITS if limits == _LIMITS[-1] or _width(shown, wholes, *limits) <= ROOM)
    cuts = {key: _told_apart(values, limit) for key, values in wholes.items()}
    shorter = {key: text[:label] for key, text in shown.items()}
    return {
        id: _text(shorter, {key: cuts[key][canonical(value)] for key, value in row.items()}) for id, row in rows.items()
    }


def _width(shown: Mapping[str, str], wholes: Mapping[str, Mapping[str, str]], label: int, limit: int) -> int:
    """How long a text is at most, where names and values of parameters are cut to so many characters."""
    longest = {key: max(map(len, values.values()), default=0) for key, values in wholes.items()}
    return sum(min(len(text), label) + min(longest[key], limit) + 2 for key, text in shown.items()) - 1


def _told_apart(texts: Mapping[str, str], limit: int) -> dict[str, str]:
    """Texts cut to so many characters: their ends or their beginnings, of which more are different."""
    ends = {key: text[-limit:] for key, text in texts.items()}
    beginnings = {key: text[:limit] for key, text in texts.items()}
    return ends if len({*ends.values()}) >= len({*beginnings.values()}) else beginnings


def _whole(value: Any) -> str:
    """A value that is to be cut; a number is rounded instead."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return _safe(value if isinstance(value, str) else _listed(canonical(value)))


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return _safe(value)[-LONGEST:]
    text = canonical(value)
    if isinstance(value, float) and len(text) > 17:
        text = repr(value)  # 1e+87, and not its 88 digits
    return text if isinstance(value, (int, float)) else _safe(_listed(text))[:LONGEST]


def _listed(text: str) -> str:
    return text.strip("[]{}").replace(",", "x")


def _safe(text: str) -> str:
    """Only characters that every file system and shell takes as they are, and nothing of a terminal's commands."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", _COMMAND.sub("", text)).strip("_") or "_"
